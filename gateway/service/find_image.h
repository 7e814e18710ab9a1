#ifndef THAW_GATEWAY_SERVICE_FIND_IMAGE_H_
#define THAW_GATEWAY_SERVICE_FIND_IMAGE_H_

#include "absl/time/time.h"
#include "common/rpc/client.h"
#include "thaw/gateway/v1/gateway.grpc.pb.h"
#include "thaw/scheduler/v1/scheduler.grpc.pb.h"

namespace thaw::gateway {

struct FindImageDeps {
  scheduler::v1::Catalogue::Stub* catalogue;
  ChannelPool* channels;
  absl::Time deadline;
  // A node that is silent for so long counts as one without the image.
  absl::Duration node_limit;
};

// Admin.FindImage: asks all reachable nodes at once. The reactor is the context's default one.
grpc::ServerUnaryReactor* StartFindImage(grpc::CallbackServerContext& context, const v1::FindImageRequest& request,
                                         v1::FindImageResponse& response, FindImageDeps deps);

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_FIND_IMAGE_H_
