#include "cli/exit_code.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status/reasons.h"

namespace thaw::cli {
namespace {

bool IsLocal(absl::string_view reason) {
  static constexpr std::array<absl::string_view, 6> kLocal = {
      local_reason::kDockerMissing,     local_reason::kDockerDaemon, local_reason::kBuildFailed,
      local_reason::kLocalImageMissing, local_reason::kToolFailed,   local_reason::kFile};
  return std::find(kLocal.begin(), kLocal.end(), reason) != kLocal.end();
}

}  // namespace

absl::Status LocalError(absl::Status status, absl::string_view reason) {
  return WithReason(std::move(status), reason);
}

ExitCode ExitCodeOf(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  if (!status.ok()) {
    if (status.code() == absl::StatusCode::kCancelled) return ExitCode::kInterrupted;
    if (reason == local_reason::kClaimFailed) return ExitCode::kFunctionFailed;
    if (IsLocal(reason)) return ExitCode::kLocalStep;
    if (absl::EndsWith(reason, "_NOT_FOUND")) return ExitCode::kNotFound;
  }
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return ExitCode::kOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return ExitCode::kUsage;
    case absl::StatusCode::kNotFound:
      return ExitCode::kNotFound;
    case absl::StatusCode::kUnavailable:
      return ExitCode::kUnreachable;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kUnimplemented:
      return ExitCode::kRefused;
    case absl::StatusCode::kResourceExhausted:
      return ExitCode::kNoRoom;
    case absl::StatusCode::kDeadlineExceeded:
      return ExitCode::kTimeout;
    case absl::StatusCode::kAborted:
      return ExitCode::kAnswerLost;
    case absl::StatusCode::kInternal:
      return absl::StartsWith(reason, "FUNCTION_") ? ExitCode::kFunctionFailed : ExitCode::kInternal;
    default:
      return ExitCode::kInternal;
  }
}

std::string NextStep(const absl::Status& status, absl::string_view server, absl::string_view function) {
  const std::string reason = ReasonOf(status);
  if (function.empty()) function = "APP/FUNCTION";
  if (reason == reason::kFunctionNotFound) return "see what is there with `thaw functions list`";
  if (reason == reason::kAppNotFound)
    return "see what is there with `thaw apps list`, or make it with `thaw apps create`";
  if (reason == reason::kSecretNotFound) return "see what is there with `thaw secret ls APP`";
  if (reason == reason::kSnapshotNotFound) return "see what is there with `thaw snapshot ls`";
  if (reason == reason::kNodeNotFound) return "see what is there with `thaw nodes`";
  if (reason == reason::kNodePinningForbidden) {
    return "leave --node away, or start the gateway with --allow-node-pinning";
  }
  if (reason == reason::kFunctionFailed || reason == reason::kFunctionExited ||
      reason == reason::kFunctionBadAnswer || reason == reason::kFunctionNeverListened) {
    return absl::StrCat("read what it wrote with `thaw logs ", function, "`");
  }
  if (reason == reason::kFunctionOutOfMemory) {
    return absl::StrCat("give it more with `thaw functions update ", function, " --memory MIB`");
  }
  if (reason == reason::kFunctionTimeout) {
    return absl::StrCat("read what it did with `thaw logs ", function,
                        "`, or give it longer with `thaw functions update ", function, " --timeout SECONDS`");
  }
  if (reason == reason::kImageUnavailable)
    return "deploy it again with `thaw deploy`, which brings the image to the nodes";
  if (reason == reason::kEngineUnavailable)
    return "see which node it is with `thaw nodes`, and start its Docker Engine";
  if (reason == reason::kSchedulerUnavailable)
    return "see whether the scheduler runs, and its log; then try again";
  if (reason == reason::kNoNodeReady) return "see why with `thaw nodes`, then try again";
  if (reason == reason::kNoMemory)
    return "wait for instances to go idle, lower --memory, or add a node (see `thaw nodes`)";
  if (reason == local_reason::kDockerMissing)
    return "install Docker (on Debian: apt install docker.io), then try again";
  if (reason == local_reason::kDockerDaemon) {
    return "start it (systemctl start docker) or name it with DOCKER_HOST, and check that you may use it";
  }
  if (reason == local_reason::kLocalImageMissing) {
    return "run deploy/up once, which makes Thaw's own images, or `docker tag` a local image to that name";
  }
  if (const auto delay = RetryAfterOf(status); delay.has_value()) {
    return absl::StrCat("try again in ", absl::FormatDuration(*delay));
  }
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      if (reason.empty()) {
        return absl::StrCat(
            "check that a gateway listens on ", server,
            " (deploy/up starts a cluster), or name another one with --server or THAW_SERVER");
      }
      return "see the nodes with `thaw nodes`, then try again";
    case absl::StatusCode::kDeadlineExceeded:
      return "try again with a longer --timeout, or see the nodes with `thaw nodes`";
    case absl::StatusCode::kAborted:
      return absl::StrCat("look whether it ran with `thaw logs ", function, "` before you call it again");
    case absl::StatusCode::kInvalidArgument:
      return reason.empty() ? "see the command's --help" : "";
    case absl::StatusCode::kUnimplemented:
      return "compare the versions with `thaw version`";
    default:
      return "";
  }
}

std::string ExitCodeHelp() {
  return "  0    done\n"
         "  1    the function failed (for `thaw demo`: a claim did not hold)\n"
         "  2    the command line, func.yaml or request is wrong\n"
         "  3    no such app, function, snapshot or node\n"
         "  4    the cluster can't be reached, or no node can take the call now\n"
         "  5    refused: the state forbids it, the name is taken, or it is not allowed\n"
         "  6    out of room: memory, disk, queue, or something is too large\n"
         "  7    time was up\n"
         "  8    the call may have run, but its answer was lost (it was not sent again)\n"
         "  9    an error inside Thaw, or damaged data\n"
         "  10   a step on this machine failed: docker, a build, a hook, a file\n"
         "  130  interrupted (Ctrl-C)\n";
}

}  // namespace thaw::cli
