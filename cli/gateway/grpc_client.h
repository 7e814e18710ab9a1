#ifndef THAW_CLI_GATEWAY_GRPC_CLIENT_H_
#define THAW_CLI_GATEWAY_GRPC_CLIENT_H_

#include <memory>

#include "absl/status/statusor.h"
#include "cli/gateway/client.h"

namespace thaw::cli {

// A client over gRPC. Connects on the first call. NOT_FOUND when the CA file can't be read.
absl::StatusOr<std::unique_ptr<GatewayClient>> MakeGrpcGatewayClient(const ConnectionOptions& options);

}  // namespace thaw::cli

#endif  // THAW_CLI_GATEWAY_GRPC_CLIENT_H_
