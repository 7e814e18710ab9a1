#include "agent/instance/diagnosis.h"

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace thaw::agent {
namespace {

namespace v1 = thaw::common::v1;

constexpr char kPayload[] = "thaw.common.v1.Diagnosis";
constexpr absl::string_view kPrefix = "OBSTACLE_KIND_";

}  // namespace

void AttachDiagnosis(const v1::Diagnosis& diagnosis, absl::Status& status) {
  status.SetPayload(kPayload, absl::Cord(diagnosis.SerializeAsString()));
}

std::optional<v1::Diagnosis> DiagnosisOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  v1::Diagnosis diagnosis;
  if (!payload.has_value() || !diagnosis.ParseFromString(std::string(*payload))) return std::nullopt;
  return diagnosis;
}

v1::ObstacleKind ObstacleKindFromName(absl::string_view name) {
  v1::ObstacleKind kind;
  if (v1::ObstacleKind_Parse(absl::StrCat(kPrefix, absl::AsciiStrToUpper(name)), &kind)) return kind;
  return v1::OBSTACLE_KIND_OTHER;
}

std::string ObstacleKindName(v1::ObstacleKind kind) {
  const std::string name = v1::ObstacleKind_Name(kind);
  if (name.size() <= kPrefix.size()) return "other";  // a newer peer's
  return absl::AsciiStrToLower(absl::string_view(name).substr(kPrefix.size()));
}

std::string ObstacleActionName(v1::ObstacleAction action) {
  constexpr absl::string_view kActionPrefix = "OBSTACLE_ACTION_";
  const std::string name = v1::ObstacleAction_Name(action);
  if (name.size() <= kActionPrefix.size()) return "error";
  return absl::AsciiStrToLower(absl::string_view(name).substr(kActionPrefix.size()));
}

std::string Describe(const v1::Finding& finding) {
  std::string text = absl::StrCat(ObstacleKindName(finding.kind()), " ", finding.what());
  if (finding.fd() >= 0 && finding.pid() > 0) absl::StrAppend(&text, " (descriptor ", finding.fd(), ")");
  return text;
}

}  // namespace thaw::agent
