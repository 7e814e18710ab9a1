#ifndef THAW_AGENT_START_STARTER_H_
#define THAW_AGENT_START_STARTER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/invoke/function_connection.h"
#include "agent/pool/slot.h"
#include "agent/pool/version_state.h"
#include "agent/start/start_kind.h"

namespace thaw::agent {

struct StartRequest {
  VersionState version;
  std::string instance_id;
  // An empty slot of the version, or none: one is then made.
  std::unique_ptr<Slot> slot;
  // When the caller that waits for this start gives up: a restore that fails must leave time for a cold start.
  absl::Time call_deadline;
  // Whether a checkpoint of this instance may come; a cold start then goes without secrets for after the restore.
  bool awaits_freeze = false;
  // Asked when the snapshot could not be restored: the version with what has replaced it meanwhile, or nothing. A snapshot
  // that is replaced is removed, although a start may just have begun with it. May be empty.
  std::function<std::optional<VersionState>(const std::string& snapshot_id)> replaced;
};

struct StartedInstance {
  std::unique_ptr<Slot> slot;
  std::unique_ptr<FunctionConnection> connection;
  StartRecord record;
  // Invocations the process had answered when it was frozen; 0 after a cold start.
  std::uint64_t answered_before = 0;
  // It was given secrets that no snapshot may have.
  bool sealed = false;
};

// Brings a function to life. Threads: any; blocks.
class InstanceStarter {
 public:
  virtual ~InstanceStarter() = default;

  // Restores the version's snapshot where there is a usable one, else starts the image. The function's socket is there
  // when this returns. On error nothing is left running; errors are SlotFactory's and
  //
  //   INTERNAL             the function exited, or its socket is not one (FUNCTION_EXITED, FUNCTION_BAD_ANSWER)
  //   DEADLINE_EXCEEDED    its socket did not come in time (FUNCTION_NEVER_LISTENED)
  virtual absl::StatusOr<StartedInstance> Start(StartRequest request) = 0;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_START_STARTER_H_
