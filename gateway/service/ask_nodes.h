#ifndef THAW_GATEWAY_SERVICE_ASK_NODES_H_
#define THAW_GATEWAY_SERVICE_ASK_NODES_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "gateway/service/child_call.h"
#include "gateway/service/cluster_nodes.h"
#include "thaw/scheduler/v1/scheduler.grpc.pb.h"

namespace thaw::gateway {

// Whom to ask which nodes there are, for whom, and how long. What is pointed at must live until the answers are
// there.
struct AskNodesDeps {
  // All questions are cancelled with it; it must not be finished before the answers are there.
  grpc::CallbackServerContext* inbound;
  scheduler::v1::Catalogue::Stub* catalogue;
  ChannelPool* channels;
  // Of the whole.
  absl::Time deadline;
  // Of each node's answer. The others do not wait longer for one that is silent.
  absl::Duration node_limit;
};

template <typename Response>
struct NodeAnswer {
  std::string node_id;
  // The node's own words, or what gRPC says of the connection.
  absl::Status status;
  // Empty unless the status is OK.
  Response response;
};

// A unary method of `Service`, as in `&agent::v1::Images::StubInterface::async_interface::HasImage`.
template <typename Service, typename Request, typename Response>
using NodeMethod = void (Service::StubInterface::async_interface::*)(grpc::ClientContext*, const Request*, Response*,
                                                                     std::function<void(grpc::Status)>);

template <typename Response>
using NodeAnswersDone = absl::AnyInvocable<void(absl::StatusOr<std::vector<NodeAnswer<Response>>>)>;

namespace ask_nodes_internal {

// One question on its way to all nodes. Each call holds it, and the last answer ends it.
template <typename Service, typename Request, typename Response>
class Round final : public std::enable_shared_from_this<Round<Service, Request, Response>> {
 public:
  Round(const AskNodesDeps& deps, NodeMethod<Service, Request, Response> method, Request request,
        NodeAnswersDone<Response> done)
      : deps_(deps), method_(method), request_(std::move(request)), done_(std::move(done)) {}

  void Begin() {
    ListReachableNodes(*deps_.catalogue, ChildContext(*deps_.inbound, deps_.channels->security(), deps_.deadline),
                       [self = this->shared_from_this()](absl::StatusOr<std::vector<ClusterNode>> nodes) {
                         if (!nodes.ok()) {
                           self->done_(nodes.status());
                         } else {
                           self->Ask(*nodes);
                         }
                       });
  }

 private:
  struct Call {
    std::unique_ptr<grpc::ClientContext> context;
    std::unique_ptr<typename Service::Stub> stub;
  };

  void Ask(const std::vector<ClusterNode>& nodes) {
    const std::size_t count = nodes.size();
    if (count == 0) {
      done_(std::vector<NodeAnswer<Response>>());
      return;
    }
    answers_.resize(count);
    calls_ = std::make_unique<Call[]>(count);
    open_ = count;
    const absl::Time deadline = std::min(deps_.deadline, absl::Now() + deps_.node_limit);
    for (std::size_t i = 0; i < count; ++i) {
      answers_[i].node_id = nodes[i].id();
      calls_[i].stub = Service::NewStub(deps_.channels->Get(nodes[i].address()));
      calls_[i].context = ChildContext(*deps_.inbound, deps_.channels->security(), deadline);
      (calls_[i].stub->async()->*method_)(calls_[i].context.get(), &request_, &answers_[i].response,
                                          [self = this->shared_from_this(), i](grpc::Status status) {
                                            self->answers_[i].status = FromGrpcStatus(status);
                                            if (self->open_.fetch_sub(1) == 1) self->done_(std::move(self->answers_));
                                          });
    }
  }

  const AskNodesDeps deps_;
  const NodeMethod<Service, Request, Response> method_;
  const Request request_;
  NodeAnswersDone<Response> done_;
  std::unique_ptr<Call[]> calls_;
  // Each call writes its own answer; who counts down to zero reads them all.
  std::vector<NodeAnswer<Response>> answers_;
  std::atomic<std::size_t> open_ = 0;
};

}  // namespace ask_nodes_internal

// Puts one question to all nodes that can be reached, at once. `done` comes once, on any thread and maybe before this
// returns: with an answer for each node, in the scheduler's order, or with the error of ListReachableNodes().
template <typename Service, typename Request, typename Response>
void AskNodes(const AskNodesDeps& deps, NodeMethod<Service, Request, Response> method, Request request,
              std::type_identity_t<NodeAnswersDone<Response>> done) {
  std::make_shared<ask_nodes_internal::Round<Service, Request, Response>>(deps, method, std::move(request),
                                                                          std::move(done))
      ->Begin();
}

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_ASK_NODES_H_
