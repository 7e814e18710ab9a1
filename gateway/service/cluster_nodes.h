#ifndef THAW_GATEWAY_SERVICE_CLUSTER_NODES_H_
#define THAW_GATEWAY_SERVICE_CLUSTER_NODES_H_

#include <grpcpp/client_context.h>

#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "thaw/scheduler/v1/scheduler.grpc.pb.h"

namespace thaw::gateway {

using ClusterNode = ::thaw::common::v1::Node;

// Asks the scheduler for the nodes that can be reached: ready and draining ones. `done` comes once, on any thread.
// Errors as FromSchedulerStatus(). `context` has token and deadline (ChildContext()); who keeps a share can cancel
// the question.
void ListReachableNodes(scheduler::v1::Catalogue::Stub& catalogue, std::shared_ptr<grpc::ClientContext> context,
                        absl::AnyInvocable<void(absl::StatusOr<std::vector<ClusterNode>>)> done);

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_CLUSTER_NODES_H_
