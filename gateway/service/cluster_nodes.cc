#include "gateway/service/cluster_nodes.h"

#include <utility>

#include "gateway/service/scheduler_status.h"

namespace thaw::gateway {
namespace {

struct ListCall {
  std::shared_ptr<grpc::ClientContext> context;
  ::thaw::common::v1::ListNodesRequest request;
  ::thaw::common::v1::ListNodesResponse response;
  absl::AnyInvocable<void(absl::StatusOr<std::vector<ClusterNode>>)> done;
};

}  // namespace

void ListReachableNodes(scheduler::v1::Catalogue::Stub& catalogue, std::shared_ptr<grpc::ClientContext> context,
                        absl::AnyInvocable<void(absl::StatusOr<std::vector<ClusterNode>>)> done) {
  auto call = std::make_shared<ListCall>();
  call->context = std::move(context);
  call->done = std::move(done);
  catalogue.async()->ListNodes(call->context.get(), &call->request, &call->response, [call](grpc::Status status) {
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
