#ifndef THAW_GATEWAY_SERVICE_CHILD_CALL_H_
#define THAW_GATEWAY_SERVICE_CHILD_CALL_H_

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <memory>

#include "absl/time/time.h"
#include "common/rpc/client.h"

namespace thaw::gateway {

// The context of an RPC that is made for `inbound`, ready with token and deadline: gRPC cancels the RPC when the
// inbound call is cancelled, also by this server's shutdown, so that nobody waits for an answer that nobody wants. The
// inbound call must not have been finished yet.
inline std::unique_ptr<grpc::ClientContext> ChildContext(grpc::CallbackServerContext& inbound,
                                                         const Security& security, absl::Time deadline) {
  auto context = grpc::ClientContext::FromCallbackServerContext(inbound);
  PrepareCall(*context, security, deadline);
  return context;
}

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_CHILD_CALL_H_
