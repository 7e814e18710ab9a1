#ifndef THAW_GATEWAY_SERVICE_EXPLAIN_FREEZING_H_
#define THAW_GATEWAY_SERVICE_EXPLAIN_FREEZING_H_

#include "gateway/service/ask_nodes.h"
#include "thaw/gateway/v1/gateway.grpc.pb.h"

namespace thaw::gateway {

// Admin.ExplainFreezing: asks all reachable nodes at once what they know of the function's version, and merges it by time,
// the newest first. A node that can't be asked is told of by a diagnosis with an error. The reactor is the context's
// default one.
//
//   INVALID_ARGUMENT, NOT_FOUND   as for the function's name
//   FAILED_PRECONDITION           no instance runs, and nothing was ever tried (NOTHING_KNOWN)
//   UNAVAILABLE                   no scheduler to ask which nodes there are
grpc::ServerUnaryReactor* StartExplainFreezing(grpc::CallbackServerContext& context,
                                               const v1::ExplainFreezingRequest& request,
                                               v1::ExplainFreezingResponse& response, const AskNodesDeps& deps);

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_EXPLAIN_FREEZING_H_
