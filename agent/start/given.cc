#include "agent/start/given.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/reasons.h"

namespace thaw::agent {
namespace {

template <typename Map>
bool SameMaps(const Map& a, const Map& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&b](const auto& entry) {
           const auto it = b.find(entry.first);
           return it != b.end() && it->second == entry.second;
         });
}

}  // namespace

Given MakeGiven(const VersionState& version, bool after_restore) {
  Given given;
  for (const std::string& key : version.spec().freeze().restore_time_config()) {
    const auto value = version.restore_time_config().find(key);
    // Said also where it has no value: what the frozen process remembers of it holds no longer.
    given.config[key] = value == version.restore_time_config().end() ? std::nullopt : std::optional(value->second);
  }
  for (const auto& use : version.spec().freeze().secrets()) {
    if (use.after_restore_only()) {
      if (!after_restore) continue;
      given.sealed = true;
    }
    const auto value = version.secrets().find(use.name());
    if (value != version.secrets().end()) given.secrets[use.name()] = value->second;
  }
  return given;
}

bool HasLateSecrets(const VersionState& version) {
  const auto& secrets = version.spec().freeze().secrets();
  return std::any_of(secrets.begin(), secrets.end(), [](const auto& use) { return use.after_restore_only(); });
}

bool GivesTheSame(const VersionState& a, const VersionState& b) {
  return SameMaps(a.restore_time_config(), b.restore_time_config()) && SameMaps(a.secrets(), b.secrets());
}

absl::Status CheckSecrets(const VersionState& version) {
  std::vector<std::string> missing;
  for (const auto& use : version.spec().freeze().secrets()) {
    if (!version.secrets().contains(use.name())) missing.push_back(use.name());
  }
  if (missing.empty()) return absl::OkStatus();
  const auto& spec = version.spec();
  const std::string names = absl::StrJoin(missing, ", ");
  return WithReason(absl::FailedPreconditionError(absl::StrCat(
                        "function ", spec.function_name(), " can't be started: no value of secret ", names,
                        " is known here; set it with `thaw secret set ", spec.app_name(), " ", missing.front(),
                        "`, or, if it is set, wait until this node reaches the scheduler again")),
                    reason::kSecretMissing, {{"secrets", names}});
}

}  // namespace thaw::agent
