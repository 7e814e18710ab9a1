#ifndef THAW_CLI_OUTPUT_WIRE_H_
#define THAW_CLI_OUTPUT_WIRE_H_

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "thaw/common/v1/catalogue.pb.h"
#include "thaw/gateway/v1/gateway.pb.h"

namespace thaw::cli {

// The cluster's messages as this program says them: words for people and the JSON of --json, whose keys are
// stable and listed in cli/README.md. Times are RFC 3339 UTC, durations numbers with their unit in the key.

absl::Duration DurationOf(const google::protobuf::Duration& duration);
absl::Time TimeOf(const google::protobuf::Timestamp& time);
// Milliseconds, rounded to microseconds.
double MillisNumber(absl::Duration duration);

// `warm`, `restored`, `restored-remote`, `cold`, `unknown`
std::string StartKindWord(gateway::v1::StartKind kind);
// `ready`, `suspect`, `lost`, `draining`, `unknown`
std::string NodeStateWord(common::v1::NodeState state);
// `after 5 calls`, `on-deploy`, `learned`, `manual`, `never`
std::string CheckpointWord(const common::v1::CheckpointPolicy& policy);

// RFC 3339; null for an unset one.
nlohmann::ordered_json TimeJson(const google::protobuf::Timestamp& time);
nlohmann::ordered_json AppJson(const common::v1::App& app);
nlohmann::ordered_json FunctionJson(const common::v1::Function& function);
// The psABI level that the node's CPU reaches, e.g. `x86-64-v3`; empty on other architectures and where it is not known.
std::string CpuLevelWord(const common::v1::Node& node);
nlohmann::ordered_json NodeJson(const common::v1::Node& node);
// `candidate`, `chosen`, `rejected`
std::string SnapshotRoleWord(common::v1::SnapshotExperience::Role role);
nlohmann::ordered_json SnapshotJson(const common::v1::SnapshotInfo& snapshot);
nlohmann::ordered_json PhasesJson(const gateway::v1::Phases& phases);
nlohmann::ordered_json StartJson(const gateway::v1::StartInfo& start);
// {"code","reason","message","next","exit_code"}
nlohmann::ordered_json ErrorJson(const absl::Status& status, const std::string& next_step, int exit_code);
// One object per line, as a log or error line is printed.
std::string Dump(const nlohmann::ordered_json& json);
// For --json: indented, for programs and for the curious alike.
std::string DumpPretty(const nlohmann::ordered_json& json);

}  // namespace thaw::cli

#endif  // THAW_CLI_OUTPUT_WIRE_H_
