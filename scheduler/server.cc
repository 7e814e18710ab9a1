#include "scheduler/server.h"

#include <grpcpp/impl/service_type.h>
#include <prometheus/registry.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"
#include "scheduler/limits.h"
#include "scheduler/service/services.h"
#include "scheduler/store/sealing_key.h"
#include "scheduler/store/sqlite_store.h"

namespace thaw::scheduler {
namespace {

// What running calls get at the end; they are short.
constexpr absl::Duration kShutdownGrace = absl::Seconds(2);

absl::Status MakeDataDir(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("the data directory ", path, " can't be made: ", error.message(), "; check --data-dir"));
  }
  return absl::OkStatus();
}

// Whoever waits for the file sees all of it or nothing.
absl::Status WritePortFile(const std::string& path, int grpc_port, int metrics_port) {
  const std::string temporary = path + ".new";
  std::ofstream file(temporary, std::ios::trunc);
  file << "grpc=" << grpc_port << "\nmetrics=" << metrics_port << "\n";
  file.close();
  if (!file || std::rename(temporary.c_str(), path.c_str()) != 0) {
    return absl::UnavailableError(
        absl::StrCat("the port file ", path, " can't be written: ", strerror(errno), "; check --port-file"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SchedulerServer>> SchedulerServer::Start(const Options& options,
                                                                        std::shared_ptr<const Security> security,
                                                                        std::shared_ptr<spdlog::logger> logger) {
  RETURN_IF_ERROR(options.Validate());
  RETURN_IF_ERROR(security->CheckListenAddress(options.listen));
  if (!options.metrics_listen.empty()) RETURN_IF_ERROR(security->CheckPlainListenAddress(options.metrics_listen));
  RETURN_IF_ERROR(MakeDataDir(options.data_dir));
  std::unique_ptr<SchedulerServer> server(new SchedulerServer());
  server->security_ = std::move(security);
  server->registry_ = std::make_shared<prometheus::Registry>();
  server->metrics_ = std::make_unique<SchedulerMetrics>(*server->registry_);
  ASSIGN_OR_RETURN(server->store_, SqliteStore::Open(options.data_dir + "/thaw.db"));
  ASSIGN_OR_RETURN(const SealingKey sealing_key, SealingKey::LoadOrMake(options.data_dir + "/secrets.key"));
  server->writer_ = std::make_unique<ThreadPool>(
      ThreadPool::Options{.name = "store", .threads = 1, .max_queued = limits::kMaxQueuedWrites});
  server->timers_ = std::make_unique<TimerThread>();
  ASSIGN_OR_RETURN(
      server->scheduler_,
      Scheduler::Create({.nodes = {.heartbeat_interval = options.heartbeat_interval,
                                   .lost_after = options.lost_after,
                                   .forget_after = options.forget_after},
                         .lease_ttl = options.lease_ttl,
                         .slots_per_node = options.slots_per_node},
                        {.store = *server->store_,
                         .clock = server->clock_,
                         .timers = *server->timers_,
                         .writer = *server->writer_,
                         .metrics = *server->metrics_,
                         .logger = logger,
                         .sealing_key = sealing_key}));
  if (!options.metrics_listen.empty()) {
    ASSIGN_OR_RETURN(server->metrics_server_, MetricsServer::Create(options.metrics_listen, server->registry_));
  }
  server->services_ = NewServices(*server->scheduler_, *server->security_, *server->timers_);
  std::vector<grpc::Service*> services;
  for (const auto& service : server->services_) services.push_back(service.get());
  ASSIGN_OR_RETURN(server->rpc_, RpcServer::Start({.listen_address = options.listen}, *server->security_, services));
  if (!options.port_file.empty()) {
    RETURN_IF_ERROR(WritePortFile(options.port_file, server->port(), server->metrics_port()));
  }
  logger->info("ready listen={} port={} metrics_port={}", options.listen, server->port(), server->metrics_port());
  return server;
}

SchedulerServer::~SchedulerServer() { Shutdown(); }

void SchedulerServer::Shutdown() {
  if (rpc_ != nullptr) rpc_->SetServing(false);
  if (scheduler_ != nullptr) scheduler_->Stop();
  if (rpc_ != nullptr) {
    rpc_->Shutdown(kShutdownGrace);
    rpc_.reset();
  }
  if (writer_ != nullptr) writer_->Shutdown();
  metrics_server_.reset();
  services_.clear();
  scheduler_.reset();
  timers_.reset();
  store_.reset();
}

}  // namespace thaw::scheduler
