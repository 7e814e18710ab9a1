#ifndef THAW_AGENT_INSTANCE_SLOT_INIT_H_
#define THAW_AGENT_INSTANCE_SLOT_INIT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "thaw/common/v1/freezing.pb.h"
#include "agent/uniqueness/process_randomness.h"

namespace thaw::agent {

// What thaw-init says of itself (docs/design/init-protocol.md, `status`).
struct InitStatus {
  enum class State { kEmpty, kRunning, kDumping, kRestoring };
  State state = State::kEmpty;
  std::string init_version;
  // Empty when the image has no CRIU.
  std::string criu_version;
  int pid = 0;
  std::string instance_id;
  std::string meta;
  std::uint64_t rss_bytes = 0;
  // The function has been given what no snapshot may have; init refuses to dump it.
  bool sealed = false;
};

// Config and secrets as files of the function (docs/design/init-protocol.md).
struct Given {
  // Restore-time config; nothing for a key without a value.
  std::map<std::string, std::optional<std::string>> config;
  // Values by name, any bytes.
  std::map<std::string, std::string> secrets;
  bool sealed = false;
};

struct StartOrder {
  std::vector<std::string> argv;
  std::map<std::string, std::string> env;
  std::string working_dir;
  std::uint32_t uid = 1000;
  std::uint32_t gid = 1000;
  // As root, with what the container may do: for an engine whose process freezes itself.
  bool privileged = false;
  // The snapshot that the command is going to restore, as the container sees it; empty for a cold start.
  std::string snapshot_dir;
  std::string instance_id;
  std::string meta;
  Given given;
};

struct DumpOrder {
  // As the container sees it.
  std::string dir;
  bool leave_running = true;
  absl::Duration time_limit;
  // What Look() found, each with its action: close, reopen or ignore. Anything else that is in the way refuses the dump.
  std::vector<thaw::common::v1::Finding> actions;
  // Names of cures that the dump's restores are to do without.
  std::vector<std::string> without_cures;
};

struct DumpReport {
  absl::Duration duration;
  absl::Duration frozen;
  std::uint64_t image_bytes = 0;
  std::string stdout_pipe;
  std::string stderr_pipe;
  std::string resume_marker;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};

struct RestoreOrder {
  std::string dir;
  std::string stdout_pipe;
  std::string stderr_pipe;
  std::string resume_marker;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::string instance_id;
  std::string meta;
  absl::Duration time_limit;
  Given given;
};

struct InitEvent {
  // kCheckpointWished: the function itself asks for a checkpoint, and waits; it is answered by freezing it or by Refuse().
  enum class Kind { kExit, kCheckpointReady, kCheckpointWished, kDisconnected };
  Kind kind = Kind::kExit;
  std::string instance_id;
  int pid = 0;
  // kExit: the exit code, or the name of the signal that ended it.
  int code = 0;
  std::string signal;
  bool out_of_memory = false;
};

// The agent's end of the conversation with one container's thaw-init.
//
// Threads: any; orders may overlap. Each blocks until init has answered or its time is up (never call one from a
// reactor). Errors are init's own codes with its words; UNAVAILABLE when the connection is gone (the container
// has probably ended), DEADLINE_EXCEEDED when init does not answer.
class SlotInit {
 public:
  using EventHandler = absl::AnyInvocable<void(const InitEvent&)>;

  virtual ~SlotInit() = default;

  // Who is told of events from now on, on the connection's thread: it must be short and not block. At most
  // one; an empty one stops them. Returns when no call of the old handler is running. A wish
  // (kCheckpointWished) of the function that nobody heard is told to the next handler from within this call;
  // other events that nobody hears are lost.
  virtual void SetEventHandler(EventHandler handler) = 0;

  virtual absl::StatusOr<InitStatus> GetStatus(absl::Duration limit) = 0;
  virtual absl::StatusOr<int> Start(const StartOrder& order, absl::Duration limit) = 0;
  // Adds the writable files of a function that has frozen itself into `dir`/images, and ended by that.
  virtual absl::StatusOr<DumpReport> Save(const std::string& dir, absl::Duration limit) = 0;
  // What would break a dump, or a restore elsewhere, as the function is now; without actions (that is the rules' part).
  virtual absl::StatusOr<std::vector<thaw::common::v1::Finding>> Look(absl::Duration limit) = 0;
  // An error has its findings and the end of CRIU's log with it: DiagnosisOf().
  virtual absl::StatusOr<DumpReport> Dump(const DumpOrder& order) = 0;
  // What the function's processes draw random numbers with. ABORTED when it ends meanwhile.
  virtual absl::StatusOr<std::vector<ProcessRandomness>> Randomness(absl::Duration limit) = 0;
  // Lets the function go on after a checkpoint; `why_not` is what it is told when there was none, and empty otherwise.
  virtual absl::Status Resume(absl::string_view why_not, absl::Duration limit) = 0;
  // Tells a function that wished for a checkpoint why it gets none. OK when none did.
  virtual absl::Status Refuse(absl::string_view why, absl::Duration limit) = 0;
  virtual absl::StatusOr<int> Restore(const RestoreOrder& order) = 0;
  // Replaces what the running function was given, as a whole.
  virtual absl::Status Give(const Given& given, absl::Duration limit) = 0;
  // Ends the function: `signal`, then SIGKILL after `grace`.
  virtual absl::Status Kill(const std::string& signal, absl::Duration grace) = 0;
  // Makes the container an empty slot again.
  virtual absl::Status Reset(absl::Duration limit) = 0;
};

class SlotInitConnector {
 public:
  virtual ~SlotInitConnector() = default;
  // Connects to `ctl_dir`/init.sock, waiting for it to appear until `deadline` (then DEADLINE_EXCEEDED), and has the
  // first status answered, so that init is known to take orders.
  virtual absl::StatusOr<std::unique_ptr<SlotInit>> Connect(const std::string& ctl_dir, absl::Time deadline) = 0;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_INSTANCE_SLOT_INIT_H_
