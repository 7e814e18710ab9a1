#include "gateway/gateway.h"

#include <stdio.h>

#include <fstream>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/clock/clock.h"
#include "common/executor/timer_thread.h"
#include "common/ids/ids.h"
#include "common/metrics/metrics.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"
#include "gateway/errors.h"
#include "gateway/http/server.h"
#include "gateway/invoke/invoker.h"
#include "gateway/metrics.h"
#include "gateway/routing/lease_table.h"
#include "gateway/service/admin_service.h"
#include "gateway/service/grpc_agent_client.h"
#include "gateway/service/grpc_scheduler_client.h"
#include "gateway/service/invoker_service.h"
#include "prometheus/registry.h"

namespace thaw::gateway {
namespace {

constexpr absl::Duration kReleaseLimit = absl::Seconds(2);
constexpr absl::Duration kHealthRefresh = absl::Milliseconds(250);
// Room for a unary body with its headers.
constexpr int kMaxMessageBytes = 8 << 20;

// A reader sees no file, or all of it.
absl::Status WritePortFile(const std::string& path, int grpc_port, int http_port, int https_port) {
  const std::string staged = absl::StrCat(path, ".", NewHexId(4));
  {
    std::ofstream file(staged, std::ios::trunc);
    file << "grpc=" << grpc_port << "\nhttp=" << http_port << "\n";
    if (https_port != 0) file << "https=" << https_port << "\n";
    file.close();
    if (!file) {
      return absl::UnavailableError(absl::StrCat("the port file ", path, " can't be written; check --port-file"));
    }
  }
  if (rename(staged.c_str(), path.c_str()) != 0) {
    (void)remove(staged.c_str());
    return absl::UnavailableError(absl::StrCat("the port file ", path, " can't be put in place; check --port-file"));
  }
  return absl::OkStatus();
}

}  // namespace

// In the order in which one needs the other: destruction goes backwards.
struct Gateway::Parts {
  Parts(const Options& gateway_options, std::shared_ptr<const Security> gateway_security,
        std::shared_ptr<spdlog::logger> gateway_log)
      : options(gateway_options),
        security(std::move(gateway_security)),
        log(std::move(gateway_log)),
        registry(std::make_shared<prometheus::Registry>()),
        metrics(*registry),
        channels(security),
        admission(options.max_concurrent_calls, options.max_buffered_bytes),
        scheduler(channels, options.scheduler, NewId()),
        agents({.max_answer_bytes = options.max_body_bytes}, channels),
        leases(LeaseTable::Create({}, {.scheduler = &scheduler,
                                       .clock = &clock,
                                       .timers = &timers,
                                       .metrics = &metrics,
                                       .log = log})),
        invoker({.max_body_bytes = options.max_body_bytes,
                 .max_header_bytes = options.max_header_bytes,
                 .start_allowance = options.start_allowance,
                 .allow_node_pinning = options.allow_node_pinning},
                {.leases = leases,
                 .agents = &agents,
                 .admission = &admission,
                 .clock = &clock,
                 .metrics = &metrics,
                 .log = log}),
        invoker_service({.read_limit = options.http_read_limit},
                        {.invoker = &invoker, .admission = &admission, .clock = &clock, .timers = &timers}),
        admin_service({.node_pinning = options.allow_node_pinning, .max_body_bytes = options.max_body_bytes},
                      {.channels = &channels,
                       .scheduler_address = options.scheduler,
                       .leases = leases,
                       .timers = &timers,
                       .log = log}) {}

  absl::Status Readiness() const {
    if (stopping.load()) return Stopping();
    if (!leases->ever_connected()) {
      return SchedulerUnavailable("its first contact", absl::StrCat("at ", options.scheduler));
    }
    return absl::OkStatus();
  }

  // The health service is told when readiness turns: it has no way to ask.
  void RefreshHealth() {
    // The lock keeps the server from going between the two lines.
    absl::MutexLock lock(&health_mu);
    if (stopping.load()) return;
    const bool ready = Readiness().ok();
    rpc->SetServing(ready);
    if (!ready) timers.RunAfter(kHealthRefresh, [this] { RefreshHealth(); });
  }

  const Options options;
  const std::shared_ptr<const Security> security;
  const std::shared_ptr<spdlog::logger> log;
  const std::shared_ptr<prometheus::Registry> registry;
  RealClock clock;
  GatewayMetrics metrics;
  // Before the timers, whose work uses both to the end.
  absl::Mutex health_mu;
  std::atomic<bool> stopping{false};
  TimerThread timers;
  ChannelPool channels;
  Admission admission;
  GrpcSchedulerClient scheduler;
  GrpcAgentClient agents;
  std::shared_ptr<LeaseTable> leases;
  Invoker invoker;
  InvokerService invoker_service;
  AdminService admin_service;
  std::unique_ptr<HttpServer> http;
  // Null without --https-listen.
  std::unique_ptr<HttpServer> https;
  std::unique_ptr<RpcServer> rpc;
};

Gateway::Gateway(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Gateway::~Gateway() { Shutdown(); }

absl::StatusOr<std::unique_ptr<Gateway>> Gateway::Create(const Options& options,
                                                         std::shared_ptr<const Security> security,
                                                         std::shared_ptr<spdlog::logger> log) {
  RETURN_IF_ERROR(options.Validate());
  std::unique_ptr<Gateway> gateway(
      new Gateway(std::make_unique<Parts>(options, std::move(security), std::move(log))));
  Parts& parts = *gateway->parts_;
  HttpServer::Options http;
  http.listen_address = options.http_listen;
  http.threads = options.http_threads;
  http.max_connections = options.max_http_connections;
  http.idle_limit = options.http_idle_limit;
  http.read_limit = options.http_read_limit;
  const HttpServer::Deps http_deps{.invoker = &parts.invoker,
                                   .admission = &parts.admission,
                                   .metrics = &parts.metrics,
                                   .readiness = [&parts] { return parts.Readiness(); },
                                   .render_metrics = [&parts] { return RenderMetrics(*parts.registry); },
                                   .log = parts.log};
  ASSIGN_OR_RETURN(parts.http, HttpServer::Start(http, *parts.security, http_deps));
  if (!options.https_listen.empty()) {
    http.listen_address = options.https_listen;
    http.tls_cert_file = options.security.tls_cert_file;
    http.tls_key_file = options.security.tls_key_file;
    ASSIGN_OR_RETURN(parts.https, HttpServer::Start(http, *parts.security, http_deps));
  }
  ASSIGN_OR_RETURN(parts.rpc,
                   RpcServer::Start({.listen_address = options.listen,
                                     .max_message_bytes = kMaxMessageBytes,
                                     .public_listener = true},
                                    *parts.security, {&parts.invoker_service, &parts.admin_service}));
  parts.RefreshHealth();
  parts.leases->Start();
  if (!options.port_file.empty()) {
    RETURN_IF_ERROR(WritePortFile(options.port_file, parts.rpc->port(), parts.http->port(), gateway->https_port()));
  }
  parts.log->info("event=listening grpc_port={} http_port={} https_port={} scheduler={}", parts.rpc->port(),
                  parts.http->port(), gateway->https_port(), options.scheduler);
  return gateway;
}

int Gateway::grpc_port() const { return parts_->rpc->port(); }
int Gateway::http_port() const { return parts_->http->port(); }
int Gateway::https_port() const { return parts_->https == nullptr ? 0 : parts_->https->port(); }
absl::Status Gateway::Readiness() const { return parts_->Readiness(); }
const LeaseTable& Gateway::leases() const { return *parts_->leases; }

void Gateway::Shutdown() {
  Parts& parts = *parts_;
  {
    absl::MutexLock lock(&parts.health_mu);
    if (parts.stopping.exchange(true)) return;
  }
  const absl::Duration grace = parts.options.drain_limit;
  if (parts.http != nullptr) parts.http->Drain();
  if (parts.https != nullptr) parts.https->Drain();
  // All listeners drain at the same time: one limit for all calls.
  std::thread http_end([&] {
    if (parts.http != nullptr) parts.http->Shutdown(grace);
  });
  std::thread https_end([&] {
    if (parts.https != nullptr) parts.https->Shutdown(grace);
  });
  if (parts.rpc != nullptr) parts.rpc->Shutdown(grace);
  http_end.join();
  https_end.join();
  absl::Notification released;
  parts.leases->Shutdown(kReleaseLimit, [&released] { released.Notify(); });
  released.WaitForNotification();
  if (parts.rpc != nullptr) parts.log->info("event=stopped");
}

}  // namespace thaw::gateway
