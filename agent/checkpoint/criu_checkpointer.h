#ifndef THAW_AGENT_CHECKPOINT_CRIU_CHECKPOINTER_H_
#define THAW_AGENT_CHECKPOINT_CRIU_CHECKPOINTER_H_

#include <memory>
#include <string>
#include <vector>

#include "agent/checkpoint/checkpointer.h"
#include "agent/checkpoint/diagnosis_log.h"
#include "agent/checkpoint/fdk_questions.h"
#include "agent/metrics.h"
#include "agent/cpu/node_cpu.h"
#include "agent/snapshot/store.h"
#include "agent/start/restorer.h"
#include "agent/start/sources.h"
#include "agent/state/paths.h"
#include "spdlog/logger.h"

namespace thaw::agent {

// Freezes by thaw-init and CRIU, in five steps (docs/design/init-protocol.md): 1. a function with our FDK tells its
// resources and closes its listener; 2. the agent closes its own connection; 3. init dumps; 4. the function is told to go
// on; 5. its listener is waited for. From 1 to 5 it can take no call; the rest (canary, compressing, publishing) happens
// while it serves.
class CriuCheckpointer final : public Checkpointer {
 public:
  struct Options {
    std::string node_id;
    NodeCpu cpu = {};
    // For the function's own beforeCheckpoint.
    absl::Duration prepare_limit = absl::Seconds(10);
    absl::Duration dump_limit = absl::Seconds(60);
    absl::Duration resume_limit = absl::Seconds(10);
    absl::Duration canary_limit = absl::Seconds(20);
    absl::Duration slot_limit = absl::Minutes(2);
  };
  struct Deps {
    SnapshotStore& store;
    SlotFactory& slots;
    ImageSource& images;
    Restorer& restorer;
    const Clock& clock;
    Paths paths;
    std::shared_ptr<spdlog::logger> log;
    // Where what was found is kept, and counted; may be null.
    DiagnosisLog* diagnoses = nullptr;
    AgentMetrics* metrics = nullptr;
  };

  CriuCheckpointer(const Options& options, const Deps& deps) : options_(options), deps_(deps) {}

  FrozenInstance Freeze(const CheckpointRequest& request) override;
  absl::StatusOr<Published> Publish(const CheckpointRequest& request, const FrozenInstance& frozen,
                                    std::unique_ptr<Slot> canary_slot) override;

 private:
  // Step 1: FAILED_PRECONDITION with the function's reason when one of its resources refuses; `diagnosis` gets all causes.
  absl::Status Prepare(const CheckpointRequest& request, thaw::common::v1::Diagnosis& diagnosis);
  // Step 3: looks for what is in the way, has the function's rules decide, and dumps. `diagnosis` gets what was found.
  absl::StatusOr<DumpReport> LookAndDump(const CheckpointRequest& request, const std::string& dump_name,
                                         const Openers& openers, thaw::common::v1::Diagnosis& diagnosis);
  thaw::common::v1::Diagnosis NewDiagnosis(const CheckpointRequest& request, const char* occasion) const;
  void Record(const CheckpointRequest& request, thaw::common::v1::Diagnosis diagnosis, const absl::Status& status);
  void RecordCanary(const CheckpointRequest& request, const absl::Status& canary, const absl::Status& failed);
  // CRIU's whole log, of which a diagnosis has the end only.
  void KeepRawLog(const CheckpointRequest& request);
  absl::Status Canary(const CheckpointRequest& request, const v1::Manifest& manifest, const std::string& name, Slot& slot);

  const Options options_;
  const Deps deps_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_CHECKPOINT_CRIU_CHECKPOINTER_H_
