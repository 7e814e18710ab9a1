#include <grpcpp/support/server_callback.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "scheduler/catalogue/validation.h"
#include "scheduler/errors.h"
#include "scheduler/service/services.h"
#include "scheduler/service/unary.h"
#include "thaw/scheduler/v1/scheduler.grpc.pb.h"

namespace thaw::scheduler {
namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

class CatalogueService final : public v1::Catalogue::CallbackService {
 public:
  CatalogueService(Scheduler& scheduler, const Security& security) : scheduler_(scheduler), security_(security) {}

  ServerUnaryReactor* CreateApp(CallbackServerContext* context, const common::v1::CreateAppRequest* request,
                                common::v1::App* response) override {
    return Write(context, [=, this] { return Fill(catalogue().CreateApp(request->app()), response); });
  }
  ServerUnaryReactor* GetApp(CallbackServerContext* context, const common::v1::GetAppRequest* request,
                             common::v1::App* response) override {
    return Read(context, [=, this] { return Fill(catalogue().GetApp(request->id(), request->name()), response); });
  }
  ServerUnaryReactor* ListApps(CallbackServerContext* context, const common::v1::ListAppsRequest* request,
                               common::v1::ListAppsResponse* response) override {
    return Read(context, [=, this] { return Fill(catalogue().ListApps(*request), response); });
  }
  ServerUnaryReactor* UpdateApp(CallbackServerContext* context, const common::v1::UpdateAppRequest* request,
                                common::v1::App* response) override {
    return Write(context, [=, this] { return Fill(catalogue().UpdateApp(request->app()), response); });
  }
  ServerUnaryReactor* DeleteApp(CallbackServerContext* context, const common::v1::DeleteAppRequest* request,
                                common::v1::DeleteAppResponse*) override {
    return Write(context, [=, this] {
      absl::Status status = catalogue().DeleteApp(request->id());
      // The app is gone whatever becomes of its secrets: what is left the next start drops.
      if (status.ok()) (void)scheduler_.secrets().DropApp(request->id());
      return status;
    });
  }

  ServerUnaryReactor* CreateFunction(CallbackServerContext* context, const common::v1::CreateFunctionRequest* request,
                                     common::v1::Function* response) override {
    return Write(context, [=, this] { return Fill(Decorated(catalogue().CreateFunction(request->function())), response); });
  }
  ServerUnaryReactor* GetFunction(CallbackServerContext* context, const common::v1::GetFunctionRequest* request,
                                  common::v1::Function* response) override {
    return Read(context, [=, this] {
      return Fill(Decorated(catalogue().GetFunction(request->id(), request->app_name(), request->name())), response);
    });
  }
  ServerUnaryReactor* ListFunctions(CallbackServerContext* context, const common::v1::ListFunctionsRequest* request,
                                    common::v1::ListFunctionsResponse* response) override {
    return Read(context, [=, this] {
      absl::Status status = Fill(catalogue().ListFunctions(*request), response);
      for (auto& function : *response->mutable_functions()) Decorate(function);
      return status;
    });
  }
  ServerUnaryReactor* UpdateFunction(CallbackServerContext* context, const common::v1::UpdateFunctionRequest* request,
                                     common::v1::Function* response) override {
    return Write(context, [=, this] { return Fill(Decorated(catalogue().UpdateFunction(request->function())), response); });
  }
  ServerUnaryReactor* DeleteFunction(CallbackServerContext* context, const common::v1::DeleteFunctionRequest* request,
                                     common::v1::DeleteFunctionResponse*) override {
    return Write(context, [=, this] { return catalogue().DeleteFunction(request->id()); });
  }

  ServerUnaryReactor* ListNodes(CallbackServerContext* context, const common::v1::ListNodesRequest*,
                                common::v1::ListNodesResponse* response) override {
    return Read(context, [=, this] {
      for (auto& node : scheduler_.nodes().List()) *response->add_nodes() = std::move(node);
      return absl::OkStatus();
    });
  }

  ServerUnaryReactor* ListSnapshots(CallbackServerContext* context, const common::v1::ListSnapshotsRequest* request,
                                    common::v1::ListSnapshotsResponse* response) override {
    return Read(context, [=, this] {
      for (auto& snapshot : scheduler_.snapshots().List(request->function_id())) {
        *response->add_snapshots() = std::move(snapshot);
      }
      return absl::OkStatus();
    });
  }
  ServerUnaryReactor* GetSnapshot(CallbackServerContext* context, const common::v1::GetSnapshotRequest* request,
                                  common::v1::SnapshotInfo* response) override {
    return Read(context, [=, this] { return Fill(scheduler_.snapshots().Get(request->id()), response); });
  }
  ServerUnaryReactor* DeleteSnapshot(CallbackServerContext* context, const common::v1::DeleteSnapshotRequest* request,
                                     common::v1::DeleteSnapshotResponse*) override {
    return Write(context, [=, this] { return scheduler_.cluster().DeleteSnapshot(request->id()); });
  }

  ServerUnaryReactor* SetSecret(CallbackServerContext* context, const common::v1::SetSecretRequest* request,
                                common::v1::Secret* response) override {
    return Write(context, [=, this] { return Fill(scheduler_.cluster().SetSecret(*request), response); });
  }
  ServerUnaryReactor* ListSecrets(CallbackServerContext* context, const common::v1::ListSecretsRequest* request,
                                  common::v1::ListSecretsResponse* response) override {
    return Read(context, [=, this] {
      if (auto app = catalogue().GetApp(request->app_id(), ""); !app.ok()) return app.status();
      for (auto& secret : scheduler_.secrets().List(request->app_id())) *response->add_secrets() = std::move(secret);
      return absl::OkStatus();
    });
  }
  ServerUnaryReactor* DeleteSecret(CallbackServerContext* context, const common::v1::DeleteSecretRequest* request,
                                   common::v1::DeleteSecretResponse*) override {
    return Write(context, [=, this] { return scheduler_.cluster().DeleteSecret(*request); });
  }

  ServerUnaryReactor* GetVersion(CallbackServerContext* context, const v1::GetVersionRequest* request,
                                 v1::VersionState* response) override {
    return Read(context, [=, this] {
      return Fill(scheduler_.cluster().GetVersion(request->version_id(), request->node_id()), response);
    });
  }

 private:
  template <typename Work>
  ServerUnaryReactor* Read(CallbackServerContext* context, Work work) {
    return Answer(security_, context, std::move(work));
  }
  template <typename Work>
  ServerUnaryReactor* Write(CallbackServerContext* context, Work work) {
    return AnswerFromWriter(security_, scheduler_.writer(), context, std::move(work));
  }

  // Adds what only answers carry.
  void Decorate(common::v1::Function& function) const {
    const std::string error = scheduler_.cluster().CheckpointErrorOf(function.version_id());
    if (error.empty()) return;
    (*function.mutable_annotations())[kCheckpointErrorAnnotation] =
        nlohmann::json(error).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  absl::StatusOr<common::v1::Function> Decorated(absl::StatusOr<common::v1::Function> function) const {
    if (function.ok()) Decorate(*function);
    return function;
  }

  scheduler::Catalogue& catalogue() { return scheduler_.catalogue(); }

  Scheduler& scheduler_;
  const Security& security_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewCatalogueService(Scheduler& scheduler, const Security& security) {
  return std::make_unique<CatalogueService>(scheduler, security);
}

std::vector<std::unique_ptr<grpc::Service>> NewServices(Scheduler& scheduler, const Security& security, Timers& timers) {
  std::vector<std::unique_ptr<grpc::Service>> services;
  services.push_back(NewCatalogueService(scheduler, security));
  services.push_back(NewLeasesService(scheduler, security));
  services.push_back(NewMembershipService(scheduler, security, timers));
  return services;
}

}  // namespace thaw::scheduler
