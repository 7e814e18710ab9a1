#include "gateway/service/grpc_scheduler_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gateway/errors.h"
#include "gateway/service/calls_under_way.h"
#include "gateway/service/scheduler_status.h"
#include "thaw/scheduler/v1/scheduler.grpc.pb.h"

namespace thaw::gateway {
namespace {

namespace pb = ::thaw::scheduler::v1;

Lease FromProto(const pb::Lease& proto) {
  const auto& version = proto.version();
  Lease lease;
  lease.id = proto.lease_id();
  lease.version_id = version.version_id();
  lease.app_id = version.app_id();
  lease.function_id = version.function_id();
  if (!version.app_name().empty()) {
    lease.function_path = absl::StrCat(version.app_name(), "/", version.function_name());
  }
  lease.node_id = proto.node_id();
  lease.node_address = proto.node_address();
  lease.time_to_live = ::thaw::FromProto(proto.time_to_live());
  lease.concurrency = static_cast<int>(proto.concurrency());
  if (version.has_timeout()) lease.call_timeout = ::thaw::FromProto(version.timeout());
  if (version.has_idle_timeout()) lease.idle_timeout = ::thaw::FromProto(version.idle_timeout());
  return lease;
}

template <typename Request, typename Response>
struct UnaryCall {
  grpc::ClientContext context;
  Request request;
  Response response;
};

}  // namespace

struct GrpcSchedulerClient::State {
  State(ChannelPool& pool, const std::string& address, std::string id)
      : channels(pool), gateway_id(std::move(id)), leases(pb::Leases::NewStub(pool.Get(address))) {}

  // `done(grpc status, response)`.
  template <typename Request, typename Response, typename Method, typename Done>
  void Call(Method method, Request request, absl::Duration limit, Done done) {
    auto call = std::make_shared<UnaryCall<Request, Response>>();
    call->request = std::move(request);
    call->request.set_gateway_id(gateway_id);
    PrepareCall(call->context, channels.security(), absl::Now() + limit);
    if (!calls.Enter(&call->context)) {
      done(grpc::Status(grpc::StatusCode::CANCELLED, "the gateway is stopping"), call->response);
      return;
    }
    auto shared_done = std::make_shared<Done>(std::move(done));
    (leases->async()->*method)(&call->context, &call->request, &call->response,
                               [this, call, shared_done](grpc::Status status) {
                                 (*shared_done)(status, call->response);
                                 calls.Leave(&call->context);
                               });
  }

  ChannelPool& channels;
  const std::string gateway_id;
  const std::unique_ptr<pb::Leases::Stub> leases;
  CallsUnderWay calls;
};

namespace {

// Deletes itself when gRPC is done with it.
class WatchReactor final : public grpc::ClientReadReactor<pb::LeaseEvents> {
 public:
  WatchReactor(CallsUnderWay& calls, absl::AnyInvocable<void(SchedulerClient::Events)> on_events,
               absl::AnyInvocable<void(absl::Status)> on_end)
      : calls_(calls), on_events_(std::move(on_events)), on_end_(std::move(on_end)) {}

  void Begin(pb::Leases::Stub& stub, const Security& security, const std::string& gateway_id) {
    security.AddToken(context_);
    request_.set_gateway_id(gateway_id);
    if (!calls_.Enter(&context_)) {
      on_end_(Stopping());
      delete this;
      return;
    }
    // No deadline: the stream is open as long as both sides live; keepalive finds a peer that vanished.
    stub.async()->WatchLeases(&context_, &request_, this);
    StartRead(&message_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    SchedulerClient::Events events;
    events.ended_lease_ids.assign(message_.ended_lease_ids().begin(), message_.ended_lease_ids().end());
    events.changed_function_ids.assign(message_.changed_function_ids().begin(), message_.changed_function_ids().end());
    on_events_(std::move(events));
    StartRead(&message_);
  }

  void OnDone(const grpc::Status& status) override {
    on_end_(status.ok() ? SchedulerUnavailable("lease events", "it ended the stream")
                        : FromSchedulerStatus(status, "lease events"));
    calls_.Leave(&context_);
    delete this;
  }

 private:
  CallsUnderWay& calls_;
  absl::AnyInvocable<void(SchedulerClient::Events)> on_events_;
  absl::AnyInvocable<void(absl::Status)> on_end_;
  grpc::ClientContext context_;
  pb::WatchLeasesRequest request_;
  pb::LeaseEvents message_;
};

}  // namespace

GrpcSchedulerClient::GrpcSchedulerClient(ChannelPool& channels, std::string address, std::string gateway_id)
    : state_(std::make_unique<State>(channels, address, std::move(gateway_id))) {}

GrpcSchedulerClient::~GrpcSchedulerClient() {
  state_->calls.Stop([](grpc::ClientContext* context) { context->TryCancel(); });
}

void GrpcSchedulerClient::AcquireLease(const AcquireRequest& request, absl::Duration limit,
                                       absl::AnyInvocable<void(absl::StatusOr<Lease>)> done) {
  pb::AcquireLeaseRequest proto;
  proto.set_function_id(request.function.id);
  proto.set_function_path(request.function.path);
  proto.mutable_excluded_nodes()->Assign(request.excluded_nodes.begin(), request.excluded_nodes.end());
  proto.set_pinned_node(request.pinned_node);
  state_->Call<pb::AcquireLeaseRequest, pb::Lease>(
      static_cast<void (pb::Leases::StubInterface::async_interface::*)(
          grpc::ClientContext*, const pb::AcquireLeaseRequest*, pb::Lease*, std::function<void(grpc::Status)>)>(
          &pb::Leases::StubInterface::async_interface::AcquireLease),
      std::move(proto), limit,
      [done = std::move(done), function = request.function.text()](const grpc::Status& status,
                                                                   const pb::Lease& lease) mutable {
        if (status.ok()) {
          done(FromProto(lease));
        } else {
          done(FromSchedulerStatus(status, absl::StrCat("a node for function ", function)));
        }
      });
}

void GrpcSchedulerClient::RenewLeases(const std::vector<std::string>& lease_ids, absl::Duration limit,
                                      absl::AnyInvocable<void(absl::StatusOr<Renewal>)> done) {
  pb::RenewLeasesRequest proto;
  proto.mutable_lease_ids()->Assign(lease_ids.begin(), lease_ids.end());
  state_->Call<pb::RenewLeasesRequest, pb::RenewLeasesResponse>(
      static_cast<void (pb::Leases::StubInterface::async_interface::*)(
          grpc::ClientContext*, const pb::RenewLeasesRequest*, pb::RenewLeasesResponse*,
          std::function<void(grpc::Status)>)>(&pb::Leases::StubInterface::async_interface::RenewLeases),
      std::move(proto), limit,
      [done = std::move(done)](const grpc::Status& status, const pb::RenewLeasesResponse& response) mutable {
        if (!status.ok()) {
          done(FromSchedulerStatus(status, "the renewal of leases"));
          return;
        }
        done(Renewal{.lease_ids = {response.lease_ids().begin(), response.lease_ids().end()},
                     .time_to_live = ::thaw::FromProto(response.time_to_live())});
      });
}

void GrpcSchedulerClient::ReleaseLeases(const std::vector<std::string>& lease_ids, absl::Duration limit,
                                        absl::AnyInvocable<void(absl::Status)> done) {
  pb::ReleaseLeasesRequest proto;
  proto.mutable_lease_ids()->Assign(lease_ids.begin(), lease_ids.end());
  state_->Call<pb::ReleaseLeasesRequest, pb::ReleaseLeasesResponse>(
      static_cast<void (pb::Leases::StubInterface::async_interface::*)(
          grpc::ClientContext*, const pb::ReleaseLeasesRequest*, pb::ReleaseLeasesResponse*,
          std::function<void(grpc::Status)>)>(&pb::Leases::StubInterface::async_interface::ReleaseLeases),
      std::move(proto), limit,
      [done = std::move(done)](const grpc::Status& status, const pb::ReleaseLeasesResponse&) mutable {
        done(FromSchedulerStatus(status, "the release of leases"));
      });
}

void GrpcSchedulerClient::WatchLeases(absl::AnyInvocable<void(Events)> on_events,
                                      absl::AnyInvocable<void(absl::Status)> on_end) {
  (new WatchReactor(state_->calls, std::move(on_events), std::move(on_end)))
      ->Begin(*state_->leases, state_->channels.security(), state_->gateway_id);
}

}  // namespace thaw::gateway
