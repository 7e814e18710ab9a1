#include "cli/deploy/image_randomness.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/ids/ids.h"
#include "common/randomness/binary_facts.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kPath[][16] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"};

// Where the program may lie, the likeliest first.
std::vector<std::string> Places(const std::string& program) {
  if (program.find('/') != std::string::npos) return {program};
  std::vector<std::string> places;
  for (const char* directory : kPath) places.push_back(absl::StrCat(directory, "/", program));
  return places;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> LookForUncured(Docker& docker, const std::string& image_id,
                                                        const std::string& directory) {
  ASSIGN_OR_RETURN(std::vector<std::string> command, docker.InspectCommand(image_id));
  if (command.size() >= 2 && command[0] == "/thaw/init" && command[1] == "--") {
    command.erase(command.begin(), command.begin() + 2);
  }
  if (command.empty()) return std::vector<std::string>();
  const std::string container = absl::StrCat("thaw-look-", NewHexId(8));
  RETURN_IF_ERROR(docker.CreateContainer({"--name", container, image_id, "look"}));
  const absl::Cleanup remove = [&docker, &container] { docker.RemoveContainers({container}).IgnoreError(); };
  const std::string copy = absl::StrCat(directory, "/", container);
  const absl::Cleanup remove_copy = [&copy] {
    std::error_code ignored;
    fs::remove(copy, ignored);
  };
  for (const std::string& place : Places(command[0])) {
    if (!docker.CopyOut(container, place, copy, /*follow_links=*/true).ok()) continue;
    std::ostringstream content;
    content << std::ifstream(copy, std::ios::binary).rdbuf();
    std::vector<std::string> uncured =
        UncuredOf(ReadBinary(std::move(content).str()), fs::path(place).filename().string());
    for (std::string& text : uncured) text = absl::StrCat(place, ": ", text);
    return uncured;
  }
  // A program that is found by another PATH, or made at the start.
  return std::vector<std::string>();
}

}  // namespace thaw::cli
