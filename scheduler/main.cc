// thaw-scheduler: knows apps, functions, nodes and snapshots, places calls and hands out leases.
#include <CLI/CLI.hpp>

#include "common/log/log.h"
#include "common/options/flags.h"
#include "common/rpc/security.h"
#include "common/version/version.h"
#include "scheduler/options.h"
#include "scheduler/server.h"

namespace {

// Exit codes: what a supervisor should do next.
constexpr int kBadOptions = 2;    // nothing before someone changes them
constexpr int kCannotStart = 1;   // perhaps try again

int Run(const thaw::scheduler::Options& options) {
  const auto logger = thaw::MakeLogger("scheduler", options.log_level);
  if (absl::Status status = options.Validate(); !status.ok()) {
    logger->error("event=bad_options error=\"{}\"", std::string(status.message()));
    return kBadOptions;
  }
  auto security = thaw::Security::Load(options.security);
  if (!security.ok()) {
    logger->error("event=bad_options error=\"{}\"", std::string(security.status().message()));
    return kBadOptions;
  }
  auto server = thaw::scheduler::SchedulerServer::Start(options, *std::move(security), logger);
  if (!server.ok()) {
    logger->error("event=start_failed error=\"{}\"", std::string(server.status().message()));
    return kCannotStart;
  }
  const int signal = thaw::WaitForStopSignal();
  logger->info("event=stopping signal={}", signal);
  (*server)->Shutdown();
  logger->info("event=stopped");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  thaw::BlockStopSignals();
  CLI::App app("Thaw's scheduler: what the cluster knows, and where calls go.", "thaw-scheduler");
  app.set_version_flag("--version", std::string("thaw-scheduler ") + thaw::kVersion);
  thaw::scheduler::Options options;
  thaw::scheduler::AddFlags(app, options);
  thaw::AddEnvironmentNames(app);
  int exit_code = 0;
  if (!thaw::ParseFlags(app, argc, argv, exit_code)) return exit_code;
  return Run(options);
}
