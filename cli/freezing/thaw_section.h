#ifndef THAW_CLI_FREEZING_THAW_SECTION_H_
#define THAW_CLI_FREEZING_THAW_SECTION_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "thaw/common/v1/catalogue.pb.h"
#include "thaw/common/v1/freezing.pb.h"

namespace YAML {
class Node;
}

namespace thaw::cli {

// What `thaw:` in func.yaml says. What it does not say is unset.
struct ThawSection {
  std::optional<common::v1::CheckpointPolicy> checkpoint;
  // Normalised. Set when any key but `checkpoint` is there: then the file says all of the settings.
  std::optional<common::v1::FreezeSettings> freeze;
};

// Reads the value of `thaw:`. Files that it names (`priming`, `canary`) are taken from `directory`.
// INVALID_ARGUMENT begins with `file_name:LINE:` and names the key; an unknown key comes with the one that was
// probably meant. Throws YAML::Exception for what is no YAML.
absl::StatusOr<ThawSection> ParseThawSection(const YAML::Node& node, const std::string& file_name,
                                             const std::string& directory);

// A priming request's body from a file: at most 1 MiB.
absl::StatusOr<std::string> ReadBodyFile(const std::string& path);

}  // namespace thaw::cli

#endif  // THAW_CLI_FREEZING_THAW_SECTION_H_
