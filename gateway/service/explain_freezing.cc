#include "gateway/service/explain_freezing.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "gateway/routing/lease.h"
#include "gateway/service/cluster_nodes.h"
#include "gateway/service/scheduler_status.h"
#include "thaw/agent/v1/agent.grpc.pb.h"

namespace thaw::gateway {
namespace {

using ::thaw::common::v1::Diagnosis;

struct FunctionQuestion {
  grpc::ClientContext context;
  ::thaw::common::v1::GetFunctionRequest request;
  ::thaw::common::v1::Function response;
};

struct NodeQuestion {
  grpc::ClientContext context;
  agent::v1::ExplainRequest request;
  agent::v1::ExplainResponse response;
  std::string node_id;
  std::unique_ptr<agent::v1::Functions::Stub> stub;
};

// Asks the scheduler, then all nodes; the last answer finishes the call.
class Explaining final : public std::enable_shared_from_this<Explaining> {
 public:
  Explaining(grpc::ServerUnaryReactor& reactor, v1::ExplainFreezingResponse& response, ExplainFreezingDeps deps)
      : reactor_(reactor), response_(response), deps_(deps) {}

  void Begin(const FunctionName& name) {
    auto question = std::make_shared<FunctionQuestion>();
    if (!name.id.empty()) {
      question->request.set_id(name.id);
    } else {
      const std::size_t slash = name.path.find('/');
      question->request.set_app_name(name.path.substr(0, slash));
      question->request.set_name(name.path.substr(slash + 1));
    }
    PrepareCall(question->context, deps_.channels->security(), deps_.deadline);
    deps_.catalogue->async()->GetFunction(
        &question->context, &question->request, &question->response,
        [self = shared_from_this(), question](grpc::Status status) {
          if (!status.ok()) {
            self->reactor_.Finish(ToGrpcStatus(FromSchedulerStatus(status, "the function")));
            return;
          }
          self->response_.set_version_id(question->response.version_id());
          *self->response_.mutable_policy() = question->response.checkpoint();
          self->name_ = absl::StrCat(question->response.app_name(), "/", question->response.name());
          self->ListNodes();
        });
  }

 private:
  void ListNodes() {
    ListReachableNodes(*deps_.catalogue, deps_.channels->security(), deps_.deadline,
                       [self = shared_from_this()](absl::StatusOr<std::vector<ClusterNode>> nodes) {
                         if (!nodes.ok()) {
                           self->reactor_.Finish(ToGrpcStatus(nodes.status()));
                         } else {
                           self->Ask(*nodes);
                         }
                       });
  }

  void Ask(const std::vector<ClusterNode>& nodes) {
    if (nodes.empty()) {
      Finish({});
      return;
    }
    {
      absl::MutexLock lock(&mu_);
      open_ = nodes.size();
    }
    const absl::Time deadline = std::min(deps_.deadline, absl::Now() + deps_.node_limit);
    for (const ClusterNode& node : nodes) {
      auto question = std::make_shared<NodeQuestion>();
      question->node_id = node.id();
      question->request.set_version_id(response_.version_id());
      question->stub = agent::v1::Functions::NewStub(deps_.channels->Get(node.address()));
      PrepareCall(question->context, deps_.channels->security(), deadline);
      question->stub->async()->Explain(&question->context, &question->request, &question->response,
                                       [self = shared_from_this(), question](grpc::Status status) {
                                         self->OnAnswer(*question, FromGrpcStatus(status));
                                       });
    }
  }

  void OnAnswer(NodeQuestion& question, const absl::Status& status) {
    std::vector<Diagnosis> all;
    {
      absl::MutexLock lock(&mu_);
      for (Diagnosis& diagnosis : *question.response.mutable_diagnoses()) {
        diagnosis.set_node_id(question.node_id);
        diagnoses_.push_back(std::move(diagnosis));
      }
      // NOT_FOUND: the node has never run it.
      if (!status.ok() && !absl::IsNotFound(status)) {
        Diagnosis& lost = diagnoses_.emplace_back();
        lost.set_node_id(question.node_id);
        *lost.mutable_at() = ToProto(absl::Now());
        lost.set_occasion("look");
        lost.set_error(absl::StrCat("node ", question.node_id, " could not be asked: ", status.message()));
      }
      if (--open_ > 0) return;
      all.swap(diagnoses_);
    }
    Finish(std::move(all));
  }

  void Finish(std::vector<Diagnosis> all) {
    if (all.empty()) {
      reactor_.Finish(ToGrpcStatus(
          WithReason(absl::FailedPreconditionError(absl::StrCat(
                         "no instance of function ", name_,
                         " runs, and none was ever tried to be frozen: call it once, and ask again")),
                     kNothingKnown)));
      return;
    }
    std::stable_sort(all.begin(), all.end(), [](const Diagnosis& a, const Diagnosis& b) {
      return std::pair(a.at().seconds(), a.at().nanos()) > std::pair(b.at().seconds(), b.at().nanos());
    });
    for (Diagnosis& diagnosis : all) *response_.add_diagnoses() = std::move(diagnosis);
    reactor_.Finish(grpc::Status::OK);
  }

  grpc::ServerUnaryReactor& reactor_;
  v1::ExplainFreezingResponse& response_;
  const ExplainFreezingDeps deps_;
  std::string name_;
  absl::Mutex mu_;
  std::size_t open_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<Diagnosis> diagnoses_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

grpc::ServerUnaryReactor* StartExplainFreezing(grpc::CallbackServerContext& context,
                                               const v1::ExplainFreezingRequest& request,
                                               v1::ExplainFreezingResponse& response, ExplainFreezingDeps deps) {
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();
  const auto name = MakeFunctionName(request.function().id(), request.function().path());
  if (!name.ok()) {
    reactor->Finish(ToGrpcStatus(name.status()));
    return reactor;
  }
  std::make_shared<Explaining>(*reactor, response, deps)->Begin(*name);
  return reactor;
}

}  // namespace thaw::gateway
