#include "scheduler/catalogue/freeze_settings.h"

#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "common/freezing/settings.h"
#include "common/status/status_macros.h"
#include "scheduler/catalogue/validation.h"
#include "scheduler/errors.h"
#include "scheduler/limits.h"

namespace thaw::scheduler {
namespace {

using common::v1::FreezeSettings;
using common::v1::ObstacleRule;

template <typename Words>
absl::Status CheckWord(absl::string_view field, absl::string_view word, const Words& known) {
  if (std::find(known.begin(), known.end(), word) != known.end()) return absl::OkStatus();
  return errors::InvalidField(field, absl::StrCat("'", word.substr(0, 64), "' is not known; choose one of ",
                                                  absl::StrJoin(known, ", ")));
}

absl::Status CheckCount(absl::string_view field, int count, std::size_t most) {
  if (static_cast<std::size_t>(count) <= most) return absl::OkStatus();
  return errors::InvalidField(field, absl::StrCat("has ", count, " entries; the limit is ", most));
}

absl::Status CheckRule(const ObstacleRule& rule, const std::string& field) {
  if (!common::v1::ObstacleKind_IsValid(rule.kind())) {
    return errors::InvalidField(absl::StrCat(field, ".kind"), absl::StrCat("is ", static_cast<int>(rule.kind()),
                                                                           ", which this scheduler does not know; upgrade it"));
  }
  if (rule.action() == common::v1::OBSTACLE_ACTION_UNSPECIFIED || !common::v1::ObstacleAction_IsValid(rule.action())) {
    return errors::InvalidField(absl::StrCat(field, ".action"), "is missing or not known; choose error, close, reopen or ignore");
  }
  if (rule.pattern().size() > limits::kMaxRulePatternBytes || absl::StrContains(rule.pattern(), '\0')) {
    return errors::InvalidField(absl::StrCat(field, ".pattern"),
                                absl::StrCat("has ", rule.pattern().size(), " bytes or a zero byte; the limit is ",
                                             limits::kMaxRulePatternBytes));
  }
  const bool can_be_reopened =
      rule.kind() == common::v1::OBSTACLE_KIND_UNSPECIFIED || rule.kind() == common::v1::OBSTACLE_KIND_FILE;
  if (rule.action() == common::v1::OBSTACLE_ACTION_REOPEN && !can_be_reopened) {
    return errors::InvalidField(absl::StrCat(field, ".action"),
                                "is reopen, and only files can be opened again; choose close, and let the function connect anew");
  }
  return absl::OkStatus();
}

absl::Status CheckRestoreTimeConfig(const FreezeSettings& settings) {
  constexpr char kField[] = "freeze.restore_time_config";
  RETURN_IF_ERROR(CheckCount(kField, settings.restore_time_config_size(), limits::kMaxConfigEntries));
  std::set<absl::string_view> seen;
  for (const std::string& key : settings.restore_time_config()) {
    if (key.empty() || key.size() > limits::kMaxConfigKeyBytes || absl::StrContains(key, '=') ||
        absl::StrContains(key, '\0')) {
      return errors::InvalidField(kField, absl::StrCat("has '", absl::string_view(key).substr(0, 64),
                                                       "', which is no config key; name keys of the function's config"));
    }
    if (!seen.insert(key).second) {
      return errors::InvalidField(kField, absl::StrCat("has '", key, "' twice; name each key once"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSecrets(const FreezeSettings& settings) {
  constexpr char kField[] = "freeze.secrets";
  RETURN_IF_ERROR(CheckCount(kField, settings.secrets_size(), limits::kMaxSecretsPerFunction));
  std::set<absl::string_view> seen;
  for (const auto& secret : settings.secrets()) {
    if (!IsSecretName(secret.name())) {
      return errors::InvalidField(kField, absl::StrCat("has '", absl::string_view(secret.name()).substr(0, 64),
                                                       "', which is no secret's name; use 1 to ", limits::kMaxSecretNameBytes,
                                                       " letters, digits, _, - or ."));
    }
    if (!seen.insert(secret.name()).second) {
      return errors::InvalidField(kField, absl::StrCat("has '", secret.name(), "' twice; name each secret once"));
    }
  }
  return absl::OkStatus();
}

std::size_t BytesOf(const common::v1::PrimingRequest& request) {
  std::size_t bytes = request.body().size() + request.content_type().size();
  for (const auto& [name, value] : request.headers()) bytes += name.size() + value.size();
  return bytes;
}

absl::Status CheckRequest(const common::v1::PrimingRequest& request, const std::string& field) {
  const auto one_line = [](absl::string_view text) {
    return std::none_of(text.begin(), text.end(), [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
  };
  if (!one_line(request.content_type())) {
    return errors::InvalidField(absl::StrCat(field, ".content_type"), "has a line break; give a media type");
  }
  for (const auto& [name, value] : request.headers()) {
    const bool named = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
      return absl::ascii_isgraph(static_cast<unsigned char>(c)) && c != ':';
    });
    if (named && one_line(value)) continue;
    return errors::InvalidField(absl::StrCat(field, ".headers"),
                                absl::StrCat("has '", absl::string_view(name).substr(0, 64),
                                             "', which is no header; leave out colons, spaces and line breaks"));
  }
  return absl::OkStatus();
}

absl::Status CheckPriming(const FreezeSettings& settings) {
  RETURN_IF_ERROR(CheckCount("freeze.priming", settings.priming_size(), limits::kMaxPrimingRequests));
  std::size_t bytes = 0;
  for (int i = 0; i < settings.priming_size(); ++i) {
    RETURN_IF_ERROR(CheckRequest(settings.priming(i), absl::StrCat("freeze.priming[", i, "]")));
    bytes += BytesOf(settings.priming(i));
  }
  if (bytes > limits::kMaxPrimingBytes) {
    return errors::InvalidField("freeze.priming", absl::StrCat("has ", bytes, " bytes; the limit is ",
                                                               limits::kMaxPrimingBytes, " together"));
  }
  if (!settings.has_canary()) return absl::OkStatus();
  RETURN_IF_ERROR(CheckRequest(settings.canary(), "freeze.canary"));
  if (BytesOf(settings.canary()) > limits::kMaxCanaryBytes) {
    return errors::InvalidField("freeze.canary", absl::StrCat("has ", BytesOf(settings.canary()), " bytes; the limit is ",
                                                              limits::kMaxCanaryBytes));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckFreezeSettings(const FreezeSettings& settings) {
  RETURN_IF_ERROR(CheckCount("freeze.rules", settings.rules_size(), limits::kMaxObstacleRules));
  for (int i = 0; i < settings.rules_size(); ++i) {
    RETURN_IF_ERROR(CheckRule(settings.rules(i), absl::StrCat("freeze.rules[", i, "]")));
  }
  RETURN_IF_ERROR(CheckRestoreTimeConfig(settings));
  RETURN_IF_ERROR(CheckSecrets(settings));
  RETURN_IF_ERROR(CheckCount("freeze.without_cures", settings.without_cures_size(), kCures.size()));
  for (const std::string& cure : settings.without_cures()) {
    RETURN_IF_ERROR(CheckWord("freeze.without_cures", cure, kCures));
  }
  if (!settings.cpu_baseline().empty()) {
    RETURN_IF_ERROR(CheckWord("freeze.cpu_baseline", settings.cpu_baseline(), kCpuBaselines));
  }
  if (!settings.engine().empty()) RETURN_IF_ERROR(CheckWord("freeze.engine", settings.engine(), kEngines));
  return CheckPriming(settings);
}

}  // namespace thaw::scheduler
