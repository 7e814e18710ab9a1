#include "cli/commands/freeze_flags.h"

#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "cli/commands/arguments.h"
#include "cli/freezing/thaw_section.h"
#include "cli/freezing/words.h"
#include "cli/output/format.h"
#include "common/freezing/settings.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace {

namespace pb = common::v1;

absl::Status OfFlag(const char* flag, const absl::Status& status) {
  return status.ok() ? status : absl::InvalidArgumentError(absl::StrCat(flag, ": ", status.message()));
}

// The values of a flag that can be given again and again; a lone "" means none.
std::vector<std::string> Values(const std::vector<std::string>& given) {
  return given == std::vector<std::string>{""} ? std::vector<std::string>() : given;
}

// KIND[:PATTERN]=ACTION. Patterns have colons and may have `=`; actions have neither.
absl::StatusOr<pb::ObstacleRule> ParseRule(const std::string& text) {
  const std::size_t equals = text.rfind('=');
  if (equals == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("`", text, "` must be KIND[:PATTERN]=ACTION, such as `tcp:10.0.0.7:*=close`"));
  }
  const std::size_t colon = text.find(':');
  pb::ObstacleRule rule;
  const std::size_t kind_end = colon == std::string::npos || colon > equals ? equals : colon;
  ASSIGN_OR_RETURN(const pb::ObstacleKind kind, ParseObstacleKind(text.substr(0, kind_end)));
  rule.set_kind(kind);
  if (kind_end < equals) rule.set_pattern(text.substr(kind_end + 1, equals - kind_end - 1));
  ASSIGN_OR_RETURN(const pb::ObstacleAction action, ParseObstacleAction(text.substr(equals + 1)));
  rule.set_action(action);
  return rule;
}

absl::StatusOr<pb::SecretUse> ParseSecret(const std::string& text) {
  pb::SecretUse use;
  absl::string_view name = text;
  use.set_after_restore_only(absl::ConsumeSuffix(&name, ":after-restore"));
  if (name.empty() || name.find(':') != absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("`", text, "` must be NAME or NAME:after-restore"));
  }
  use.set_name(std::string(name));
  return use;
}

void AddMany(CLI::App* command, const char* name, std::vector<std::string>& target, const char* type,
             const char* description) {
  AddRepeated(command, name, target, type, description)->group("Freezing");
}
void AddOne(CLI::App* command, const char* name, std::string& target, const char* type, const char* description) {
  command->add_option(name, target, description)->type_name(type)->group("Freezing");
}

}  // namespace

void AddFreezeFlags(CLI::App* command, FreezeFlags& flags) {
  AddOne(command, "--engine", flags.engine, "criu|crac", "What freezes it; crac where the operator allows it");
  AddOne(command, "--cpu-baseline", flags.cpu_baseline, "native|x86-64-v2|x86-64-v3|x86-64-v4",
         "The most CPU that its snapshots may rely on");
  AddMany(command, "--restore-time-config", flags.restore_time_config, "KEY",
          "A config key whose value after a restore is the one of now");
  AddMany(command, "--secret", flags.secrets, "NAME[:after-restore]",
          "A secret of the app that it gets; in no snapshot with :after-restore");
  AddMany(command, "--on-obstacle", flags.on_obstacle, "KIND[:PATTERN]=ACTION",
          "What to do with what stands in a dump's way: error, close, reopen or ignore");
  AddMany(command, "--without-cure", flags.without_cures, "CURE",
          "Do without a cure for cloned random numbers: openssl, python-random, …");
  command
      ->add_flag("--accept-uncured", flags.accept_uncured,
                 "Freeze it although a cure that it needs can't be put in place")
      ->group("Freezing");
  command->add_flag("--no-accept-uncured", flags.no_accept_uncured, "Don't (default)")->group("Freezing");
  AddMany(command, "--prime", flags.priming, "FILE",
          "The body of a request sent before it is frozen, with --checkpoint on-deploy");
  AddOne(command, "--prime-content-type", flags.priming_content_type, "TYPE", "The content type of these requests");
  AddOne(command, "--canary", flags.canary, "FILE", "The body of the request that tries a snapshot out");
  AddOne(command, "--canary-content-type", flags.canary_content_type, "TYPE", "The content type of that request");
}

absl::StatusOr<bool> ApplyFreezeFlags(const FreezeFlags& flags, pb::FreezeSettings& settings) {
  bool any = false;
  if (!flags.engine.empty()) {
    const auto engine = ParseEngine(flags.engine);
    RETURN_IF_ERROR(OfFlag("--engine", engine.status()));
    settings.set_engine(*engine);
    any = true;
  }
  if (!flags.cpu_baseline.empty()) {
    const auto baseline = ParseCpuBaseline(flags.cpu_baseline);
    RETURN_IF_ERROR(OfFlag("--cpu-baseline", baseline.status()));
    settings.set_cpu_baseline(*baseline);
    any = true;
  }
  if (!flags.restore_time_config.empty()) {
    settings.clear_restore_time_config();
    for (const std::string& key : Values(flags.restore_time_config)) settings.add_restore_time_config(key);
    any = true;
  }
  if (!flags.secrets.empty()) {
    settings.clear_secrets();
    for (const std::string& text : Values(flags.secrets)) {
      const auto use = ParseSecret(text);
      RETURN_IF_ERROR(OfFlag("--secret", use.status()));
      *settings.add_secrets() = *use;
    }
    any = true;
  }
  if (!flags.on_obstacle.empty()) {
    settings.clear_rules();
    for (const std::string& text : Values(flags.on_obstacle)) {
      const auto rule = ParseRule(text);
      RETURN_IF_ERROR(OfFlag("--on-obstacle", rule.status()));
      *settings.add_rules() = *rule;
    }
    any = true;
  }
  if (!flags.without_cures.empty()) {
    settings.clear_without_cures();
    for (const std::string& text : Values(flags.without_cures)) {
      const auto cure = ParseCure(text);
      RETURN_IF_ERROR(OfFlag("--without-cure", cure.status()));
      settings.add_without_cures(*cure);
    }
    any = true;
  }
  if (flags.accept_uncured || flags.no_accept_uncured) {
    settings.set_accept_uncured(!flags.no_accept_uncured);
    any = true;
  }
  if (!flags.priming.empty()) {
    settings.clear_priming();
    for (const std::string& path : Values(flags.priming)) {
      auto body = ReadBodyFile(path);
      RETURN_IF_ERROR(OfFlag("--prime", body.status()));
      settings.add_priming()->set_body(*std::move(body));
    }
    any = true;
  }
  if (!flags.priming_content_type.empty()) {
    for (auto& request : *settings.mutable_priming()) request.set_content_type(flags.priming_content_type);
    any = true;
  }
  if (!flags.canary.empty()) {
    auto body = ReadBodyFile(flags.canary);
    RETURN_IF_ERROR(OfFlag("--canary", body.status()));
    settings.mutable_canary()->set_body(*std::move(body));
    any = true;
  }
  if (!flags.canary_content_type.empty()) {
    settings.mutable_canary()->set_content_type(flags.canary_content_type);
    any = true;
  }
  if (any) NormaliseFreezeSettings(settings);
  return any;
}

std::vector<std::pair<std::string, std::string>> FreezeRows(const pb::FreezeSettings& settings) {
  std::vector<std::pair<std::string, std::string>> rows;
  if (!settings.engine().empty()) rows.emplace_back("Engine", settings.engine());
  if (!settings.cpu_baseline().empty()) rows.emplace_back("CPU baseline", settings.cpu_baseline());
  if (settings.restore_time_config_size() > 0) {
    rows.emplace_back("Restore-time config", absl::StrJoin(settings.restore_time_config(), ", "));
  }
  for (const auto& secret : settings.secrets()) {
    rows.emplace_back("Secret", absl::StrCat(secret.name(), secret.after_restore_only() ? ", after a restore only" : ""));
  }
  for (const auto& rule : settings.rules()) {
    rows.emplace_back("On obstacle", absl::StrCat(ObstacleKindWord(rule.kind()), rule.pattern().empty() ? "" : " ",
                                                  rule.pattern(), ": ", ObstacleActionWord(rule.action())));
  }
  if (settings.without_cures_size() > 0) {
    rows.emplace_back("Without cures", absl::StrJoin(settings.without_cures(), ", "));
  }
  if (settings.accept_uncured()) rows.emplace_back("Uncured", "accepted");
  if (settings.priming_size() > 0) {
    std::size_t bytes = 0;
    for (const auto& request : settings.priming()) bytes += request.body().size();
    rows.emplace_back("Priming", absl::StrCat(settings.priming_size(), settings.priming_size() == 1 ? " request" : " requests",
                                              ", ", FormatBytes(bytes)));
  }
  if (settings.has_canary()) rows.emplace_back("Canary", absl::StrCat("a request of ", FormatBytes(settings.canary().body().size())));
  return rows;
}

}  // namespace thaw::cli
