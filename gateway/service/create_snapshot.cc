#include "gateway/service/create_snapshot.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ids/ids.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "gateway/service/child_call.h"
#include "gateway/service/scheduler_status.h"
#include "thaw/agent/v1/agent.grpc.pb.h"

namespace thaw::gateway {
namespace {

constexpr absl::Duration kReleaseLimit = absl::Seconds(5);

// One snapshot on its way: lease, freeze, release.
class Making final : public std::enable_shared_from_this<Making> {
 public:
  Making(grpc::CallbackServerContext& inbound, grpc::ServerUnaryReactor& reactor,
         ::thaw::common::v1::SnapshotInfo& response, CreateSnapshotDeps deps)
      : inbound_(inbound), reactor_(reactor), response_(response), deps_(std::move(deps)) {}

  void Begin(const v1::FunctionRef& function) {
    // Of this request only: a lease that a gateway's calls use must not end with it.
    acquire_.set_gateway_id(absl::StrCat("snapshot-", NewHexId(8)));
    acquire_.set_function_id(function.id());
    if (function.id().empty()) acquire_.set_function_path(function.path());
    acquire_context_ = ChildContext(inbound_, deps_.channels->security(), deps_.deadline);
    deps_.leases->async()->AcquireLease(acquire_context_.get(), &acquire_, &lease_,
                                        [self = shared_from_this()](grpc::Status status) {
                                          if (status.ok()) {
                                            self->Freeze();
                                          } else {
                                            self->reactor_.Finish(ToGrpcStatus(FromSchedulerStatus(status, "a node for the snapshot")));
                                          }
                                        });
  }

 private:
  void Freeze() {
    freeze_.set_version_id(lease_.version().version_id());
    agent_ = agent::v1::Functions::NewStub(deps_.channels->Get(lease_.node_address()));
    // A freeze takes minutes: a caller that goes away, or a gateway that stops, must not have to wait for it.
    freeze_context_ = ChildContext(inbound_, deps_.channels->security(), deps_.deadline);
    agent_->async()->Freeze(freeze_context_.get(), &freeze_, &response_,
                            [self = shared_from_this()](grpc::Status status) {
                              self->Release();
                              self->reactor_.Finish(ToGrpcStatus(self->Judge(status)));
                            });
  }

  // The agent's own words name a reason; what has none is the connection's.
  absl::Status Judge(const grpc::Status& answer) const {
    const absl::Status status = FromGrpcStatus(answer);
    if (status.ok()) return status;
    if (absl::IsUnauthenticated(status) || ReasonOf(status) == reason::kUnauthenticated) {
      return WithReason(absl::InternalError(absl::StrCat("node ", lease_.node_id(),
                                                         " refused this gateway's cluster token; give both the same")),
                        reason::kInternal);
    }
    if (!ReasonOf(status).empty() || !absl::IsUnavailable(status)) return status;
    return absl::UnavailableError(absl::StrCat("node ", lease_.node_id(), " can't be reached, or went away while it froze ",
                                               lease_.version().app_name(), "/", lease_.version().function_name(),
                                               "; see `thaw snapshot ls` before you try again"));
  }

  void Release() {
    // It would run out by itself; nobody waits for the answer.
    struct Call {
      grpc::ClientContext context;
      scheduler::v1::ReleaseLeasesRequest request;
      scheduler::v1::ReleaseLeasesResponse response;
      std::shared_ptr<scheduler::v1::Leases::Stub> leases;
    };
    auto call = std::make_shared<Call>();
    call->leases = deps_.leases;
    call->request.set_gateway_id(acquire_.gateway_id());
    call->request.add_lease_ids(lease_.lease_id());
    PrepareCall(call->context, deps_.channels->security(), absl::Now() + kReleaseLimit);
    call->leases->async()->ReleaseLeases(&call->context, &call->request, &call->response, [call](grpc::Status) {});
  }

  // Until the reactor is finished.
  grpc::CallbackServerContext& inbound_;
  grpc::ServerUnaryReactor& reactor_;
  ::thaw::common::v1::SnapshotInfo& response_;
  const CreateSnapshotDeps deps_;
  std::unique_ptr<grpc::ClientContext> acquire_context_, freeze_context_;
  scheduler::v1::AcquireLeaseRequest acquire_;
  scheduler::v1::Lease lease_;
  agent::v1::FreezeRequest freeze_;
  std::unique_ptr<agent::v1::Functions::Stub> agent_;
};

}  // namespace

grpc::ServerUnaryReactor* StartCreateSnapshot(grpc::CallbackServerContext& context,
                                              const v1::CreateSnapshotRequest& request,
                                              ::thaw::common::v1::SnapshotInfo& response, CreateSnapshotDeps deps) {
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();
  std::make_shared<Making>(context, *reactor, response, std::move(deps))->Begin(request.function());
  return reactor;
}

}  // namespace thaw::gateway
