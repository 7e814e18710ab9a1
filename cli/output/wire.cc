#include "cli/output/wire.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/freezing/words.h"
#include "cli/output/format.h"
#include "common/cpu/features.h"
#include "common/status/reasons.h"

namespace thaw::cli {
namespace {

using nlohmann::ordered_json;
namespace commonpb = ::thaw::common::v1;
namespace gatewaypb = ::thaw::gateway::v1;

// Sorted, so that two outputs can be compared.
ordered_json MapJson(const google::protobuf::Map<std::string, std::string>& map) {
  const std::map<std::string, std::string> sorted(map.begin(), map.end());
  ordered_json json = ordered_json::object();
  for (const auto& [key, value] : sorted) json[key] = value;
  return json;
}

// Annotation values are JSON texts; one that is not is shown as the text it is.
ordered_json AnnotationsJson(const google::protobuf::Map<std::string, std::string>& map) {
  ordered_json json = MapJson(map);
  for (auto& value : json) {
    ordered_json parsed = ordered_json::parse(value.get<std::string>(), nullptr, false);
    if (!parsed.is_discarded()) value = std::move(parsed);
  }
  return json;
}

ordered_json ExperienceJson(const commonpb::SnapshotExperience& experience) {
  return {{"role", SnapshotRoleWord(experience.role())},
          {"restores", experience.restores()},
          {"calls", experience.calls()},
          {"mean_call_ms", experience.calls() == 0 ? ordered_json(nullptr)
                                                   : ordered_json(MillisNumber(DurationOf(experience.mean_call())))},
          {"belief", experience.belief()}};
}

// Of requests only their sizes: what they hold may be large, and people's own.
ordered_json FreezeJson(const commonpb::FreezeSettings& freeze) {
  ordered_json secrets = ordered_json::array();
  for (const auto& secret : freeze.secrets()) {
    secrets.push_back({{"name", secret.name()}, {"after_restore", secret.after_restore_only()}});
  }
  ordered_json rules = ordered_json::array();
  for (const auto& rule : freeze.rules()) {
    rules.push_back({{"kind", ObstacleKindWord(rule.kind())},
                     {"pattern", rule.pattern()},
                     {"action", ObstacleActionWord(rule.action())}});
  }
  ordered_json priming = ordered_json::array();
  for (const auto& request : freeze.priming()) {
    priming.push_back({{"content_type", request.content_type()}, {"body_bytes", request.body().size()}});
  }
  const auto texts = [](const auto& list) { return std::vector<std::string>(list.begin(), list.end()); };
  return {{"engine", freeze.engine().empty() ? "criu" : freeze.engine()},
          {"cpu_baseline", freeze.cpu_baseline().empty() ? "native" : freeze.cpu_baseline()},
          {"restore_time_config", texts(freeze.restore_time_config())},
          {"secrets", std::move(secrets)},
          {"on_obstacle", std::move(rules)},
          {"without_cures", texts(freeze.without_cures())},
          {"accept_uncured", freeze.accept_uncured()},
          {"priming", std::move(priming)},
          {"canary_bytes", freeze.has_canary() ? ordered_json(freeze.canary().body().size()) : ordered_json(nullptr)}};
}

}  // namespace

absl::Duration DurationOf(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

ordered_json TimeJson(const google::protobuf::Timestamp& time) {
  const std::string text = FormatTimestamp(TimeOf(time));
  return text.empty() ? ordered_json(nullptr) : ordered_json(text);
}

double MillisNumber(absl::Duration duration) {
  return std::round(absl::ToDoubleMicroseconds(duration)) / 1000.0;
}

std::string StartKindWord(gatewaypb::StartKind kind) {
  switch (kind) {
    case gatewaypb::START_KIND_WARM:
      return "warm";
    case gatewaypb::START_KIND_RESTORED:
      return "restored";
    case gatewaypb::START_KIND_RESTORED_REMOTE:
      return "restored-remote";
    case gatewaypb::START_KIND_COLD:
      return "cold";
    default:
      return "unknown";
  }
}

std::string NodeStateWord(commonpb::NodeState state) {
  switch (state) {
    case commonpb::NODE_STATE_READY:
      return "ready";
    case commonpb::NODE_STATE_SUSPECT:
      return "suspect";
    case commonpb::NODE_STATE_LOST:
      return "lost";
    case commonpb::NODE_STATE_DRAINING:
      return "draining";
    default:
      return "unknown";
  }
}

std::string CheckpointWord(const commonpb::CheckpointPolicy& policy) {
  switch (policy.mode()) {
    case commonpb::CheckpointPolicy::MODE_NEVER:
      return "never";
    case commonpb::CheckpointPolicy::MODE_ON_DEPLOY:
      return "on-deploy";
    case commonpb::CheckpointPolicy::MODE_LEARNED:
      return "learned";
    case commonpb::CheckpointPolicy::MODE_MANUAL:
      return "manual";
    default:
      break;
  }
  const unsigned after = policy.after_invocations() == 0 ? 5 : policy.after_invocations();
  return absl::StrCat("after ", after, after == 1 ? " call" : " calls");
}

ordered_json AppJson(const commonpb::App& app) {
  return {{"id", app.id()},
          {"name", app.name()},
          {"config", MapJson(app.config())},
          {"annotations", AnnotationsJson(app.annotations())},
          {"created_at", TimeJson(app.created_at())},
          {"updated_at", TimeJson(app.updated_at())}};
}

ordered_json FunctionJson(const commonpb::Function& function) {
  const auto mode = function.checkpoint().mode();
  const bool counts = mode == commonpb::CheckpointPolicy::MODE_UNSPECIFIED ||
                      mode == commonpb::CheckpointPolicy::MODE_AFTER_INVOCATIONS;
  const unsigned after = function.checkpoint().after_invocations();
  return {{"id", function.id()},
          {"name", function.name()},
          {"app_id", function.app_id()},
          {"app", function.app_name()},
          {"image", function.image()},
          {"image_id", function.image_id()},
          {"version", function.version_id()},
          {"memory_mib", function.memory_mib()},
          {"cpu_millis", function.cpu_millis()},
          {"timeout_s", absl::ToDoubleSeconds(DurationOf(function.timeout()))},
          {"idle_timeout_s", absl::ToDoubleSeconds(DurationOf(function.idle_timeout()))},
          {"checkpoint", counts ? "after" : CheckpointWord(function.checkpoint())},
          {"checkpoint_after", counts ? ordered_json(after == 0 ? 5u : after) : ordered_json(nullptr)},
          {"freeze", FreezeJson(function.freeze())},
          {"config", MapJson(function.config())},
          {"annotations", AnnotationsJson(function.annotations())},
          {"created_at", TimeJson(function.created_at())},
          {"updated_at", TimeJson(function.updated_at())}};
}

std::string CpuLevelWord(const commonpb::Node& node) {
  if (node.architecture() != "x86_64" || node.cpu_features_size() == 0) return "";
  return std::string(CpuLevelName(LevelOf({node.cpu_features().begin(), node.cpu_features().end()})));
}

ordered_json NodeJson(const commonpb::Node& node) {
  return {{"id", node.id()},
          {"address", node.address()},
          {"state", NodeStateWord(node.state())},
          {"reason", node.reason()},
          {"last_heartbeat", TimeJson(node.last_heartbeat())},
          {"memory_total_bytes", node.memory_total_bytes()},
          {"memory_reserved_bytes", node.memory_reserved_bytes()},
          {"cpus", node.cpus()},
          {"instances", node.instances()},
          {"busy_instances", node.busy_instances()},
          {"slots", node.slots()},
          {"snapshots", node.snapshots()},
          {"container_profile", node.container_profile()},
          {"profile_note", node.profile_note()},
          {"agent_version", node.agent_version()},
          {"architecture", node.architecture()},
          {"cpu_model", node.cpu_model()},
          {"cpu_level", CpuLevelWord(node)},
          {"cpu_features", std::vector<std::string>(node.cpu_features().begin(), node.cpu_features().end())},
          {"kernel", node.kernel()}};
}

std::string SnapshotRoleWord(commonpb::SnapshotExperience::Role role) {
  switch (role) {
    case commonpb::SnapshotExperience::ROLE_CANDIDATE:
      return "candidate";
    case commonpb::SnapshotExperience::ROLE_REJECTED:
      return "rejected";
    default:
      return "chosen";
  }
}

ordered_json SnapshotJson(const commonpb::SnapshotInfo& snapshot) {
  return {{"id", snapshot.id()},
          {"app", snapshot.app_name()},
          {"function", snapshot.function_name()},
          {"function_id", snapshot.function_id()},
          {"version", snapshot.version_id()},
          {"node", snapshot.node_id()},
          {"holders", std::vector<std::string>(snapshot.holders().begin(), snapshot.holders().end())},
          {"raw_bytes", snapshot.raw_bytes()},
          {"stored_bytes", snapshot.stored_bytes()},
          {"checkpoint_ms", MillisNumber(DurationOf(snapshot.checkpoint_duration()))},
          {"invocations", snapshot.invocations()},
          {"engine", snapshot.engine()},
          {"architecture", snapshot.architecture()},
          {"cpu_features", std::vector<std::string>(snapshot.cpu_features().begin(), snapshot.cpu_features().end())},
          {"created_at", TimeJson(snapshot.created_at())},
          {"experience", snapshot.has_experience() ? ExperienceJson(snapshot.experience()) : ordered_json(nullptr)}};
}

ordered_json PhasesJson(const gatewaypb::Phases& phases) {
  return {{"queue", MillisNumber(DurationOf(phases.queue()))},
          {"container", MillisNumber(DurationOf(phases.container()))},
          {"fetch", MillisNumber(DurationOf(phases.fetch()))},
          {"restore", MillisNumber(DurationOf(phases.restore()))},
          {"function", MillisNumber(DurationOf(phases.function()))}};
}

ordered_json StartJson(const gatewaypb::StartInfo& start) {
  return {{"start", StartKindWord(start.kind())},
          {"node", start.node_id()},
          {"instance", start.instance_id()},
          {"fallback_reason", start.fallback_reason()},
          {"total_ms", MillisNumber(DurationOf(start.total()))},
          {"phases_ms", PhasesJson(start.phases())}};
}

ordered_json ErrorJson(const absl::Status& status, const std::string& next_step, int exit_code) {
  ordered_json error = {{"code", absl::StatusCodeToString(status.code())},
                        {"reason", ReasonOf(status)},
                        {"message", std::string(status.message())},
                        {"next", next_step},
                        {"exit_code", exit_code}};
  if (const auto delay = RetryAfterOf(status); delay.has_value()) {
    error["retry_after_ms"] = MillisNumber(*delay);
  }
  ordered_json json;
  json["error"] = std::move(error);
  return json;
}

std::string Dump(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string DumpPretty(const ordered_json& json) {
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace thaw::cli
