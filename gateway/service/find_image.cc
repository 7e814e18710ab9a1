#include "gateway/service/find_image.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "gateway/service/cluster_nodes.h"
#include "thaw/agent/v1/agent.grpc.pb.h"

namespace thaw::gateway {
namespace {

struct Question {
  grpc::ClientContext context;
  agent::v1::HasImageRequest request;
  agent::v1::HasImageResponse response;
  std::string node_id;
  std::unique_ptr<agent::v1::Images::Stub> stub;
};

// Collects the nodes' answers; the last one finishes the call.
class Search final : public std::enable_shared_from_this<Search> {
 public:
  Search(grpc::ServerUnaryReactor& reactor, std::string image_id, v1::FindImageResponse& response, FindImageDeps deps)
      : reactor_(reactor), image_id_(std::move(image_id)), response_(response), deps_(deps) {}

  void Begin() {
    ListReachableNodes(*deps_.catalogue, deps_.channels->security(), deps_.deadline,
                       [self = shared_from_this()](absl::StatusOr<std::vector<ClusterNode>> nodes) {
                         if (!nodes.ok()) {
                           self->reactor_.Finish(ToGrpcStatus(nodes.status()));
                         } else {
                           self->Ask(*nodes);
                         }
                       });
  }

 private:
  void Ask(const std::vector<ClusterNode>& nodes) {
    if (nodes.empty()) {
      reactor_.Finish(grpc::Status::OK);
      return;
    }
    {
      absl::MutexLock lock(&mu_);
      open_ = nodes.size();
    }
    const absl::Time deadline = std::min(deps_.deadline, absl::Now() + deps_.node_limit);
    for (const ClusterNode& node : nodes) {
      auto question = std::make_shared<Question>();
      question->node_id = node.id();
      question->request.set_image_id(image_id_);
      question->stub = agent::v1::Images::NewStub(deps_.channels->Get(node.address()));
      PrepareCall(question->context, deps_.channels->security(), deadline);
      question->stub->async()->HasImage(&question->context, &question->request, &question->response,
                                        [self = shared_from_this(), question](grpc::Status status) {
                                          self->OnAnswer(question->node_id,
                                                         status.ok() && question->response.present());
                                        });
    }
  }

  void OnAnswer(const std::string& node_id, bool present) {
    std::vector<std::string> found;
    {
      absl::MutexLock lock(&mu_);
      if (present) found_.push_back(node_id);
      if (--open_ > 0) return;
      found.swap(found_);
    }
    std::sort(found.begin(), found.end());
    response_.mutable_node_ids()->Assign(found.begin(), found.end());
    reactor_.Finish(grpc::Status::OK);
  }

  grpc::ServerUnaryReactor& reactor_;
  const std::string image_id_;
  v1::FindImageResponse& response_;
  const FindImageDeps deps_;
  absl::Mutex mu_;
  std::size_t open_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<std::string> found_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

grpc::ServerUnaryReactor* StartFindImage(grpc::CallbackServerContext& context, const v1::FindImageRequest& request,
                                         v1::FindImageResponse& response, FindImageDeps deps) {
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();
  if (!absl::StartsWith(request.image_id(), "sha256:")) {
    reactor->Finish(ToGrpcStatus(WithReason(absl::InvalidArgumentError("image_id must be `sha256:` and 64 hex digits"),
                                            reason::kInvalidField, {{"field", "image_id"}})));
    return reactor;
  }
  std::make_shared<Search>(*reactor, request.image_id(), response, deps)->Begin();
  return reactor;
}

}  // namespace thaw::gateway
