#include "cli/gateway/grpc_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "cli/exit_code.h"
#include "common/rpc/status.h"
#include "common/status/status_macros.h"
#include "thaw/gateway/v1/gateway.grpc.pb.h"

namespace thaw::cli {
namespace {

constexpr absl::Duration kQuickCall = absl::Seconds(15);
// Creating a function brings its image to the nodes, deleting an app its functions and snapshots.
constexpr absl::Duration kSlowCall = absl::Minutes(2);
constexpr absl::Duration kImagePush = absl::Minutes(20);
// A start, the priming calls, a dump, its trial and its publication.
constexpr absl::Duration kFreeze = absl::Minutes(10);
constexpr absl::Duration kLogRead = absl::Minutes(1);
constexpr std::uint32_t kPageSize = 100;

class GrpcGatewayClient final : public GatewayClient {
 public:
  GrpcGatewayClient(std::shared_ptr<grpc::Channel> channel, std::string server, bool tls)
      : server_(std::move(server)),
        tls_(tls),
        invoker_(gatewaypb::Invoker::NewStub(channel)),
        admin_(gatewaypb::Admin::NewStub(channel)) {}

  absl::StatusOr<gatewaypb::InvokeResponse> Invoke(const gatewaypb::InvokeRequest& request,
                                                   const InvokeOptions& options) override {
    Call call(*this, options.timeout);
    if (!options.node.empty()) call.context.AddMetadata("thaw-node", options.node);
    gatewaypb::InvokeResponse response;
    RETURN_IF_ERROR(Check(invoker_->Invoke(&call.context, request, &response)));
    return response;
  }

  absl::Status InvokeStream(const gatewaypb::InvokeRequest& start, const InvokeOptions& options,
                            absl::FunctionRef<absl::Status(ChunkSink)> produce,
                            absl::FunctionRef<void(const gatewaypb::InvokeResponse&)> on_start,
                            ChunkSink on_chunk) override {
    Call call(*this, options.timeout);
    if (!options.node.empty()) call.context.AddMetadata("thaw-node", options.node);
    auto stream = invoker_->InvokeStream(&call.context);
    // Both directions at once: a function may answer before it has read everything, and whoever only wrote
    // would then wait for ever against a full window.
    absl::Status produced;
    std::thread writer([&] {
      gatewaypb::InvokeStreamRequest first;
      *first.mutable_start() = start;
      first.mutable_start()->clear_body();
      bool open = stream->Write(first);
      produced = produce([&](absl::string_view data) {
        if (open) open = WriteChunks<gatewaypb::InvokeStreamRequest>(*stream, data);
        return absl::OkStatus();
      });
      if (produced.ok()) {
        // Without it the gateway could not tell the end of this body from the end of this program.
        gatewaypb::InvokeStreamRequest end;
        end.mutable_chunk();
        end.set_last(true);
        if (open) stream->Write(end);
        stream->WritesDone();
      } else {
        call.context.TryCancel();
      }
    });
    absl::Status taken;
    gatewaypb::InvokeStreamResponse message;
    while (stream->Read(&message)) {
      if (message.has_start()) {
        on_start(message.start());
        if (taken.ok() && !message.start().body().empty()) taken = on_chunk(message.start().body());
      } else if (taken.ok()) {
        taken = on_chunk(message.chunk());
      }
      if (!taken.ok()) call.context.TryCancel();
    }
    writer.join();
    const absl::Status status = Check(stream->Finish());
    if (!produced.ok()) return produced;
    if (!taken.ok()) return taken;
    return status;
  }

  absl::StatusOr<commonpb::App> CreateApp(const commonpb::App& app) override {
    commonpb::CreateAppRequest request;
    *request.mutable_app() = app;
    return Unary<commonpb::App>(&gatewaypb::Admin::Stub::CreateApp, request, kQuickCall);
  }
  absl::StatusOr<commonpb::App> GetApp(const commonpb::GetAppRequest& request) override {
    return Unary<commonpb::App>(&gatewaypb::Admin::Stub::GetApp, request, kQuickCall);
  }
  absl::StatusOr<std::vector<commonpb::App>> ListApps() override {
    std::vector<commonpb::App> apps;
    commonpb::ListAppsRequest request;
    request.set_page_size(kPageSize);
    while (true) {
      ASSIGN_OR_RETURN(auto page, Unary<commonpb::ListAppsResponse>(&gatewaypb::Admin::Stub::ListApps,
                                                                    request, kQuickCall));
      apps.insert(apps.end(), page.apps().begin(), page.apps().end());
      RETURN_IF_ERROR(NextPage(page, request));
      if (request.page_token().empty()) return apps;
    }
  }
  absl::StatusOr<commonpb::App> UpdateApp(const commonpb::App& app) override {
    commonpb::UpdateAppRequest request;
    *request.mutable_app() = app;
    return Unary<commonpb::App>(&gatewaypb::Admin::Stub::UpdateApp, request, kQuickCall);
  }
  absl::Status DeleteApp(const std::string& id) override {
    commonpb::DeleteAppRequest request;
    request.set_id(id);
    return Unary<commonpb::DeleteAppResponse>(&gatewaypb::Admin::Stub::DeleteApp, request, kSlowCall)
        .status();
  }

  absl::StatusOr<commonpb::Function> CreateFunction(const commonpb::Function& function) override {
    commonpb::CreateFunctionRequest request;
    *request.mutable_function() = function;
    return Unary<commonpb::Function>(&gatewaypb::Admin::Stub::CreateFunction, request, kSlowCall);
  }
  absl::StatusOr<commonpb::Function> GetFunction(const commonpb::GetFunctionRequest& request) override {
    return Unary<commonpb::Function>(&gatewaypb::Admin::Stub::GetFunction, request, kQuickCall);
  }
  absl::StatusOr<std::vector<commonpb::Function>> ListFunctions(const std::string& app_name) override {
    std::vector<commonpb::Function> functions;
    commonpb::ListFunctionsRequest request;
    request.set_app_name(app_name);
    request.set_page_size(kPageSize);
    while (true) {
      ASSIGN_OR_RETURN(auto page, Unary<commonpb::ListFunctionsResponse>(
                                      &gatewaypb::Admin::Stub::ListFunctions, request, kQuickCall));
      functions.insert(functions.end(), page.functions().begin(), page.functions().end());
      RETURN_IF_ERROR(NextPage(page, request));
      if (request.page_token().empty()) return functions;
    }
  }
  absl::StatusOr<commonpb::Function> UpdateFunction(const commonpb::Function& function) override {
    commonpb::UpdateFunctionRequest request;
    *request.mutable_function() = function;
    return Unary<commonpb::Function>(&gatewaypb::Admin::Stub::UpdateFunction, request, kSlowCall);
  }
  absl::Status DeleteFunction(const std::string& id) override {
    commonpb::DeleteFunctionRequest request;
    request.set_id(id);
    return Unary<commonpb::DeleteFunctionResponse>(&gatewaypb::Admin::Stub::DeleteFunction, request,
                                                   kSlowCall)
        .status();
  }

  absl::StatusOr<std::vector<commonpb::Node>> ListNodes() override {
    ASSIGN_OR_RETURN(const auto answer,
                     Unary<commonpb::ListNodesResponse>(&gatewaypb::Admin::Stub::ListNodes,
                                                        commonpb::ListNodesRequest(), kQuickCall));
    return std::vector<commonpb::Node>(answer.nodes().begin(), answer.nodes().end());
  }

  absl::StatusOr<std::vector<commonpb::SnapshotInfo>> ListSnapshots(const std::string& function_id) override {
    commonpb::ListSnapshotsRequest request;
    request.set_function_id(function_id);
    ASSIGN_OR_RETURN(const auto answer, Unary<commonpb::ListSnapshotsResponse>(
                                            &gatewaypb::Admin::Stub::ListSnapshots, request, kQuickCall));
    return std::vector<commonpb::SnapshotInfo>(answer.snapshots().begin(), answer.snapshots().end());
  }
  absl::StatusOr<commonpb::SnapshotInfo> GetSnapshot(const std::string& id) override {
    commonpb::GetSnapshotRequest request;
    request.set_id(id);
    return Unary<commonpb::SnapshotInfo>(&gatewaypb::Admin::Stub::GetSnapshot, request, kQuickCall);
  }
  absl::Status DeleteSnapshot(const std::string& id) override {
    commonpb::DeleteSnapshotRequest request;
    request.set_id(id);
    return Unary<commonpb::DeleteSnapshotResponse>(&gatewaypb::Admin::Stub::DeleteSnapshot, request,
                                                   kQuickCall)
        .status();
  }

  absl::StatusOr<commonpb::SnapshotInfo> CreateSnapshot(const std::string& function_id) override {
    gatewaypb::CreateSnapshotRequest request;
    request.mutable_function()->set_id(function_id);
    return Unary<commonpb::SnapshotInfo>(&gatewaypb::Admin::Stub::CreateSnapshot, request, kFreeze);
  }

  absl::StatusOr<commonpb::Secret> SetSecret(const commonpb::SetSecretRequest& request) override {
    return Unary<commonpb::Secret>(&gatewaypb::Admin::Stub::SetSecret, request, kQuickCall);
  }
  absl::StatusOr<std::vector<commonpb::Secret>> ListSecrets(const std::string& app_id) override {
    commonpb::ListSecretsRequest request;
    request.set_app_id(app_id);
    ASSIGN_OR_RETURN(auto response, Unary<commonpb::ListSecretsResponse>(&gatewaypb::Admin::Stub::ListSecrets,
                                                                         request, kQuickCall));
    return std::vector<commonpb::Secret>(response.secrets().begin(), response.secrets().end());
  }
  absl::Status DeleteSecret(const std::string& app_id, const std::string& name) override {
    commonpb::DeleteSecretRequest request;
    request.set_app_id(app_id);
    request.set_name(name);
    return Unary<commonpb::DeleteSecretResponse>(&gatewaypb::Admin::Stub::DeleteSecret, request, kQuickCall).status();
  }

  absl::StatusOr<std::vector<std::string>> FindImage(const std::string& image_id) override {
    gatewaypb::FindImageRequest request;
    request.set_image_id(image_id);
    ASSIGN_OR_RETURN(const auto answer, Unary<gatewaypb::FindImageResponse>(
                                            &gatewaypb::Admin::Stub::FindImage, request, kQuickCall));
    return std::vector<std::string>(answer.node_ids().begin(), answer.node_ids().end());
  }

  absl::StatusOr<gatewaypb::PushImageResponse> PushImage(
      const gatewaypb::PushImageRequest::Header& header,
      absl::FunctionRef<absl::Status(ChunkSink)> produce) override {
    Call call(*this, kImagePush);
    gatewaypb::PushImageResponse response;
    auto stream = admin_->PushImage(&call.context, &response);
    gatewaypb::PushImageRequest first;
    *first.mutable_header() = header;
    bool open = stream->Write(first);
    const absl::Status produced = produce([&](absl::string_view data) {
      if (open) open = WriteChunks<gatewaypb::PushImageRequest>(*stream, data);
      // The stream's own status, which Finish() gives, says why it broke; this one only ends the producer.
      return open ? absl::OkStatus() : absl::CancelledError("the gateway ended the image transfer");
    });
    if (produced.ok()) {
      stream->WritesDone();
    } else if (open) {
      call.context.TryCancel();
    }
    const absl::Status finished = Check(stream->Finish());
    if (!produced.ok() && open) return produced;
    RETURN_IF_ERROR(finished);
    if (!open)
      return absl::UnavailableError("the gateway ended the image transfer before all of it was sent");
    return response;
  }

  absl::Status ReadLogs(const gatewaypb::ReadLogsRequest& request,
                        absl::FunctionRef<absl::Status(const gatewaypb::LogLine&)> on_line) override {
    Call call(*this, request.follow() ? absl::InfiniteDuration() : kLogRead);
    auto stream = admin_->ReadLogs(&call.context, request);
    absl::Status taken;
    gatewaypb::LogLine line;
    while (stream->Read(&line)) {
      if (!taken.ok()) continue;
      taken = on_line(line);
      if (!taken.ok()) call.context.TryCancel();
    }
    const absl::Status status = Check(stream->Finish());
    return taken.ok() ? status : taken;
  }

  absl::StatusOr<gatewaypb::ExplainFreezingResponse> ExplainFreezing(
      const gatewaypb::ExplainFreezingRequest& request) override {
    return Unary<gatewaypb::ExplainFreezingResponse>(&gatewaypb::Admin::Stub::ExplainFreezing, request, kQuickCall);
  }

  absl::StatusOr<gatewaypb::ServerInfo> GetServerInfo() override {
    return Unary<gatewaypb::ServerInfo>(&gatewaypb::Admin::Stub::GetServerInfo,
                                        gatewaypb::GetServerInfoRequest(), kQuickCall);
  }

  void CancelAll() override {
    absl::MutexLock lock(&mu_);
    for (grpc::ClientContext* context : active_) context->TryCancel();
  }

 private:
  // A call in flight, registered so that CancelAll() finds it.
  struct Call {
    Call(GrpcGatewayClient& owner, absl::Duration timeout) : owner(owner) {
      if (timeout < absl::InfiniteDuration()) context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
      absl::MutexLock lock(&owner.mu_);
      owner.active_.insert(&context);
    }
    ~Call() {
      absl::MutexLock lock(&owner.mu_);
      owner.active_.erase(&context);
    }
    GrpcGatewayClient& owner;
    grpc::ClientContext context;
  };

  template <typename Response, typename Request>
  absl::StatusOr<Response> Unary(grpc::Status (gatewaypb::Admin::Stub::*method)(grpc::ClientContext*,
                                                                                const Request&, Response*),
                                 const Request& request, absl::Duration timeout) {
    Call call(*this, timeout);
    Response response;
    RETURN_IF_ERROR(Check(((*admin_).*method)(&call.context, request, &response)));
    return response;
  }

  template <typename Page, typename Request>
  static absl::Status NextPage(const Page& page, Request& request) {
    if (!page.next_page_token().empty() && page.next_page_token() == request.page_token()) {
      return absl::InternalError(
          "the gateway gave the same page twice; compare the versions with `thaw version`");
    }
    request.set_page_token(page.next_page_token());
    return absl::OkStatus();
  }

  template <typename Message, typename Stream>
  static bool WriteChunks(Stream& stream, absl::string_view data) {
    while (!data.empty()) {
      Message message;
      const absl::string_view part = data.substr(0, kMaxChunk);
      message.set_chunk(part.data(), part.size());
      if (!stream.Write(message)) return false;
      data.remove_prefix(part.size());
    }
    return true;
  }

  absl::Status Check(const grpc::Status& status) const {
    absl::Status result = FromGrpcStatus(status);
    if (result.code() == absl::StatusCode::kDeadlineExceeded && status.error_details().empty()) {
      return absl::DeadlineExceededError(
          absl::StrCat("the gateway at ", server_, " has not answered before the time was up"));
    }
    // gRPC's own words for a dead address list every attempt; the address is what the user can act on.
    if (result.code() == absl::StatusCode::kUnavailable && status.error_details().empty()) {
      // A copy: the status gives its words away by value.
      std::string why = status.error_message();
      constexpr absl::string_view kConnect = "Failed to connect to remote host: ";
      if (const auto at = why.rfind(std::string(kConnect)); at != std::string::npos) why.erase(0, at + kConnect.size());
      return absl::UnavailableError(absl::StrCat("can't reach the gateway at ", server_, ": ", why,
                                                  tls_ ? "" : " (one that wants TLS needs --tls-ca)"));
    }
    return result;
  }

  const std::string server_;
  const bool tls_;
  const std::unique_ptr<gatewaypb::Invoker::Stub> invoker_;
  const std::unique_ptr<gatewaypb::Admin::Stub> admin_;
  absl::Mutex mu_;
  std::set<grpc::ClientContext*> active_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<GatewayClient>> MakeGrpcGatewayClient(const ConnectionOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  // A gateway that vanished without a word is noticed within half a minute, also while a log is followed.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (!options.tls_ca_file.empty()) {
    std::ifstream file(options.tls_ca_file, std::ios::binary);
    if (!file) {
      return LocalError(absl::NotFoundError(absl::StrCat("the CA file ", options.tls_ca_file,
                                                         " can't be read; check --tls-ca or THAW_TLS_CA")),
                        local_reason::kFile);
    }
    std::ostringstream text;
    text << file.rdbuf();
    grpc::SslCredentialsOptions ssl;
    ssl.pem_root_certs = text.str();
    credentials = grpc::SslCredentials(ssl);
  }
  return std::unique_ptr<GatewayClient>(std::make_unique<GrpcGatewayClient>(
      grpc::CreateCustomChannel(options.server, credentials, arguments), options.server, !options.tls_ca_file.empty()));
}

}  // namespace thaw::cli
