#ifndef THAW_AGENT_INSTANCE_DIAGNOSIS_H_
#define THAW_AGENT_INSTANCE_DIAGNOSIS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "thaw/common/v1/freezing.pb.h"

namespace thaw::agent {

// What an error of thaw-init carries beside its words: findings and the end of CRIU's log. Only within the agent: it is
// dropped where the error becomes one of an RPC.
void AttachDiagnosis(const thaw::common::v1::Diagnosis& diagnosis, absl::Status& status);
std::optional<thaw::common::v1::Diagnosis> DiagnosisOf(const absl::Status& status);

// init's name of a kind (`deleted_file`); OTHER for one that this agent does not know.
thaw::common::v1::ObstacleKind ObstacleKindFromName(absl::string_view name);
// The reverse.
std::string ObstacleKindName(thaw::common::v1::ObstacleKind kind);

std::string ObstacleActionName(thaw::common::v1::ObstacleAction action);

// One line for an error: `tcp 10.0.0.2:41022 -> 10.0.0.7:5432 (descriptor 5)`.
std::string Describe(const thaw::common::v1::Finding& finding);

}  // namespace thaw::agent

#endif  // THAW_AGENT_INSTANCE_DIAGNOSIS_H_
