// The gateway's process: flags, signals, and nothing else.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "common/log/log.h"
#include "common/options/flags.h"
#include "common/version/version.h"
#include "gateway/gateway.h"

namespace {

void AddFlags(CLI::App& app, thaw::gateway::Options& options) {
  app.add_option("--listen", options.listen, "gRPC address; port 0 chooses one")->capture_default_str();
  app.add_option("--http-listen", options.http_listen, "HTTP address: /invoke, /healthz, /readyz, /metrics")
      ->capture_default_str();
  app.add_option("--https-listen", options.https_listen, "the same with TLS, by --tls-cert; empty for none");
  app.add_option("--scheduler", options.scheduler, "the scheduler's host:port")->capture_default_str();
  app.add_flag("--allow-node-pinning", options.allow_node_pinning, "let callers choose the node with `thaw-node`");
  app.add_option("--max-body-bytes", options.max_body_bytes, "of a request's and of an answer's body")
      ->capture_default_str();
  app.add_option("--max-header-bytes", options.max_header_bytes, "of a request's headers in all")
      ->capture_default_str();
  app.add_option("--max-concurrent-calls", options.max_concurrent_calls, "in flight, over all functions")
      ->capture_default_str();
  app.add_option("--max-buffered-bytes", options.max_buffered_bytes, "of all request bodies in memory")
      ->capture_default_str();
  app.add_option("--max-http-connections", options.max_http_connections, "open at once")->capture_default_str();
  app.add_option("--http-threads", options.http_threads, "for HTTP connections")->capture_default_str();
  thaw::AddDuration(app, "--http-idle-limit", options.http_idle_limit, "for a connection without a request");
  thaw::AddDuration(app, "--http-read-limit", options.http_read_limit,
                    "for a request's headers, and for a silence within its body (gRPC's too)");
  thaw::AddDuration(app, "--start-allowance", options.start_allowance,
                    "added to a function's timeout for queueing and starting");
  thaw::AddDuration(app, "--drain-limit", options.drain_limit, "for calls under way after SIGTERM");
  app.add_option("--log-level", options.log_level, "trace, debug, info, warn or error")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error"}))
      ->capture_default_str();
  app.add_option("--port-file", options.port_file, "written once the listeners are there: grpc=<port>, http=<port>, https=<port>");
  thaw::AddSecurityFlags(app, options.security);
  app.set_version_flag("--version", std::string("thaw-gateway ") + thaw::kVersion);
  thaw::AddEnvironmentNames(app);
}

// Each connection is a descriptor; the usual soft limit of 1,024 is below our own limit of connections.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "thaw-gateway: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  thaw::BlockStopSignals();
  RaiseDescriptorLimit();
  thaw::gateway::Options options;
  CLI::App app{"thaw-gateway: takes calls by HTTP and gRPC and brings them to the nodes"};
  AddFlags(app, options);
  int exit_code = 0;
  if (!thaw::ParseFlags(app, argc, argv, exit_code)) return exit_code;

  auto security = thaw::Security::Load(options.security);
  if (!security.ok()) return Fail(security.status());
  const auto log = thaw::MakeLogger("gateway", options.log_level);
  auto gateway = thaw::gateway::Gateway::Create(options, *security, log);
  if (!gateway.ok()) return Fail(gateway.status());

  const int signal = thaw::WaitForStopSignal();
  log->info("event=stopping signal={}", signal);
  (*gateway)->Shutdown();
  return 0;
}
