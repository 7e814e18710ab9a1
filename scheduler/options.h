#ifndef THAW_SCHEDULER_OPTIONS_H_
#define THAW_SCHEDULER_OPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/rpc/security.h"

namespace CLI {
class App;
}

namespace thaw::scheduler {

// What an operator chooses. main() fills it from the flags of the same names.
struct Options {
  // host:port; port 0 chooses one.
  std::string listen = "127.0.0.1:7100";
  // Empty for none.
  std::string metrics_listen = "127.0.0.1:7101";
  // Holds the store, `thaw.db`. Made if it is not there.
  std::string data_dir;
  // Written once ready: `grpc=<port>` and `metrics=<port>`, a line each. Empty for none.
  std::string port_file;
  // How often nodes report, and after how much silence one is lost: its leases end, its copies count no more.
  absl::Duration heartbeat_interval = absl::Seconds(1);
  absl::Duration lost_after = absl::Seconds(5);
  // How long a lost node is listed and kept on record as a holder of snapshots.
  absl::Duration forget_after = absl::Hours(1);
  // A gateway renews at half of it.
  absl::Duration lease_ttl = absl::Seconds(10);
  // Slots that each node keeps ready per version that has a snapshot.
  std::uint32_t slots_per_node = 1;
  std::string log_level = "info";
  SecurityOptions security;

  // INVALID_ARGUMENT, naming the flag.
  absl::Status Validate() const;
};

// Declares the flags of `options` on `app`.
void AddFlags(CLI::App& app, Options& options);

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_OPTIONS_H_
