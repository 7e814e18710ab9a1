// The orders of docs/design/init-protocol.md: JSON lines to structs, and answers to JSON lines.
#ifndef THAW_AGENT_INIT_ORDER_H_
#define THAW_AGENT_INIT_ORDER_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "agent/init/given_files.h"
#include "agent/init/obstacles/descriptor_actions.h"
#include "agent/init/outcome.h"
#include "agent/init/unique_shim.h"

namespace thaw::init {

// A start may carry 128 KiB of environment, as much of configuration, and 512 KiB of secrets in base64.
inline constexpr size_t kOrderLineLimit = 2 * 1024 * 1024;

struct StatusOrder {};
// `error`: why there was no checkpoint; empty when there was one.
struct ResumeOrder {
  std::string error;
};
struct RefuseOrder {
  std::string error;
};
struct ResetOrder {};
struct LookOrder {};

struct StartOrder {
  std::vector<std::string> argv;
  std::vector<std::string> env;  // NAME=VALUE
  std::string cwd = "/";
  uid_t uid = 1000;
  gid_t gid = 1000;
  // Keeps init's own capabilities and gets no filter: for a JVM that runs CRIU itself.
  bool privileged = false;
  // A snapshot that the program is going to restore by itself, or empty: its files are laid down first.
  std::string snapshot;
  std::string instance;
  std::string meta;
  GivenFiles given;
};

// Takes the files of a function that has frozen itself, and ended by that.
struct SaveOrder {
  std::string dir;
};

struct DumpOrder {
  std::string dir;
  bool leave_running = false;
  int64_t timeout_ms = 0;
  // Look for obstacles first, and refuse when one has no action.
  bool check = true;
  std::vector<DescriptorAction> actions;
  CureSet without_cures;  // of this snapshot's restores
};

struct RandomnessOrder {};

struct RestoreOrder {
  std::string dir;
  std::string stdout_pipe;  // pipe:[123] or empty
  std::string stderr_pipe;
  std::string resume;  // the marker's name or empty
  uid_t uid = 1000;
  gid_t gid = 1000;
  std::string instance;
  std::string meta;
  int64_t timeout_ms = 0;
  GivenFiles given;
};

// What a running function is told anew.
struct GiveOrder {
  GivenFiles given;
};

struct KillOrder {
  int signal = 0;
  int64_t grace_ms = 0;
};

struct Order {
  uint64_t id = 0;
  std::variant<StatusOrder, ResumeOrder, RefuseOrder, ResetOrder, LookOrder, StartOrder, SaveOrder, DumpOrder, RestoreOrder,
               GiveOrder, KillOrder,
               RandomnessOrder>
      what;
};

// Reads one line. INVALID_ARGUMENT names the field that is missing or wrong; `order->id` is set even then
// when the line carries one, so that the answer finds its order.
Outcome ParseOrder(std::string_view line, Order* order);

// The number of a signal given as "TERM", "SIGTERM" or "15"; 0 when there is none such.
int SignalNumber(std::string_view name);
// "SIGTERM"; "SIG<n>" for a number without a name.
std::string SignalName(int signal);

// True for a name as MakeMarkerName() gives: it can't leave the marker directory.
bool IsMarkerName(std::string_view name);
// `resume-` and 128 random bits in hex, so that no two waits of any snapshot share one.
std::string MakeMarkerName();

// True for an absolute path strictly below /cracdata without `.` or `..` parts.
bool IsSnapshotDir(std::string_view dir);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_ORDER_H_
