#include "gateway/service/scheduler_status.h"

#include <grpcpp/support/status.h>

#include "absl/strings/str_cat.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "gateway/errors.h"

namespace thaw::gateway {

absl::Status FromSchedulerStatus(const grpc::Status& status, absl::string_view doing) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result = FromGrpcStatus(status);
  if (absl::IsUnauthenticated(result)) {
    return WithReason(absl::InternalError(absl::StrCat("the scheduler refused this gateway's cluster token for ", doing,
                                                       "; give both the same --cluster-token-file")),
                      reason::kInternal);
  }
  // The scheduler's own errors carry a reason; without one it was gRPC or the network.
  if (!ReasonOf(result).empty()) return result;
  switch (result.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnknown:
      return SchedulerUnavailable(doing, result.message());
    case absl::StatusCode::kUnimplemented:
      return WithReason(absl::InternalError(absl::StrCat("the scheduler does not know the request for ", doing,
                                                         "; run the same version of Thaw everywhere")),
                        reason::kInternal);
    default:
      return result;
  }
}

}  // namespace thaw::gateway
