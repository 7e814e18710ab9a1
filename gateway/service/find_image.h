#ifndef THAW_GATEWAY_SERVICE_FIND_IMAGE_H_
#define THAW_GATEWAY_SERVICE_FIND_IMAGE_H_

#include "gateway/service/ask_nodes.h"
#include "thaw/gateway/v1/gateway.grpc.pb.h"

namespace thaw::gateway {

// Admin.FindImage: asks all reachable nodes at once. One that does not answer counts as one without the image. The
// reactor is the context's default one.
//
//   INVALID_ARGUMENT   not an image's id
//   UNAVAILABLE        no scheduler to ask which nodes there are
grpc::ServerUnaryReactor* StartFindImage(grpc::CallbackServerContext& context, const v1::FindImageRequest& request,
                                         v1::FindImageResponse& response, const AskNodesDeps& deps);

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_FIND_IMAGE_H_
