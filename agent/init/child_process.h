#ifndef THAW_AGENT_INIT_CHILD_PROCESS_H_
#define THAW_AGENT_INIT_CHILD_PROCESS_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "agent/init/outcome.h"
#include "agent/init/privileges.h"
#include "agent/init/unique_fd.h"

namespace thaw::init {

// A freshly forked child before its exec: default signal handlers, nothing blocked, own session when asked.
void PrepareChildSignals();

// A pipe on which a child says what went wrong before its exec: closed by the exec itself, so end-of-file
// means that the program runs.
class FailurePipe {
 public:
  FailurePipe();
  bool ok() const { return static_cast<bool>(read_); }
  int read_fd() const { return read_.get(); }
  int write_fd() const { return write_.get(); }

  // In the child: sends the outcome and ends the process.
  [[noreturn]] void Fail(const Outcome& outcome);
  // In the parent, before reading.
  void CloseWriteEnd() { write_.reset(); }
  // In the parent: waits for the exec or the failure. `pipe text` is parsed by ParseFailure.
  Outcome Wait();
  static Outcome ParseFailure(const std::string& text);

 private:
  UniqueFd read_;
  UniqueFd write_;
};

struct FunctionCommand {
  std::vector<std::string> argv;
  std::vector<std::string> env;  // the whole environment
  std::string cwd;
  uid_t uid = 1000;
  gid_t gid = 1000;
  // As it is: root, with init's capabilities and no filter. `uid` and `gid` mean nothing then.
  bool privileged = false;
  // Takes a PID below those that functions have, for a program that makes one's processes again.
  bool low_pid = false;
};

struct FunctionProcess {
  pid_t pid = 0;
  UniqueFd out;  // non-blocking read ends
  UniqueFd err;
};

// Starts a function in a slot: see the order `start` in docs/design/init-protocol.md.
//
//   NotFound            argv[0] or the working directory does not exist.
//   FailedPrecondition  the container lacks what a slot needs (its PID cursor can't be set).
//   Internal            anything else that the kernel refused.
Outcome StartFunction(const FunctionCommand& command, FunctionProcess* process);

// pipe2 with both ends close-on-exec; the read end non-blocking.
Outcome MakeOutputPipe(UniqueFd* read_end, UniqueFd* write_end);

// "pipe:[123]" as /proc/<pid>/fd names it.
std::string PipeName(int fd);

// Milliseconds since an arbitrary point, monotonic.
double MonotonicMs();

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_CHILD_PROCESS_H_
