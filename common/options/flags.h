#ifndef THAW_COMMON_OPTIONS_FLAGS_H_
#define THAW_COMMON_OPTIONS_FLAGS_H_

#include <string>

#include "absl/time/time.h"
#include "common/rpc/security.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace thaw {

// Adds `name` as a duration ("250ms", "30s", "1h30m"), with its default in the help text. Each service's main()
// declares its flags on a CLI11 app; every flag can also come from the environment as THAW_<NAME>.
CLI::Option* AddDuration(CLI::App& app, const std::string& name, absl::Duration& value, const std::string& help);

// --cluster-token-file, --tls-cert, --tls-key, --tls-ca, --trusted-network.
void AddSecurityFlags(CLI::App& app, SecurityOptions& options);

// Gives every option of `app` that has none the environment name THAW_<NAME WITH _>. Call last.
void AddEnvironmentNames(CLI::App& app);

// Parses argv; false when the process should exit with `exit_code` (help was printed, or a flag was wrong and
// the error printed).
bool ParseFlags(CLI::App& app, int argc, char** argv, int& exit_code);

// Blocks SIGINT and SIGTERM in this and all later threads: call first in main(). WaitForStopSignal() then returns
// the one that arrived.
void BlockStopSignals();
int WaitForStopSignal();

}  // namespace thaw

#endif  // THAW_COMMON_OPTIONS_FLAGS_H_
