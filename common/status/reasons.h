#ifndef THAW_COMMON_STATUS_REASONS_H_
#define THAW_COMMON_STATUS_REASONS_H_

#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace thaw {

// The stable causes that programs may rely on (google.rpc.ErrorInfo.reason, domain "thaw"). The status
// code says what to do next; the reason says what it was.
namespace reason {
inline constexpr char kFunctionNotFound[] = "FUNCTION_NOT_FOUND";
inline constexpr char kAppNotFound[] = "APP_NOT_FOUND";
inline constexpr char kSnapshotNotFound[] = "SNAPSHOT_NOT_FOUND";
inline constexpr char kSecretNotFound[] = "SECRET_NOT_FOUND";
inline constexpr char kSecretMissing[] = "SECRET_MISSING";
inline constexpr char kNodeNotFound[] = "NODE_NOT_FOUND";
inline constexpr char kAlreadyExists[] = "ALREADY_EXISTS";
inline constexpr char kInvalidField[] = "INVALID_FIELD";
inline constexpr char kBodyTooLarge[] = "BODY_TOO_LARGE";
inline constexpr char kHeadersTooLarge[] = "HEADERS_TOO_LARGE";
inline constexpr char kRequestTooSlow[] = "REQUEST_TOO_SLOW";
inline constexpr char kQueueFull[] = "QUEUE_FULL";
inline constexpr char kNoMemory[] = "NO_MEMORY";
inline constexpr char kNoNodeReady[] = "NO_NODE_READY";
inline constexpr char kSchedulerUnavailable[] = "SCHEDULER_UNAVAILABLE";
inline constexpr char kNodePinningForbidden[] = "NODE_PINNING_FORBIDDEN";
inline constexpr char kImageUnavailable[] = "IMAGE_UNAVAILABLE";
inline constexpr char kEngineUnavailable[] = "ENGINE_UNAVAILABLE";
inline constexpr char kDiskFull[] = "DISK_FULL";
inline constexpr char kFunctionTimeout[] = "FUNCTION_TIMEOUT";
inline constexpr char kFunctionExited[] = "FUNCTION_EXITED";
inline constexpr char kFunctionOutOfMemory[] = "FUNCTION_OUT_OF_MEMORY";
inline constexpr char kFunctionBadAnswer[] = "FUNCTION_BAD_ANSWER";
inline constexpr char kFunctionAnswerTooLarge[] = "FUNCTION_ANSWER_TOO_LARGE";
inline constexpr char kFunctionNeverListened[] = "FUNCTION_NEVER_LISTENED";
inline constexpr char kFunctionFailed[] = "FUNCTION_FAILED";
inline constexpr char kAnswerLost[] = "ANSWER_LOST";
inline constexpr char kCheckpointRefused[] = "CHECKPOINT_REFUSED";
inline constexpr char kCheckpointTimeout[] = "CHECKPOINT_TIMEOUT";
inline constexpr char kCanaryFailed[] = "CANARY_FAILED";
inline constexpr char kNothingKnown[] = "NOTHING_KNOWN";
inline constexpr char kVersionReplaced[] = "VERSION_REPLACED";
inline constexpr char kNoInstanceInTime[] = "NO_INSTANCE_IN_TIME";
inline constexpr char kRestoreFailed[] = "RESTORE_FAILED";
inline constexpr char kSnapshotDamaged[] = "SNAPSHOT_DAMAGED";
inline constexpr char kCpuUnfit[] = "CPU_UNFIT";
inline constexpr char kUnauthenticated[] = "CLUSTER_TOKEN_MISSING_OR_WRONG";
inline constexpr char kInternal[] = "INTERNAL";
}  // namespace reason

// Returns `status` with an ErrorInfo detail. `metadata` is for programs (names, limits), never payloads.
absl::Status WithReason(absl::Status status, absl::string_view reason,
                        std::map<std::string, std::string> metadata = {});

// Returns `status` with a RetryInfo detail.
absl::Status WithRetryAfter(absl::Status status, absl::Duration delay);

// The reason of `status`, or "" when it has none.
std::string ReasonOf(const absl::Status& status);

// An entry of the ErrorInfo's metadata, if there.
std::optional<std::string> ReasonMetadata(const absl::Status& status, absl::string_view key);

std::optional<absl::Duration> RetryAfterOf(const absl::Status& status);

// Marks an error of a call whose bytes may have reached a function: such a call must not be sent again.
absl::Status MarkSent(absl::Status status);
bool WasSent(const absl::Status& status);

}  // namespace thaw

#endif  // THAW_COMMON_STATUS_REASONS_H_
