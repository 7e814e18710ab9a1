#include "common/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "common/rpc/callback_threads.h"
#include "common/status/status_macros.h"
#include "grpc/health/v1/health.pb.h"

namespace thaw {

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(const Options& options, const Security& security,
                                                            const std::vector<grpc::Service*>& services) {
  RETURN_IF_ERROR(security.CheckListenAddress(options.listen_address));
  // gRPC keeps both as process-wide switches that must be set before the first server is built.
  static std::once_flag plugins;
  std::call_once(plugins, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    // gRPC serves the health service without a description that reflection could give; naming a message keeps ours
    // from being left out by the linker.
    grpc::health::v1::HealthCheckRequest::descriptor();
  });
  KeepCallbackThreads();
  std::unique_ptr<RpcServer> server(new RpcServer());
  grpc::ServerBuilder builder;
  builder.AddListeningPort(options.listen_address,
                           options.public_listener ? security.public_server_credentials() : security.server_credentials(),
                           &server->port_);
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  builder.SetMaxSendMessageSize(options.max_message_bytes);
  // Two services on one port would both think they serve it.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
  for (grpc::Service* service : services) builder.RegisterService(service);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || server->port_ == 0) {
    return absl::UnavailableError(absl::StrCat("gRPC address ", options.listen_address,
                                               " can't be bound; is another process there? choose another with --listen"));
  }
  return server;
}

RpcServer::~RpcServer() { Shutdown(absl::ZeroDuration()); }

void RpcServer::SetServing(bool serving) {
  if (auto* health = server_->GetHealthCheckService(); health != nullptr) health->SetServingStatus(serving);
}

void RpcServer::Shutdown(absl::Duration grace) {
  if (server_ == nullptr) return;
  SetServing(false);
  server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(grace));
  server_->Wait();
  server_.reset();
}

}  // namespace thaw
