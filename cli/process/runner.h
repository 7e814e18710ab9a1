#ifndef THAW_CLI_PROCESS_RUNNER_H_
#define THAW_CLI_PROCESS_RUNNER_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace thaw::cli {

// A program to run: an argv, never a shell line.
struct ProcessSpec {
  // argv[0] is looked for in PATH.
  std::vector<std::string> argv;
  // Added to this process's environment.
  std::vector<std::pair<std::string, std::string>> env;
  // Empty: this process's.
  std::string working_directory;
  // The program and its children are killed when it is up. Needed.
  absl::Duration timeout;
  // Whether it puts something right that an interrupted command leaves behind: it is run to its end though
  // the user wants out.
  bool cleanup = false;
  // Gets standard output as it comes, on the calling thread; an error it returns kills the program and is
  // what Run() returns. Without it the output is in the result.
  std::function<absl::Status(absl::string_view)> on_output;
  // Gets each finished line of standard output and standard error, for a progress display. Not with
  // on_output.
  std::function<void(absl::string_view)> on_line;
};

struct ProcessResult {
  // 128 + N when signal N ended it.
  int exit_code = 0;
  // The last 4 MiB of each.
  std::string output;
  std::string error_output;
};

// Runs programs of this machine. Threads: any.
class ProcessRunner {
 public:
  virtual ~ProcessRunner() = default;

  // Waits for the end. Standard input is empty. A program that ends with an exit code other than 0 is no
  // error here.
  //
  //   NOT_FOUND          there is no such program
  //   DEADLINE_EXCEEDED  its time was up; it was killed with its children
  //   CANCELLED          the user interrupted; it was killed with its children
  //   INTERNAL           this machine can't start processes (the message has the system's word)
  virtual absl::StatusOr<ProcessResult> Run(const ProcessSpec& spec) = 0;
};

// The last `count` non-empty lines of what a program wrote, for an error message.
std::string LastLines(absl::string_view text, int count);

}  // namespace thaw::cli

#endif  // THAW_CLI_PROCESS_RUNNER_H_
