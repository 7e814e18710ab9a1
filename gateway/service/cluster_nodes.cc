#include "gateway/service/cluster_nodes.h"

#include <grpcpp/client_context.h>

#include <memory>
#include <utility>

#include "common/rpc/client.h"
#include "gateway/service/scheduler_status.h"

namespace thaw::gateway {
namespace {

struct ListCall {
  grpc::ClientContext context;
  ::thaw::common::v1::ListNodesRequest request;
  ::thaw::common::v1::ListNodesResponse response;
  absl::AnyInvocable<void(absl::StatusOr<std::vector<ClusterNode>>)> done;
};

}  // namespace

void ListReachableNodes(scheduler::v1::Catalogue::Stub& catalogue, const Security& security, absl::Time deadline,
                        absl::AnyInvocable<void(absl::StatusOr<std::vector<ClusterNode>>)> done) {
  auto call = std::make_shared<ListCall>();
  call->done = std::move(done);
  PrepareCall(call->context, security, deadline);
  catalogue.async()->ListNodes(&call->context, &call->request, &call->response, [call](grpc::Status status) {
    if (!status.ok()) {
      call->done(FromSchedulerStatus(status, "the list of nodes"));
      return;
    }
    std::vector<ClusterNode> nodes;
    for (auto& node : *call->response.mutable_nodes()) {
      if (node.state() == ::thaw::common::v1::NODE_STATE_READY ||
          node.state() == ::thaw::common::v1::NODE_STATE_DRAINING) {
        nodes.push_back(std::move(node));
      }
    }
    call->done(std::move(nodes));
  });
}

}  // namespace thaw::gateway
