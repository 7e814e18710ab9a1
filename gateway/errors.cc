#include "gateway/errors.h"

#include "absl/strings/str_cat.h"
#include "common/status/reasons.h"

namespace thaw::gateway {
namespace {

constexpr absl::Duration kRetrySoon = absl::Seconds(1);

absl::Status Exhausted(absl::string_view message, absl::string_view why) {
  return WithReason(absl::ResourceExhaustedError(message), why);
}

}  // namespace

absl::Status NodePinningForbidden() {
  return WithReason(absl::PermissionDeniedError("this gateway does not let callers choose the node; leave `thaw-node` "
                                                "out, or have the operator start it with --allow-node-pinning"),
                    reason::kNodePinningForbidden);
}

absl::Status BodyTooLarge(std::size_t limit_bytes, absl::string_view remedy) {
  return WithReason(
      absl::ResourceExhaustedError(absl::StrCat("the body is larger than ", limit_bytes, " bytes; ", remedy)),
      reason::kBodyTooLarge, {{"limit_bytes", absl::StrCat(limit_bytes)}});
}

absl::Status RequestTooSlow(std::size_t received_bytes, absl::Duration read_limit,
                            std::size_t min_bytes_per_second) {
  return WithReason(
      absl::DeadlineExceededError(absl::StrCat(
          "the request took too long to arrive and nothing was called: after ", received_bytes,
          " bytes of its body no message came within ", absl::FormatDuration(read_limit), ", or fewer than ",
          min_bytes_per_second, " bytes per second; send the body without pauses, and half-close after it")),
      reason::kRequestTooSlow, {{"received_bytes", absl::StrCat(received_bytes)}});
}

absl::Status HeadersTooLarge(std::size_t limit_bytes) {
  return WithReason(absl::ResourceExhaustedError(absl::StrCat("the headers are larger than ", limit_bytes,
                                                              " bytes in all; send large values in the body")),
                    reason::kHeadersTooLarge, {{"limit_bytes", absl::StrCat(limit_bytes)}});
}

absl::Status AnswerTooLarge(absl::string_view function, std::size_t limit_bytes, absl::string_view remedy) {
  return MarkSent(WithReason(absl::ResourceExhaustedError(absl::StrCat("the answer of function ", function,
                                                                       " is larger than ", limit_bytes, " bytes; ", remedy)),
                             reason::kFunctionAnswerTooLarge, {{"limit_bytes", absl::StrCat(limit_bytes)}}));
}

absl::Status TooManyCalls(int limit) {
  return WithRetryAfter(Exhausted(absl::StrCat("the gateway has ", limit, " calls in flight, its limit "
                                               "(--max-concurrent-calls); come again later"), reason::kQueueFull),
                        kRetrySoon);
}

absl::Status TooManyBodyBytes(std::size_t limit_bytes) {
  return WithRetryAfter(Exhausted(absl::StrCat("the gateway holds ", limit_bytes, " bytes of bodies, its limit "
                                               "(--max-buffered-bytes); come again later"), reason::kQueueFull),
                        kRetrySoon);
}

absl::Status TooManyWaiting(absl::string_view function, std::size_t limit) {
  return WithRetryAfter(Exhausted(absl::StrCat(limit, " calls already wait for a node for function ", function,
                                               "; come again later"), reason::kQueueFull),
                        kRetrySoon);
}

absl::Status SchedulerUnavailable(absl::string_view doing, absl::string_view detail) {
  return WithRetryAfter(
      WithReason(absl::UnavailableError(absl::StrCat("the scheduler can't be reached for ", doing, " (", detail,
                                                     "); retry, and see whether it runs")),
                 reason::kSchedulerUnavailable),
      kRetrySoon);
}

absl::Status NoNodeTookIt(absl::string_view function, absl::string_view last_detail) {
  return WithRetryAfter(
      WithReason(absl::UnavailableError(absl::StrCat("no node could take the call of function ", function,
                                                     "; nothing reached it, so retry (", last_detail, ")")),
                 reason::kNoNodeReady),
      kRetrySoon);
}

absl::Status Stopping() {
  return WithRetryAfter(
      WithReason(absl::UnavailableError("this gateway is stopping; retry on another"), reason::kNoNodeReady), kRetrySoon);
}

absl::Status TimedOutWaiting(absl::string_view function) {
  return WithReason(absl::DeadlineExceededError(absl::StrCat("the time was up before a node took the call of function ",
                                                             function, "; nothing reached it")),
                    reason::kFunctionTimeout);
}

absl::Status TimedOutAt(absl::string_view function, absl::string_view node, absl::Duration after) {
  return MarkSent(WithReason(
      absl::DeadlineExceededError(absl::StrCat("function ", function, " on node ", node, " has not answered within ",
                                               absl::FormatDuration(absl::Trunc(after, absl::Milliseconds(1))),
                                               "; see what it wrote with `thaw logs ", function, "`")),
      reason::kFunctionTimeout));
}

absl::Status AnswerLost(absl::string_view function, absl::string_view node, absl::string_view detail) {
  return MarkSent(WithReason(
      absl::AbortedError(absl::StrCat("the answer of function ", function, " on node ", node,
                                      " was lost; the call may have run and was not sent again (", detail,
                                      "): see `thaw logs ", function, "`, and call again where that is safe")),
      reason::kAnswerLost));
}

absl::Status FunctionFailed() {
  return MarkSent(WithReason(absl::InternalError("function failed"), reason::kFunctionFailed));
}

absl::Status FunctionTimedOut() {
  return MarkSent(WithReason(absl::DeadlineExceededError("the function says that it timed out"),
                             reason::kFunctionTimeout));
}

absl::Status CallerGone() { return absl::CancelledError("the caller gave the call up"); }

}  // namespace thaw::gateway
