#ifndef THAW_COMMON_RPC_STATUS_H_
#define THAW_COMMON_RPC_STATUS_H_

#include "absl/status/status.h"

namespace grpc {
class Status;
}

namespace thaw {

// The one crossing between absl::Status and gRPC. Details (common/status/reasons.h) travel as
// google.rpc.Status in `grpc-status-details-bin`.
grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace thaw

#endif  // THAW_COMMON_RPC_STATUS_H_
