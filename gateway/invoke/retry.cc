#include "gateway/invoke/retry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/reasons.h"
#include "gateway/errors.h"

namespace thaw::gateway {
namespace {

using Cause = GatewayMetrics::RetryCause;

Verdict End(absl::Status status, Verdict::Drop drop = Verdict::Drop::kNothing) {
  Verdict verdict;
  verdict.drop = drop;
  verdict.status = std::move(status);
  return verdict;
}

Verdict OtherNode(absl::Status status, Verdict::Drop drop, Cause cause, bool exclude_node = true) {
  return {.next = Verdict::Next::kOtherNode,
          .drop = drop,
          .exclude_node = exclude_node,
          .status = std::move(status),
          .cause = cause};
}

std::string Detail(const Try& tried, const absl::Status& status) {
  return absl::StrCat("node ", tried.node_id, ": ", status.message());
}

Verdict JudgeNotSent(const absl::Status& status, const Try& tried) {
  if (absl::IsDeadlineExceeded(status)) return End(TimedOutWaiting(tried.function));
  return OtherNode(NoNodeTookIt(tried.function, Detail(tried, status)), Verdict::Drop::kNode, Cause::kUnreachable);
}

Verdict JudgeMaybeSent(const absl::Status& status, const Try& tried) {
  switch (status.code()) {
    case absl::StatusCode::kDeadlineExceeded:
      return End(TimedOutAt(tried.function, tried.node_id, tried.elapsed));
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kUnimplemented:
      return OtherNode(NoNodeTookIt(tried.function, Detail(tried, status)), Verdict::Drop::kLease, Cause::kRefused);
    case absl::StatusCode::kUnavailable:
      return End(AnswerLost(tried.function, tried.node_id, status.message()), Verdict::Drop::kNode);
    default:
      return End(AnswerLost(tried.function, tried.node_id,
                            absl::StrCat(absl::StatusCodeToString(status.code()), ": ", status.message())));
  }
}

Verdict JudgeAnswered(const absl::Status& status, const Try& tried) {
  if (WasSent(status)) return End(status);
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return OtherNode(status, Verdict::Drop::kLease, Cause::kUnavailable);
    case absl::StatusCode::kFailedPrecondition:
      return OtherNode(status, Verdict::Drop::kLease, Cause::kCannotRun);
    case absl::StatusCode::kResourceExhausted:
      return OtherNode(status, Verdict::Drop::kNothing, Cause::kNoRoom);
    case absl::StatusCode::kNotFound:
      // Whether the function is gone is for the scheduler to say: the next request for a lease asks it.
      return OtherNode(NoNodeTookIt(tried.function, Detail(tried, status)), Verdict::Drop::kLease, Cause::kStaleLease,
                       /*exclude_node=*/false);
    case absl::StatusCode::kUnauthenticated:
      // The cluster's own disorder must not look like the caller's.
      return OtherNode(NoNodeTookIt(tried.function, Detail(tried, status)), Verdict::Drop::kLease, Cause::kRefused);
    default:
      return End(status);
  }
}

}  // namespace

Verdict Judge(const AgentResult& result, const Try& tried) {
  if (tried.cancelled) return End(CallerGone());
  switch (result.delivery) {
    case Delivery::kNotSent:
      return JudgeNotSent(result.status, tried);
    case Delivery::kMaybeSent:
      return JudgeMaybeSent(result.status, tried);
    case Delivery::kAnswered:
      break;
  }
  return JudgeAnswered(result.status, tried);
}

}  // namespace thaw::gateway
