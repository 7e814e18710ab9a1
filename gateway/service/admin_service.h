#ifndef THAW_GATEWAY_SERVICE_ADMIN_SERVICE_H_
#define THAW_GATEWAY_SERVICE_ADMIN_SERVICE_H_

#include <memory>
#include <string>

#include "common/executor/executor.h"
#include "common/rpc/client.h"
#include "gateway/routing/lease_table.h"
#include "spdlog/logger.h"
#include "thaw/gateway/v1/gateway.grpc.pb.h"
#include "thaw/scheduler/v1/scheduler.grpc.pb.h"

namespace thaw::gateway {

// thaw.gateway.v1.Admin: the catalogue is the scheduler's, images and logs are the agents'; this one passes on.
//
// A change of a function or an app drops its leases here before the answer goes out, so that calls which come after
// the answer run the new version.
class AdminService final : public v1::Admin::CallbackService {
 public:
  struct Options {
    bool node_pinning = false;
    std::size_t max_body_bytes = 0;
    // Of a forwarded request, unless the caller's deadline is earlier.
    absl::Duration request_limit = absl::Seconds(30);
    // Of one node's answer among several.
    absl::Duration node_limit = absl::Seconds(5);
    // Of a freeze that somebody waits for: a start, the priming calls, a dump, its trial and its publication.
    absl::Duration freeze_limit = absl::Minutes(10);
    // Of a look at a node's instances.
    absl::Duration explain_limit = absl::Seconds(10);
    absl::Duration push_limit = absl::Minutes(30);
    // How long the merged logs wait for a silent node before the others' lines go out.
    absl::Duration log_settle = absl::Seconds(2);
    // How often `follow` looks for new nodes.
    absl::Duration log_refresh = absl::Seconds(3);
  };
  // All must outlive the service, and the service its server.
  struct Deps {
    ChannelPool* channels;
    std::string scheduler_address;
    std::shared_ptr<LeaseTable> leases;
    Timers* timers;
    std::shared_ptr<spdlog::logger> log;
  };

  AdminService(const Options& options, Deps deps);
  ~AdminService() override;

#define THAW_FORWARDED(method, Request, Response)                                                                  \
  grpc::ServerUnaryReactor* method(grpc::CallbackServerContext* context, const ::thaw::common::v1::Request* request, \
                                   ::thaw::common::v1::Response* response) override;
  THAW_FORWARDED(CreateApp, CreateAppRequest, App)
  THAW_FORWARDED(GetApp, GetAppRequest, App)
  THAW_FORWARDED(ListApps, ListAppsRequest, ListAppsResponse)
  THAW_FORWARDED(UpdateApp, UpdateAppRequest, App)
  THAW_FORWARDED(DeleteApp, DeleteAppRequest, DeleteAppResponse)
  THAW_FORWARDED(CreateFunction, CreateFunctionRequest, Function)
  THAW_FORWARDED(GetFunction, GetFunctionRequest, Function)
  THAW_FORWARDED(ListFunctions, ListFunctionsRequest, ListFunctionsResponse)
  THAW_FORWARDED(UpdateFunction, UpdateFunctionRequest, Function)
  THAW_FORWARDED(DeleteFunction, DeleteFunctionRequest, DeleteFunctionResponse)
  THAW_FORWARDED(ListNodes, ListNodesRequest, ListNodesResponse)
  THAW_FORWARDED(ListSnapshots, ListSnapshotsRequest, ListSnapshotsResponse)
  THAW_FORWARDED(GetSnapshot, GetSnapshotRequest, SnapshotInfo)
  THAW_FORWARDED(DeleteSnapshot, DeleteSnapshotRequest, DeleteSnapshotResponse)
  THAW_FORWARDED(SetSecret, SetSecretRequest, Secret)
  THAW_FORWARDED(ListSecrets, ListSecretsRequest, ListSecretsResponse)
  THAW_FORWARDED(DeleteSecret, DeleteSecretRequest, DeleteSecretResponse)
#undef THAW_FORWARDED

  grpc::ServerUnaryReactor* ExplainFreezing(grpc::CallbackServerContext* context,
                                            const v1::ExplainFreezingRequest* request,
                                            v1::ExplainFreezingResponse* response) override;
  grpc::ServerUnaryReactor* FindImage(grpc::CallbackServerContext* context, const v1::FindImageRequest* request,
                                      v1::FindImageResponse* response) override;
  grpc::ServerUnaryReactor* CreateSnapshot(grpc::CallbackServerContext* context,
                                           const v1::CreateSnapshotRequest* request,
                                           ::thaw::common::v1::SnapshotInfo* response) override;
  grpc::ServerReadReactor<v1::PushImageRequest>* PushImage(grpc::CallbackServerContext* context,
                                                           v1::PushImageResponse* response) override;
  grpc::ServerWriteReactor<v1::LogLine>* ReadLogs(grpc::CallbackServerContext* context,
                                                  const v1::ReadLogsRequest* request) override;
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest* request, v1::ServerInfo* response) override;

 private:
  template <typename Request, typename Response, typename Method, typename After>
  grpc::ServerUnaryReactor* Forward(grpc::CallbackServerContext* context, const Request* request, Response* response,
                                    Method method, const char* doing, After after);

  const Options options_;
  const Deps deps_;
  const std::unique_ptr<scheduler::v1::Catalogue::Stub> catalogue_;
  const std::shared_ptr<scheduler::v1::Leases::Stub> lease_service_;
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_ADMIN_SERVICE_H_
