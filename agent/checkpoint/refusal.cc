#include "agent/checkpoint/refusal.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"

namespace thaw::agent {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostText = 1024;
constexpr std::size_t kMostFrames = 32;
constexpr std::size_t kMostFindings = 100;

thaw::common::v1::Finding MakeFinding(absl::string_view what) {
  thaw::common::v1::Finding finding;
  finding.set_kind(thaw::common::v1::OBSTACLE_KIND_RESOURCE);
  finding.set_what(std::string(what.substr(0, kMostText)));
  finding.set_fd(-1);
  finding.set_action(thaw::common::v1::OBSTACLE_ACTION_ERROR);
  finding.set_blocks(true);
  finding.set_remedy("have its beforeCheckpoint succeed: finish or close what it names, or do not register the resource");
  return finding;
}

// A cause is a string, or an object with `resource`, `message` and `stack`.
thaw::common::v1::Finding FromCause(const Json& cause) {
  if (cause.is_string()) return MakeFinding(cause.get<std::string>());
  if (!cause.is_object()) return MakeFinding(cause.dump());
  const auto text = [&](const char* key) {
    const auto it = cause.find(key);
    return it != cause.end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  const std::string resource = text("resource");
  thaw::common::v1::Finding finding =
      MakeFinding(absl::StrCat(resource, resource.empty() ? "" : ": ", text("message")));
  const auto stack = cause.find("stack");
  if (stack != cause.end() && stack->is_array()) {
    for (const Json& frame : *stack) {
      if (frame.is_string() && finding.opened_by_size() < static_cast<int>(kMostFrames)) {
        finding.add_opened_by(frame.get<std::string>().substr(0, kMostText));
      }
    }
  }
  return finding;
}

}  // namespace

std::vector<thaw::common::v1::Finding> RefusalFindings(absl::string_view body) {
  const Json json = Json::parse(body.begin(), body.end(), nullptr, false);
  std::vector<thaw::common::v1::Finding> findings;
  if (!json.is_object()) return {MakeFinding(body)};
  if (const auto causes = json.find("causes"); causes != json.end() && causes->is_array()) {
    for (const Json& cause : *causes) {
      if (findings.size() < kMostFindings) findings.push_back(FromCause(cause));
    }
  }
  if (findings.empty()) {
    const auto message = json.find("message");
    findings.push_back(MakeFinding(message != json.end() && message->is_string() ? message->get<std::string>()
                                                                                 : std::string(body)));
  }
  return findings;
}

std::map<int, std::vector<std::string>> OpeningStacks(absl::string_view body) {
  std::map<int, std::vector<std::string>> stacks;
  const Json json = Json::parse(body.begin(), body.end(), nullptr, false);
  if (!json.is_object() || !json.contains("descriptors") || !json["descriptors"].is_array()) return stacks;
  for (const Json& item : json["descriptors"]) {
    if (!item.is_object() || !item.contains("fd") || !item["fd"].is_number_integer() || !item.contains("opened_by") ||
        !item["opened_by"].is_array()) {
      continue;
    }
    std::vector<std::string>& stack = stacks[item["fd"].get<int>()];
    for (const Json& frame : item["opened_by"]) {
      if (frame.is_string() && stack.size() < kMostFrames) stack.push_back(frame.get<std::string>().substr(0, kMostText));
    }
  }
  return stacks;
}

}  // namespace thaw::agent
