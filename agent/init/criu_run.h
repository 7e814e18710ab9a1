#ifndef THAW_AGENT_INIT_CRIU_RUN_H_
#define THAW_AGENT_INIT_CRIU_RUN_H_

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/init/child_process.h"
#include "agent/init/outcome.h"
#include "agent/init/unique_fd.h"

namespace thaw::init {

// One run of CRIU as a child of init, in a process group of its own.
//
// Life: Start(), then the owner waits for the child's end (it reaps everything anyway), and calls Finish().
// Interrupt() ends it early. Work files lie in kWorkDir, which Start() empties.
class CriuRun {
 public:
  struct Options {
    std::vector<std::string> arguments;
    std::vector<std::string> env;
    // Real ids for CRIU, the function's, where init lacks CAP_SYS_RESOURCE; 0 otherwise.
    uid_t real_uid = 0;
    gid_t real_gid = 0;
    // Descriptors kept open across the exec under these numbers.
    std::map<int, int> keep;  // number in the child -> descriptor of init
    // At the lowest CPU and I/O weight: nobody waits for it.
    bool background = false;
    // Runs in the child before the exec, so that init goes on answering: lays down files.
    std::function<Outcome()> before;
  };

  // What became of the run.
  struct Result {
    // OK when the program ended with status 0.
    Outcome outcome;
    std::string log;       // CRIU's own log and what it wrote to stdout and stderr
    double total_ms = 0;   // since Start()
    double criu_ms = 0;    // since the exec
  };

  Outcome Start(const Options& options);

  pid_t pid() const { return pid_; }
  // Readable when the child has executed CRIU or failed before.
  int failure_fd() const { return failure_.read_fd(); }
  // Notes the moment of the exec; to be called when failure_fd() is readable.
  void NoteExec();

  // Kills the whole group. Returns true when CRIU held `function` under trace at that moment: then its
  // processes can't be relied on any more (they may carry CRIU's parasite code) and must be killed.
  bool Interrupt(const std::vector<pid_t>& function);

  // `wait_status` as from waitpid. `is_dump` chooses the words of the explanation.
  Result Finish(int wait_status, bool is_dump);

 private:
  [[noreturn]] void RunChild(const Options& options);

  FailurePipe failure_;
  std::string failure_text_;
  pid_t pid_ = 0;
  double started_ms_ = 0;
  double exec_ms_ = 0;
};

// Runs CRIU, with kCriuEnvironment, to its end, at most `timeout_ms` long, and returns its exit status, or -1; `output` gets what
// it wrote. Blocks: for the time before a slot is open only.
int RunToEnd(const std::vector<std::string>& arguments, int timeout_ms, std::string* output);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_CRIU_RUN_H_
