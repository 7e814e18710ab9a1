#ifndef THAW_TESTS_SCHEDULER_SUPPORT_SCHEDULER_CLIENT_H_
#define THAW_TESTS_SCHEDULER_SUPPORT_SCHEDULER_CLIENT_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/client.h"
#include "common/rpc/security.h"
#include "common/rpc/status.h"
#include "tests/scheduler/support/test_scheduler.h"
#include "thaw/scheduler/v1/scheduler.grpc.pb.h"

namespace thaw::scheduler::testing {

inline constexpr char kTestToken[] = "a token for the tests of the scheduler";
// Of every call: what hangs fails.
inline constexpr absl::Duration kCallTime = absl::Seconds(20);

// Calls a scheduler as gateways and people do. One thread.
class SchedulerClient {
 public:
  explicit SchedulerClient(int port)
      : channel_(security_->NewChannel(absl::StrCat("127.0.0.1:", port))),
        catalogue_(v1::Catalogue::NewStub(channel_)),
        leases_(v1::Leases::NewStub(channel_)),
        membership_(v1::Membership::NewStub(channel_)) {}

  // Calls one unary method, e.g. Call(&v1::Catalogue::Stub::GetApp, request).
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::Catalogue::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                            Response*),
                                const Request& request) {
    return Unary(catalogue_.get(), method, request);
  }
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::Leases::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                         Response*),
                                const Request& request) {
    return Unary(leases_.get(), method, request);
  }

  absl::StatusOr<common::v1::App> CreateApp(const std::string& name) {
    common::v1::CreateAppRequest request;
    request.mutable_app()->set_name(name);
    return Call(&v1::Catalogue::Stub::CreateApp, request);
  }
  absl::StatusOr<common::v1::Function> CreateFunction(const std::string& app_id, const std::string& name) {
    common::v1::CreateFunctionRequest request;
    request.mutable_function()->set_app_id(app_id);
    request.mutable_function()->set_name(name);
    request.mutable_function()->set_image("image:1");
    request.mutable_function()->set_image_id(ImageId(1));
    return Call(&v1::Catalogue::Stub::CreateFunction, request);
  }
  absl::StatusOr<v1::Lease> Acquire(const std::string& path, const std::string& gateway = "gw") {
    v1::AcquireLeaseRequest request;
    request.set_gateway_id(gateway);
    request.set_function_path(path);
    return Call(&v1::Leases::Stub::AcquireLease, request);
  }
  absl::StatusOr<v1::RenewLeasesResponse> Renew(const std::string& lease_id, const std::string& gateway = "gw") {
    v1::RenewLeasesRequest request;
    request.set_gateway_id(gateway);
    request.add_lease_ids(lease_id);
    return Call(&v1::Leases::Stub::RenewLeases, request);
  }

  void Prepare(grpc::ClientContext& context) { PrepareCall(context, *security_, absl::Now() + kCallTime); }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  v1::Leases::Stub& leases() { return *leases_; }
  v1::Membership::Stub& membership() { return *membership_; }

 private:
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Unary(Stub* stub,
                                 grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                 const Request& request) {
    grpc::ClientContext context;
    Prepare(context);
    Response response;
    const absl::Status status = FromGrpcStatus((stub->*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }

  const std::shared_ptr<const Security> security_ = Security::ForTesting(kTestToken);
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::Catalogue::Stub> catalogue_;
  const std::unique_ptr<v1::Leases::Stub> leases_;
  const std::unique_ptr<v1::Membership::Stub> membership_;
};

// An agent's end of its stream. One thread.
class NodeClient {
 public:
  explicit NodeClient(SchedulerClient& client) {
    client.Prepare(context_);
    stream_ = client.membership().Connect(&context_);
  }
  ~NodeClient() { context_.TryCancel(); }

  bool Send(const v1::NodeMessage& message) { return stream_->Write(message); }
  bool Register(const v1::Register& registration) {
    v1::NodeMessage message;
    *message.mutable_register_() = registration;
    return Send(message);
  }
  // The next command; an empty message when the stream has ended.
  v1::SchedulerMessage Read() {
    v1::SchedulerMessage message;
    stream_->Read(&message);
    return message;
  }
  // Reads until a command for which `wanted` says so; an empty message when the stream ends before.
  template <typename Wanted>
  v1::SchedulerMessage ReadUntil(Wanted wanted) {
    while (true) {
      v1::SchedulerMessage message;
      if (!stream_->Read(&message)) return {};
      if (wanted(message)) return message;
    }
  }
  bool HalfClose() { return stream_->WritesDone(); }
  // Reads what is left, and how the stream ended.
  absl::Status Finish() {
    v1::SchedulerMessage message;
    while (stream_->Read(&message)) {
    }
    return FromGrpcStatus(stream_->Finish());
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::NodeMessage, v1::SchedulerMessage>> stream_;
};

}  // namespace thaw::scheduler::testing

#endif  // THAW_TESTS_SCHEDULER_SUPPORT_SCHEDULER_CLIENT_H_
