#ifndef THAW_GATEWAY_SERVICE_CREATE_SNAPSHOT_H_
#define THAW_GATEWAY_SERVICE_CREATE_SNAPSHOT_H_

#include <memory>

#include "absl/time/time.h"
#include "common/rpc/client.h"
#include "thaw/gateway/v1/gateway.grpc.pb.h"
#include "thaw/scheduler/v1/scheduler.grpc.pb.h"

namespace thaw::gateway {

struct CreateSnapshotDeps {
  std::shared_ptr<scheduler::v1::Leases::Stub> leases;
  ChannelPool* channels;
  absl::Time deadline;
};

// Admin.CreateSnapshot: a lease says which node is the best for the function (one where it runs already comes first),
// that node's agent freezes it, and the lease is given back. The reactor is the context's default one.
grpc::ServerUnaryReactor* StartCreateSnapshot(grpc::CallbackServerContext& context,
                                              const v1::CreateSnapshotRequest& request,
                                              ::thaw::common::v1::SnapshotInfo& response, CreateSnapshotDeps deps);

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_CREATE_SNAPSHOT_H_
