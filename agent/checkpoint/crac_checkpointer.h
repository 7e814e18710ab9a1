#ifndef THAW_AGENT_CHECKPOINT_CRAC_CHECKPOINTER_H_
#define THAW_AGENT_CHECKPOINT_CRAC_CHECKPOINTER_H_

#include <memory>
#include <string>
#include <vector>

#include "agent/checkpoint/checkpointer.h"
#include "agent/checkpoint/diagnosis_log.h"
#include "agent/engine/crac_engine.h"
#include "agent/start/restorer.h"
#include "agent/start/sources.h"
#include "agent/state/paths.h"
#include "common/clock/clock.h"

namespace thaw::agent {

// Freezes functions of engine crac: 1. the FDK closes its connection and listener and has the JVM write itself; 2. the JVM
// ends; 3. init takes the writable files. The instance is gone by then: calls that come before the snapshot is published
// start another. A JVM that could not write itself opens its listener again, says why at its next probe, and serves on.
//
// What was written is verified and published as every snapshot is.
class CracCheckpointer final : public Checkpointer {
 public:
  struct Options {
    std::string node_id;
    absl::Duration prepare_limit = absl::Seconds(10);
    absl::Duration dump_limit = absl::Seconds(60);
  };
  struct Deps {
    CheckpointEngine& engine;
    ImageSource& images;
    Restorer& restorer;
    // Verifies and publishes.
    Checkpointer& publisher;
    const Clock& clock;
    Paths paths;
    // Where refusals are kept for `thaw snapshot explain`; may be null.
    DiagnosisLog* diagnoses = nullptr;
  };

  CracCheckpointer(const Options& options, const Deps& deps) : options_(options), deps_(deps) {}

  FrozenInstance Freeze(const CheckpointRequest& request) override;
  absl::StatusOr<Published> Publish(const CheckpointRequest& request, const FrozenInstance& frozen,
                                    std::unique_ptr<Slot> canary_slot) override {
    return deps_.publisher.Publish(request, frozen, std::move(canary_slot));
  }

 private:
  // `findings` gets what the function or its JVM says is in the way.
  absl::Status WriteItself(const CheckpointRequest& request, const std::string& dump_name, FrozenInstance& frozen,
                           std::vector<thaw::common::v1::Finding>& findings);
  void Record(const CheckpointRequest& request, const std::vector<thaw::common::v1::Finding>& findings,
              const absl::Status& status);

  const Options options_;
  const Deps deps_;
};

// Hands each checkpoint to its version's engine.
class EngineCheckpointer final : public Checkpointer {
 public:
  EngineCheckpointer(Checkpointer& criu, Checkpointer& crac) : criu_(criu), crac_(crac) {}

  FrozenInstance Freeze(const CheckpointRequest& request) override { return Of(request).Freeze(request); }
  absl::StatusOr<Published> Publish(const CheckpointRequest& request, const FrozenInstance& frozen,
                                    std::unique_ptr<Slot> canary_slot) override {
    return Of(request).Publish(request, frozen, std::move(canary_slot));
  }

 private:
  Checkpointer& Of(const CheckpointRequest& request) { return request.version.spec().engine() == "crac" ? crac_ : criu_; }

  Checkpointer& criu_;
  Checkpointer& crac_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_CHECKPOINT_CRAC_CHECKPOINTER_H_
