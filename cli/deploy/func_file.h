#ifndef THAW_CLI_DEPLOY_FUNC_FILE_H_
#define THAW_CLI_DEPLOY_FUNC_FILE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/freezing/thaw_section.h"

namespace thaw::cli {

// What a func.yaml, func.yml or func.json says (schema_version 20180708, the Fn project's keys).
struct FuncFile {
  // The file's name without its folder, for messages.
  std::string file_name;
  std::string name;
  std::string version;
  std::string runtime;
  std::string build_image;
  std::string run_image;
  // Split at white space, as Fn does, or a list of words.
  std::vector<std::string> cmd;
  std::vector<std::string> entrypoint;
  std::string content_type;
  std::optional<std::uint32_t> memory_mib;
  std::optional<std::uint32_t> timeout_s;
  std::optional<std::uint32_t> idle_timeout_s;
  std::map<std::string, std::string> config;
  // Values are JSON texts.
  std::map<std::string, std::string> annotations;
  // Shell lines that are run in the function's folder before the image is built.
  std::vector<std::string> build;
  struct ExpectedConfig {
    std::string name;
    bool required = false;
    int line = 0;
  };
  std::vector<ExpectedConfig> expected_config;
  // Thaw's own key, `thaw:`.
  ThawSection thaw;
  // Keys that are Fn's but mean nothing to Thaw, in the file's order.
  std::vector<std::string> ignored_keys;
};

// Reads the text of a func file. Files that it names are taken from `directory`. INVALID_ARGUMENT begins with
// `file_name:LINE:` and names the key.
absl::StatusOr<FuncFile> ParseFuncFile(absl::string_view text, const std::string& file_name,
                                       const std::string& directory = ".");

// Reads func.yaml, func.yml or func.json of `directory`; the first that is there. NOT_FOUND when none is.
absl::StatusOr<FuncFile> ReadFuncFile(const std::string& directory);

}  // namespace thaw::cli

#endif  // THAW_CLI_DEPLOY_FUNC_FILE_H_
