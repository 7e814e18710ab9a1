#include "scheduler/options.h"

#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "common/options/flags.h"

namespace thaw::scheduler {

absl::Status Options::Validate() const {
  if (data_dir.empty()) {
    return absl::InvalidArgumentError("--data-dir is missing: name the directory that keeps the cluster's catalogue");
  }
  if (heartbeat_interval < absl::Milliseconds(10) || heartbeat_interval > absl::Minutes(1)) {
    return absl::InvalidArgumentError(absl::StrCat("--heartbeat-interval is ", absl::FormatDuration(heartbeat_interval),
                                                   "; choose 10ms to 1m"));
  }
  // Below that, one late heartbeat would lose a node.
  if (lost_after < 3 * heartbeat_interval) {
    return absl::InvalidArgumentError(absl::StrCat("--lost-after is ", absl::FormatDuration(lost_after),
                                                   "; choose at least three times --heartbeat-interval (",
                                                   absl::FormatDuration(heartbeat_interval), ")"));
  }
  if (forget_after < lost_after) {
    return absl::InvalidArgumentError(absl::StrCat("--forget-after is ", absl::FormatDuration(forget_after),
                                                   "; choose more than --lost-after"));
  }
  if (lease_ttl < absl::Milliseconds(100) || lease_ttl > absl::Minutes(10)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--lease-ttl is ", absl::FormatDuration(lease_ttl), "; choose 100ms to 10m"));
  }
  if (slots_per_node > 64) {
    return absl::InvalidArgumentError(absl::StrCat("--slots-per-node is ", slots_per_node, "; choose 0 to 64"));
  }
  return absl::OkStatus();
}

void AddFlags(CLI::App& app, Options& options) {
  app.add_option("--listen", options.listen, "host:port for gateways and agents; port 0 chooses one")
      ->capture_default_str();
  app.add_option("--metrics-listen", options.metrics_listen, "host:port of GET /metrics; port 0 chooses one, empty for none")
      ->capture_default_str();
  app.add_option("--data-dir", options.data_dir, "directory of the store, thaw.db; made if it is not there");
  app.add_option("--port-file", options.port_file, "file that gets grpc=PORT and metrics=PORT once ready");
  AddDuration(app, "--heartbeat-interval", options.heartbeat_interval, "how often nodes report");
  AddDuration(app, "--lost-after", options.lost_after, "silence after which a node is lost and its leases end");
  AddDuration(app, "--forget-after", options.forget_after, "how long a lost node stays listed");
  AddDuration(app, "--lease-ttl", options.lease_ttl, "how long a lease holds without renewal");
  app.add_option("--slots-per-node", options.slots_per_node, "slots kept ready on each node per frozen version")
      ->capture_default_str();
  app.add_option("--log-level", options.log_level, "trace, debug, info, warn or error")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error"}))
      ->capture_default_str();
  AddSecurityFlags(app, options.security);
}

}  // namespace thaw::scheduler
