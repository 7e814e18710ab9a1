#ifndef THAW_SCHEDULER_SERVER_H_
#define THAW_SCHEDULER_SERVER_H_

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock/clock.h"
#include "common/executor/thread_pool.h"
#include "common/executor/timer_thread.h"
#include "common/metrics/metrics.h"
#include "common/rpc/security.h"
#include "common/rpc/server.h"
#include "scheduler/metrics.h"
#include "scheduler/options.h"
#include "scheduler/scheduler.h"
#include "scheduler/store/store.h"
#include "spdlog/logger.h"

namespace grpc {
class Service;
}

namespace thaw::scheduler {

// A whole scheduler: store, parts, network. main() runs one; tests run several in one process.
class SchedulerServer {
 public:
  // Opens the store and serves. Fails as SqliteStore::Open, Store::Load, RpcServer::Start and MetricsServer::Create;
  // UNAVAILABLE when the data directory or the port file can't be made.
  static absl::StatusOr<std::unique_ptr<SchedulerServer>> Start(const Options& options,
                                                                std::shared_ptr<const Security> security,
                                                                std::shared_ptr<spdlog::logger> logger);
  // As Shutdown().
  ~SchedulerServer();

  int port() const { return rpc_->port(); }
  // 0 where no metrics are served.
  int metrics_port() const { return metrics_server_ == nullptr ? 0 : metrics_server_->port(); }
  Scheduler& scheduler() { return *scheduler_; }

  // In this order: the health service says no; the streams of nodes and gateways end; running calls get a moment, then
  // are cancelled; queued writes are finished; the store is closed. Nodes and gateways find the next scheduler as they
  // found this one, and their leases hold meanwhile.
  void Shutdown();

 private:
  SchedulerServer() = default;

  RealClock clock_;
  std::shared_ptr<prometheus::Registry> registry_;
  std::shared_ptr<const Security> security_;
  std::unique_ptr<SchedulerMetrics> metrics_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<ThreadPool> writer_;
  std::unique_ptr<TimerThread> timers_;
  std::unique_ptr<Scheduler> scheduler_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<RpcServer> rpc_;
  std::unique_ptr<MetricsServer> metrics_server_;
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_SERVER_H_
