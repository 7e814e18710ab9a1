#ifndef THAW_AGENT_START_THAW_STARTER_H_
#define THAW_AGENT_START_THAW_STARTER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "agent/cpu/node_cpu.h"
#include "agent/metrics.h"
#include "agent/snapshot/key_locks.h"
#include "agent/snapshot/laid_out.h"
#include "agent/snapshot/store.h"
#include "agent/start/restorer.h"
#include "agent/start/sources.h"
#include "agent/start/starter.h"
#include "agent/state/paths.h"
#include "spdlog/logger.h"

namespace thaw::agent {

// The image's command without the init that its own ENTRYPOINT begins with: the slot's init is there already.
std::vector<std::string> FunctionCommand(const ImageInfo& image);

// Starts from the version's snapshot: the one that lies here, else the one that a holder has, else cold.
//
// A snapshot is verified, each byte, before each restore. One that turns out damaged is quarantined, the scheduler is
// told, and it is fetched once more from another holder; one that fails to restore kMaxRestoreFailures times in a row on
// this node is given up here, too. Whatever goes wrong with a snapshot, the call gets a cold start while its deadline
// allows, and the reason why is in the record.
class ThawStarter final : public InstanceStarter {
 public:
  struct Options {
    // At most, for CRIU and the function's waking up; never more than a third of what is left of the call's time.
    absl::Duration restore_limit = absl::Seconds(10);
    // For taking a snapshot from another node.
    absl::Duration fetch_limit = absl::Seconds(60);
    absl::Duration slot_limit = absl::Minutes(2);
    // From a cold process to its socket.
    absl::Duration listen_limit = absl::Seconds(30);
    // For messages.
    std::string node_id;
    NodeCpu cpu = {};
    // Slots have /thaw/preload.
    bool has_preload = false;
  };
  struct Deps {
    SlotFactory& slots;
    SnapshotStore& store;
    SnapshotSource& snapshots;
    ImageSource& images;
    Restorer& restorer;
    const Engines& engines;
    AgentMetrics& metrics;
    const Clock& clock;
    Paths paths;
    std::shared_ptr<spdlog::logger> log;
  };
  static constexpr int kMaxRestoreFailures = 3;

  ThawStarter(const Options& options, const Deps& deps) : options_(options), deps_(deps) {}

  absl::StatusOr<StartedInstance> Start(StartRequest request) override ABSL_LOCKS_EXCLUDED(mu_);

  // Why this node can't restore the version's snapshot; OK where it may try, and where there is none and never was a
  // reason. CheckCpuFits() with what the scheduler has said.
  static absl::Status SnapshotFits(const VersionState& version, const NodeCpu& cpu, const std::string& node_id);

 private:
  class Stopwatch;

  // Restores the version's snapshot into `started.slot`, which is null afterwards where a failed restore has cost it. Notes
  // phases and kind.
  absl::Status Thaw(const StartRequest& request, StartedInstance& started, Stopwatch& watch) ABSL_LOCKS_EXCLUDED(mu_);
  // FAILED_PRECONDITION when the snapshot holds no word of its random numbers, and is given up by that: it is older than the
  // cures (docs/uniqueness.md). OK where the function accepts that, and for a JVM that has written itself.
  absl::Status CheckCured(const VersionState& version, const v1::Manifest& manifest) ABSL_LOCKS_EXCLUDED(mu_);
  // Has the snapshot laid out and verified; `remote` is set when it had to be fetched.
  absl::StatusOr<v1::Manifest> Ready(const VersionState& version, absl::Time deadline, bool& remote);
  // The same for one whose manifest is here. DEADLINE_EXCEEDED when another start still lays it out by then.
  absl::StatusOr<v1::Manifest> LayOut(const std::string& snapshot_id, const std::string& version_id,
                                      absl::Time deadline);
  absl::Status ResetSlot(std::unique_ptr<Slot>& slot);
  absl::StatusOr<std::unique_ptr<FunctionConnection>> StartCold(const VersionState& version, Slot& slot,
                                                                const std::string& instance_id, const Given& given,
                                                                absl::Time call_deadline);
  void CountRestoreFailure(const std::string& snapshot_id, const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  // What was given up, or removed meanwhile, leaves no memory image behind.
  void RemoveLaidOut(const std::string& snapshot_id);

  const Options options_;
  const Deps deps_;
  LaidOutSnapshots laid_out_{deps_.store, deps_.paths};
  // By snapshot: two starts of one version must not lay it out, or remove a damaged copy, at once. Verifying
  // needs none of it.
  KeyLocks laying_out_;
  absl::Mutex mu_;
  absl::flat_hash_map<std::string, int> restore_failures_ ABSL_GUARDED_BY(mu_);
  // Given up by CheckCured(), so that they are not fetched again from nodes that have not met them yet. Nobody makes more.
  absl::flat_hash_set<std::string> uncured_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_START_THAW_STARTER_H_
