#ifndef THAW_AGENT_ENGINE_ENGINE_H_
#define THAW_AGENT_ENGINE_ENGINE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agent/container/runtime.h"
#include "agent/instance/slot_init.h"
#include "agent/pool/slot.h"

namespace thaw::agent {

// What differs between the engines that freeze processes, but for the freezing itself (Checkpointer): how an instance has
// to be started so that it can be frozen, and how its processes are made again. Threads: any; Restore() blocks.
class CheckpointEngine {
 public:
  virtual ~CheckpointEngine() = default;

  // As in VersionSpec.engine: `criu` or `crac`.
  virtual absl::string_view name() const = 0;

  // Whether it can be used here for functions of `image`. FAILED_PRECONDITION with the reason and the remedy: such a
  // function starts cold, as it would without the engine, and is not frozen.
  virtual absl::Status Usable(const ImageInfo& image) const = 0;

  // Fits a cold start to it; only after Usable() was OK. `order.instance_id` is set.
  virtual absl::Status PrepareStart(const ImageInfo& image, const Slot& slot, StartOrder& order) const = 0;

  // Makes the processes of the laid-out snapshot again in an empty slot; the PID of the first. Errors are init's.
  virtual absl::StatusOr<int> Restore(Slot& slot, const RestoreOrder& order) = 0;
};

// The engines of this agent, by name.
class Engines {
 public:
  Engines(CheckpointEngine& criu, CheckpointEngine& crac) : criu_(criu), crac_(crac) {}

  // `name` is a version's; empty is `criu`, as in versions of older schedulers.
  CheckpointEngine& OfVersion(absl::string_view name) const { return name == crac_.name() ? crac_ : criu_; }
  // Of a snapshot that `engine` (SnapshotInfo.engine: the name, a blank, what it says of its version) has made.
  CheckpointEngine& OfSnapshot(absl::string_view engine) const { return OfVersion(engine.substr(0, engine.find(' '))); }

 private:
  CheckpointEngine& criu_;
  CheckpointEngine& crac_;
};

// Any process: thaw-init runs CRIU on it, and nothing has to be known at its start.
class CriuEngine final : public CheckpointEngine {
 public:
  absl::string_view name() const override { return "criu"; }
  absl::Status Usable(const ImageInfo&) const override { return absl::OkStatus(); }
  absl::Status PrepareStart(const ImageInfo&, const Slot&, StartOrder&) const override { return absl::OkStatus(); }
  absl::StatusOr<int> Restore(Slot& slot, const RestoreOrder& order) override { return slot.init().Restore(order); }
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_ENGINE_ENGINE_H_
