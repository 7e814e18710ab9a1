#ifndef THAW_CLI_EXIT_CODE_H_
#define THAW_CLI_EXIT_CODE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace thaw::cli {

// What the process says with its exit status. Scripts rely on these numbers: never renumber one.
enum class ExitCode : int {
  kOk = 0,
  // The function failed or broke its contract; for `thaw demo`, a claim did not hold.
  kFunctionFailed = 1,
  // A wrong command line, func.yaml or request.
  kUsage = 2,
  kNotFound = 3,
  // No answer from the gateway, or no node can take the call now.
  kUnreachable = 4,
  // Something is in a state that forbids it, exists already, or is not allowed.
  kRefused = 5,
  // No memory, disk or queue place left, or something is too large.
  kNoRoom = 6,
  kTimeout = 7,
  // The call may have run, but its answer was lost; it was not sent again.
  kAnswerLost = 8,
  // A bug of Thaw's, or damaged data.
  kInternal = 9,
  // A step on this machine failed: docker, a build, a hook, a file.
  kLocalStep = 10,
  // Ctrl-C.
  kInterrupted = 130,
};

// ErrorInfo reasons of errors that arise on this machine (common/status/reasons.h has the cluster's).
namespace local_reason {
inline constexpr char kDockerMissing[] = "DOCKER_MISSING";
inline constexpr char kDockerDaemon[] = "DOCKER_DAEMON_UNREACHABLE";
inline constexpr char kBuildFailed[] = "BUILD_FAILED";
inline constexpr char kLocalImageMissing[] = "LOCAL_IMAGE_MISSING";
inline constexpr char kToolFailed[] = "TOOL_FAILED";
inline constexpr char kFile[] = "LOCAL_FILE";
inline constexpr char kClaimFailed[] = "CLAIM_FAILED";
}  // namespace local_reason

// An error of this machine: its exit code is kLocalStep whatever `status`'s code is.
absl::Status LocalError(absl::Status status, absl::string_view reason);

ExitCode ExitCodeOf(const absl::Status& status);

// What the user can do about `status`: one line without a final stop, or "" when there is nothing better than
// the message. `server` is the address that was talked to, `function` what the command line called the
// function, if any.
std::string NextStep(const absl::Status& status, absl::string_view server, absl::string_view function = "");

// The table of exit codes for `thaw --help`.
std::string ExitCodeHelp();

}  // namespace thaw::cli

#endif  // THAW_CLI_EXIT_CODE_H_
