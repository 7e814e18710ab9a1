#ifndef THAW_GATEWAY_ERRORS_H_
#define THAW_GATEWAY_ERRORS_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace thaw::gateway {

// The failures that the gateway itself has to tell of, one function each; what the scheduler and the agents say is
// passed on in their words. All carry a reason; those that a retry can help carry a RetryInfo.

// PERMISSION_DENIED, NODE_PINNING_FORBIDDEN.
absl::Status NodePinningForbidden();
// RESOURCE_EXHAUSTED, BODY_TOO_LARGE. `limit_bytes` is what this way in takes.
absl::Status BodyTooLarge(std::size_t limit_bytes, absl::string_view remedy);
// DEADLINE_EXCEEDED, REQUEST_TOO_SLOW: a stream whose client stalled after `received_bytes` of its body; not sent.
absl::Status RequestTooSlow(std::size_t received_bytes, absl::Duration read_limit,
                            std::size_t min_bytes_per_second);
// RESOURCE_EXHAUSTED, HEADERS_TOO_LARGE.
absl::Status HeadersTooLarge(std::size_t limit_bytes);
// RESOURCE_EXHAUSTED, FUNCTION_ANSWER_TOO_LARGE; marked as sent.
absl::Status AnswerTooLarge(absl::string_view function, std::size_t limit_bytes, absl::string_view remedy);
// RESOURCE_EXHAUSTED, QUEUE_FULL: as many calls are in flight as the gateway allows.
absl::Status TooManyCalls(int limit);
// RESOURCE_EXHAUSTED, QUEUE_FULL: the bodies in flight fill the memory set aside for them.
absl::Status TooManyBodyBytes(std::size_t limit_bytes);
// RESOURCE_EXHAUSTED, QUEUE_FULL: as many calls wait for this function's first lease as the gateway allows.
absl::Status TooManyWaiting(absl::string_view function, std::size_t limit);
// UNAVAILABLE, SCHEDULER_UNAVAILABLE.
absl::Status SchedulerUnavailable(absl::string_view doing, absl::string_view detail);
// UNAVAILABLE, NO_NODE_READY: every node that was tried could not take the call; nothing reached a function.
absl::Status NoNodeTookIt(absl::string_view function, absl::string_view last_detail);
// UNAVAILABLE, NO_NODE_READY: the gateway is stopping.
absl::Status Stopping();
// DEADLINE_EXCEEDED, FUNCTION_TIMEOUT. Not sent: the time was up before a node had it.
absl::Status TimedOutWaiting(absl::string_view function);
// DEADLINE_EXCEEDED, FUNCTION_TIMEOUT; marked as sent.
absl::Status TimedOutAt(absl::string_view function, absl::string_view node, absl::Duration after);
// ABORTED, ANSWER_LOST; marked as sent.
absl::Status AnswerLost(absl::string_view function, absl::string_view node, absl::string_view detail);
// INTERNAL, FUNCTION_FAILED; marked as sent: the function answered 502.
absl::Status FunctionFailed();
// DEADLINE_EXCEEDED, FUNCTION_TIMEOUT; marked as sent: the function answered 504.
absl::Status FunctionTimedOut();
// CANCELLED: the caller went away.
absl::Status CallerGone();

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_ERRORS_H_
