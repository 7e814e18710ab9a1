#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>

#include "agent/agent.h"
#include "agent/options.h"
#include "common/log/log.h"
#include "common/options/flags.h"
#include "common/version/version.h"

int main(int argc, char** argv) {
  using thaw::agent::ProfileRequest;
  thaw::BlockStopSignals();
  thaw::agent::Options options;
  CLI::App app("thaw-agent runs functions on one host: containers, checkpoints, restores, and the snapshots' transfer");
  app.set_version_flag("--version", thaw::kVersion);
  app.add_option("--node-id", options.node_id, "this node's name in the cluster");
  app.add_option("--listen", options.listen, "gRPC address")->capture_default_str();
  app.add_option("--advertise", options.advertise, "how others reach this agent, host:port [the listen address]");
  app.add_option("--metrics-listen", options.metrics_listen, "address of GET /metrics")->capture_default_str();
  app.add_option("--scheduler", options.scheduler, "the scheduler's host:port");
  app.add_option("--data-dir", options.data_dir, "state of this node; the container engine must see it under the same path")
      ->capture_default_str();
  app.add_option("--docker-socket", options.docker_socket, "the Docker Engine's unix socket")->capture_default_str();
  app.add_option("--init-binary", options.init_binary, "the static thaw-init that is mounted into the containers");
  app.add_option("--criu-bundle", options.criu_bundle,
                 "directory of the self-contained CRIU for the containers [none: their images have their own]");
  app.add_option("--preload-dir", options.preload_dir,
                 "directory of what is preloaded into functions for their random numbers [none: they are not cured]");
  app.add_option("--container-profile", options.profile, "auto, checkpoint or privileged")
      ->transform(CLI::CheckedTransformer(std::map<std::string, ProfileRequest>{{"auto", ProfileRequest::kAuto},
                                                                               {"checkpoint", ProfileRequest::kCheckpoint},
                                                                               {"privileged", ProfileRequest::kPrivileged}}));
  app.add_flag("--allow-crac-engine", options.allow_crac_engine,
               "let functions of engine crac run as root with their container's capabilities, as a CRaC JDK needs");
  app.add_option("--network", options.network, "the engine's network for functions")->capture_default_str();
  app.add_option("--cpu-features", options.cpu_features,
                 "an older CPU to report and to hold functions to, for snapshots that fit a mixed fleet, and for tests: "
                 "x86-64-v1 to -v4, or features in /proc/cpuinfo's words [the host's]");
  app.add_option("--memory-limit", options.memory_limit_bytes, "bytes that functions may use [80 % of the available]")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--snapshot-store-bytes", options.snapshot_store_bytes,
                 "bytes of snapshots to keep, compressed; beyond them the least needed are evicted [0: no limit]")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--max-instances-per-function", options.max_instances_per_function, "[twice the number of CPUs]");
  app.add_option("--max-waiting-calls", options.max_waiting_calls, "calls per function that may wait for an instance")
      ->capture_default_str();
  app.add_option("--max-body-bytes", options.max_body_bytes)->capture_default_str();
  thaw::AddDuration(app, "--restore-limit", options.restore_limit, "the longest a restore may take");
  thaw::AddDuration(app, "--dump-limit", options.dump_limit, "the longest a checkpoint may take");
  thaw::AddDuration(app, "--listen-limit", options.listen_limit, "the longest a cold start may take to open its socket");
  thaw::AddDuration(app, "--spare-slot-time", options.spare_slot_time, "how long an empty slot beyond need is kept");
  thaw::AddDuration(app, "--unused-image-time", options.unused_image_time,
                    "how long an image stays that no version needs any more; inf: for ever");
  thaw::AddDuration(app, "--stop-grace", options.stop_grace, "how long running calls may go on at a stop");
  app.add_option("--port-file", options.port_file, "written with the bound ports once the agent serves");
  app.add_option("--log-level", options.log_level)->capture_default_str();
  thaw::AddSecurityFlags(app, options.security);
  thaw::AddEnvironmentNames(app);
  int exit_code = 0;
  if (!thaw::ParseFlags(app, argc, argv, exit_code)) return exit_code;

  const std::shared_ptr<spdlog::logger> log = thaw::MakeLogger("agent", options.log_level);
  absl::StatusOr<std::unique_ptr<thaw::agent::Agent>> agent = thaw::agent::Agent::Start(options, log);
  if (!agent.ok()) {
    log->error("event=start_failed error=\"{}\"", agent.status().ToString());
    return 1;
  }
  const int signal = thaw::WaitForStopSignal();
  log->info("event=stopping signal={}", signal);
  if (!(*agent)->Stop()) {
    log->flush();
    std::_Exit(0);
  }
  return 0;
}
