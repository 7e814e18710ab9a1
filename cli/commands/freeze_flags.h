#ifndef THAW_CLI_COMMANDS_FREEZE_FLAGS_H_
#define THAW_CLI_COMMANDS_FREEZE_FLAGS_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "thaw/common/v1/freezing.pb.h"

namespace CLI {
class App;
}

namespace thaw::cli {

// The flags that say how a function is frozen: the same as `thaw:` in func.yaml.
struct FreezeFlags {
  std::string engine, cpu_baseline;
  std::vector<std::string> restore_time_config, secrets, on_obstacle, without_cures;
  bool accept_uncured = false, no_accept_uncured = false;
  std::vector<std::string> priming;
  std::string priming_content_type, canary, canary_content_type;
};

void AddFreezeFlags(CLI::App* command, FreezeFlags& flags);

// `settings` with what the flags say put over it. A list that is named replaces the one that was there; its only
// value "" empties it. False when no flag was given. INVALID_ARGUMENT names the flag.
absl::StatusOr<bool> ApplyFreezeFlags(const FreezeFlags& flags, common::v1::FreezeSettings& settings);

// For people: a row for each setting that is not the default.
std::vector<std::pair<std::string, std::string>> FreezeRows(const common::v1::FreezeSettings& settings);

}  // namespace thaw::cli

#endif  // THAW_CLI_COMMANDS_FREEZE_FLAGS_H_
