#include "gateway/service/explain_freezing.h"

#include <grpcpp/server_context.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "gateway/routing/lease.h"
#include "gateway/service/child_call.h"
#include "gateway/service/find_function.h"
#include "thaw/agent/v1/agent.grpc.pb.h"

namespace thaw::gateway {
namespace {

using ::thaw::common::v1::Diagnosis;
using ::thaw::common::v1::Function;
using Answers = std::vector<NodeAnswer<agent::v1::ExplainResponse>>;

// Asks the scheduler for the function, then all nodes. Each question's callback holds it.
class Explaining final : public std::enable_shared_from_this<Explaining> {
 public:
  Explaining(grpc::ServerUnaryReactor& reactor, v1::ExplainFreezingResponse& response, const AskNodesDeps& deps)
      : reactor_(reactor), response_(response), deps_(deps) {}

  void Begin(const FunctionName& name) {
    FindFunction(*deps_.catalogue, ChildContext(*deps_.inbound, deps_.channels->security(), deps_.deadline), name,
                 [self = shared_from_this()](absl::StatusOr<Function> function) {
                   if (!function.ok()) {
                     self->reactor_.Finish(ToGrpcStatus(function.status()));
                   } else {
                     self->Ask(*function);
                   }
                 });
  }

 private:
  void Ask(const Function& function) {
    response_.set_version_id(function.version_id());
    *response_.mutable_policy() = function.checkpoint();
    name_ = absl::StrCat(function.app_name(), "/", function.name());
    agent::v1::ExplainRequest question;
    question.set_version_id(function.version_id());
    AskNodes<agent::v1::Functions>(deps_, &agent::v1::Functions::StubInterface::async_interface::Explain,
                                   std::move(question), [self = shared_from_this()](absl::StatusOr<Answers> answers) {
                                     if (!answers.ok()) {
                                       self->reactor_.Finish(ToGrpcStatus(answers.status()));
                                     } else {
                                       self->Finish(Merge(*answers));
                                     }
                                   });
  }

  static std::vector<Diagnosis> Merge(Answers& answers) {
    std::vector<Diagnosis> all;
    for (auto& [node_id, status, response] : answers) {
      for (Diagnosis& diagnosis : *response.mutable_diagnoses()) {
        diagnosis.set_node_id(node_id);
        all.push_back(std::move(diagnosis));
      }
      // NOT_FOUND: the node has never run it.
      if (!status.ok() && !absl::IsNotFound(status)) {
        Diagnosis& lost = all.emplace_back();
        lost.set_node_id(node_id);
        *lost.mutable_at() = ToProto(absl::Now());
        lost.set_occasion("look");
        lost.set_error(absl::StrCat("node ", node_id, " could not be asked: ", status.message()));
      }
    }
    return all;
  }

  void Finish(std::vector<Diagnosis> all) {
    if (all.empty()) {
      reactor_.Finish(ToGrpcStatus(
          WithReason(absl::FailedPreconditionError(absl::StrCat(
                         "no instance of function ", name_,
                         " runs, and none was ever tried to be frozen: call it once, and ask again")),
                     reason::kNothingKnown)));
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
  const AskNodesDeps deps_;
  std::string name_;
};

}  // namespace

grpc::ServerUnaryReactor* StartExplainFreezing(grpc::CallbackServerContext& context,
                                               const v1::ExplainFreezingRequest& request,
                                               v1::ExplainFreezingResponse& response, const AskNodesDeps& deps) {
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
