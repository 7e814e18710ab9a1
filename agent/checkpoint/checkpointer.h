#ifndef THAW_AGENT_CHECKPOINT_CHECKPOINTER_H_
#define THAW_AGENT_CHECKPOINT_CHECKPOINTER_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/invoke/function_connection.h"
#include "agent/pool/slot.h"
#include "agent/pool/version_state.h"
#include "agent/uniqueness/cures.h"

namespace thaw::agent {

struct CheckpointRequest {
  VersionState version;
  std::string instance_id;
  // Invocations that the instance has answered.
  std::uint64_t answered = 0;
  // The instance's; both are the caller's and it has no call under way.
  Slot* slot = nullptr;
  FunctionConnection* connection = nullptr;
  // It has been given secrets that no snapshot may have: Freeze() refuses.
  bool sealed = false;
};

// Where a checkpoint has left the instance, failed or not.
enum class InstanceAfter { kServing, kLost };

struct FrozenInstance {
  // OK: frozen.
  absl::Status status;
  // kLost with status OK: by engine crac, whose JVM ends by its checkpoint; or it did not go on in time.
  InstanceAfter instance = InstanceAfter::kServing;
  // Where the dump lies, to be published; empty on failure.
  std::string dump_dir;
  // As SnapshotInfo.engine has it; empty: CRIU, whose version the canary's slot says.
  std::string engine;
  DumpReport report;
  // Of its random numbers; empty when they were not looked at.
  CureReport cures;
  // The instance that goes on has been given the secrets for after the restore.
  bool sealed = false;
};

// Freezes instances and turns what was frozen into snapshots. Threads: any; blocks.
class Checkpointer {
 public:
  virtual ~Checkpointer() = default;

  // Freezes the instance and, where its engine can, lets it go on. Errors:
  //
  //   FAILED_PRECONDITION  refused by the function's resources, or by CRIU, or its restores would share random numbers
  //                        and its settings do not accept that (CHECKPOINT_REFUSED)
  //   DEADLINE_EXCEEDED    it took too long (CHECKPOINT_TIMEOUT)
  //   RESOURCE_EXHAUSTED   no disk space (DISK_FULL)
  //   UNAVAILABLE          the image has no CRIU
  virtual FrozenInstance Freeze(const CheckpointRequest& request) = 0;

  // Verifies the dump by a canary restore in a slot of its own, which never reaches the user's handler, and publishes
  // it on this node. `dump_dir` is consumed: it becomes the laid-out snapshot, or is removed. `canary_slot` may be null
  // (one is made) and is given back, emptied, when it is still good.
  struct Published {
    thaw::common::v1::SnapshotInfo snapshot;
    std::unique_ptr<Slot> canary_slot;
  };
  virtual absl::StatusOr<Published> Publish(const CheckpointRequest& request, const FrozenInstance& frozen,
                                            std::unique_ptr<Slot> canary_slot) = 0;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_CHECKPOINT_CHECKPOINTER_H_
