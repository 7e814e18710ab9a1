#include "gateway/service/admin_service.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "common/rpc/status.h"
#include "common/version/version.h"
#include "gateway/service/child_call.h"
#include "gateway/service/create_snapshot.h"
#include "gateway/service/explain_freezing.h"
#include "gateway/service/find_image.h"
#include "gateway/service/push_image.h"
#include "gateway/service/read_logs.h"
#include "gateway/service/scheduler_status.h"

namespace thaw::gateway {
namespace {

namespace pb = ::thaw::common::v1;
using CatalogueCalls = scheduler::v1::Catalogue::StubInterface::async_interface;

template <typename Request, typename Response>
using CatalogueMethod = void (CatalogueCalls::*)(grpc::ClientContext*, const Request*, Response*,
                                                 std::function<void(grpc::Status)>);

}  // namespace

AdminService::AdminService(const Options& options, Deps deps)
    : options_(options),
      deps_(std::move(deps)),
      catalogue_(scheduler::v1::Catalogue::NewStub(deps_.channels->Get(deps_.scheduler_address))),
      lease_service_(scheduler::v1::Leases::NewStub(deps_.channels->Get(deps_.scheduler_address))) {}

AdminService::~AdminService() = default;

template <typename Request, typename Response, typename Method, typename After>
grpc::ServerUnaryReactor* AdminService::Forward(grpc::CallbackServerContext* context, const Request* request,
                                                Response* response, Method method, const char* doing, After after) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  // It ends with the inbound call, whose request and answer it uses.
  std::shared_ptr<grpc::ClientContext> outbound =
      ChildContext(*context, deps_.channels->security(), DeadlineOf(*context, options_.request_limit));
  (catalogue_->async()->*method)(
      outbound.get(), request, response, [reactor, outbound, doing, response, after](grpc::Status status) {
        if (status.ok()) after(*response);
        reactor->Finish(status.ok() ? status : ToGrpcStatus(FromSchedulerStatus(status, doing)));
      });
  return reactor;
}

// `after` runs between the scheduler's answer and ours.
#define THAW_FORWARD(method, Request, Response, doing, after)                                                     \
  grpc::ServerUnaryReactor* AdminService::method(grpc::CallbackServerContext* context, const pb::Request* request,  \
                                                 pb::Response* response) {                                          \
    return Forward(context, request, response,                                                                      \
                   static_cast<CatalogueMethod<pb::Request, pb::Response>>(&CatalogueCalls::method), doing, after); \
  }
#define THAW_NOTHING [](const auto&) {}

THAW_FORWARD(CreateApp, CreateAppRequest, App, "the new app", THAW_NOTHING)
THAW_FORWARD(GetApp, GetAppRequest, App, "the app", THAW_NOTHING)
THAW_FORWARD(ListApps, ListAppsRequest, ListAppsResponse, "the list of apps", THAW_NOTHING)
THAW_FORWARD(UpdateApp, UpdateAppRequest, App, "the app's change",
             [leases = deps_.leases](const pb::App& app) { leases->AppChanged(app.id()); })
THAW_FORWARD(DeleteApp, DeleteAppRequest, DeleteAppResponse, "the app's removal",
             ([leases = deps_.leases, id = request->id()](const auto&) { leases->AppChanged(id); }))
THAW_FORWARD(CreateFunction, CreateFunctionRequest, Function, "the new function", THAW_NOTHING)
THAW_FORWARD(GetFunction, GetFunctionRequest, Function, "the function", THAW_NOTHING)
THAW_FORWARD(ListFunctions, ListFunctionsRequest, ListFunctionsResponse, "the list of functions", THAW_NOTHING)
THAW_FORWARD(UpdateFunction, UpdateFunctionRequest, Function, "the function's change",
             [leases = deps_.leases](const pb::Function& function) { leases->FunctionChanged(function.id()); })
THAW_FORWARD(DeleteFunction, DeleteFunctionRequest, DeleteFunctionResponse, "the function's removal",
             ([leases = deps_.leases, id = request->id()](const auto&) { leases->FunctionChanged(id); }))
THAW_FORWARD(ListNodes, ListNodesRequest, ListNodesResponse, "the list of nodes", THAW_NOTHING)
THAW_FORWARD(ListSnapshots, ListSnapshotsRequest, ListSnapshotsResponse, "the list of snapshots", THAW_NOTHING)
THAW_FORWARD(GetSnapshot, GetSnapshotRequest, SnapshotInfo, "the snapshot", THAW_NOTHING)
THAW_FORWARD(DeleteSnapshot, DeleteSnapshotRequest, DeleteSnapshotResponse, "the snapshot's removal", THAW_NOTHING)
THAW_FORWARD(SetSecret, SetSecretRequest, Secret, "the secret", THAW_NOTHING)
THAW_FORWARD(ListSecrets, ListSecretsRequest, ListSecretsResponse, "the list of secrets", THAW_NOTHING)
THAW_FORWARD(DeleteSecret, DeleteSecretRequest, DeleteSecretResponse, "the secret's removal", THAW_NOTHING)

#undef THAW_FORWARD
#undef THAW_NOTHING

grpc::ServerUnaryReactor* AdminService::ExplainFreezing(grpc::CallbackServerContext* context,
                                                        const v1::ExplainFreezingRequest* request,
                                                        v1::ExplainFreezingResponse* response) {
  return StartExplainFreezing(*context, *request, *response,
                              {.inbound = context,
                               .catalogue = catalogue_.get(),
                               .channels = deps_.channels,
                               .deadline = DeadlineOf(*context, options_.request_limit),
                               .node_limit = options_.explain_limit});
}

grpc::ServerUnaryReactor* AdminService::FindImage(grpc::CallbackServerContext* context,
                                                  const v1::FindImageRequest* request,
                                                  v1::FindImageResponse* response) {
  const absl::Time deadline = DeadlineOf(*context, options_.request_limit);
  return StartFindImage(*context, *request, *response,
                        {.inbound = context,
                         .catalogue = catalogue_.get(),
                         .channels = deps_.channels,
                         .deadline = deadline,
                         .node_limit = options_.node_limit});
}

grpc::ServerUnaryReactor* AdminService::CreateSnapshot(grpc::CallbackServerContext* context,
                                                       const v1::CreateSnapshotRequest* request,
                                                       pb::SnapshotInfo* response) {
  return StartCreateSnapshot(*context, *request, *response,
                             {.leases = lease_service_,
                              .channels = deps_.channels,
                              .deadline = DeadlineOf(*context, options_.freeze_limit)});
}

grpc::ServerReadReactor<v1::PushImageRequest>* AdminService::PushImage(grpc::CallbackServerContext* context,
                                                                       v1::PushImageResponse* response) {
  return StartPushImage(*context, *response,
                        {.catalogue = catalogue_.get(),
                         .channels = deps_.channels,
                         .timers = deps_.timers,
                         .log = deps_.log,
                         .deadline = DeadlineOf(*context, options_.push_limit)});
}

grpc::ServerWriteReactor<v1::LogLine>* AdminService::ReadLogs(grpc::CallbackServerContext* context,
                                                              const v1::ReadLogsRequest* request) {
  return StartReadLogs(*context, *request,
                       {.catalogue = catalogue_.get(),
                        .channels = deps_.channels,
                        .timers = deps_.timers,
                        .request_limit = options_.request_limit,
                        .settle = options_.log_settle,
                        .refresh = options_.log_refresh});
}

grpc::ServerUnaryReactor* AdminService::GetServerInfo(grpc::CallbackServerContext* context,
                                                      const v1::GetServerInfoRequest*, v1::ServerInfo* response) {
  response->set_version(kVersion);
  response->set_node_pinning(options_.node_pinning);
  response->set_max_body_bytes(options_.max_body_bytes);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace thaw::gateway
