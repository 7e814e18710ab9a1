#ifndef THAW_CLI_PROCESS_POSIX_RUNNER_H_
#define THAW_CLI_PROCESS_POSIX_RUNNER_H_

#include "cli/interrupt.h"
#include "cli/process/runner.h"

namespace thaw::cli {

// Starts programs with posix_spawn, each in its own process group so that all of it can be killed.
// `interrupt` must outlive it.
class PosixProcessRunner final : public ProcessRunner {
 public:
  explicit PosixProcessRunner(const Interrupt& interrupt) : interrupt_(interrupt) {}
  absl::StatusOr<ProcessResult> Run(const ProcessSpec& spec) override;

 private:
  const Interrupt& interrupt_;
};

}  // namespace thaw::cli

#endif  // THAW_CLI_PROCESS_POSIX_RUNNER_H_
