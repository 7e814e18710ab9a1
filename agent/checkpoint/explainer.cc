#include "agent/checkpoint/explainer.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/checkpoint/obstacle_rules.h"
#include "common/rpc/client.h"
#include "common/status/reasons.h"

namespace thaw::agent {

absl::StatusOr<std::vector<thaw::common::v1::Diagnosis>> Explainer::Explain(const std::string& version_id) {
  std::vector<thaw::common::v1::Diagnosis> known = deps_.diagnoses.Get(version_id);
  const std::optional<Version> version = deps_.find(version_id);
  if (!version.has_value()) {
    if (!known.empty()) return known;
    return WithReason(absl::NotFoundError(absl::StrCat("version ", version_id, " has never run on node ", options_.node_id)),
                      reason::kFunctionNotFound);
  }
  const ObstacleRules rules(version->freeze);
  std::vector<thaw::common::v1::Diagnosis> all;
  for (const std::string& ctl_dir : version->ctl_dirs) {
    if (all.size() >= options_.most_looks) break;
    const absl::StatusOr<std::unique_ptr<SlotInit>> init =
        deps_.connector.Connect(ctl_dir, deps_.clock.Now() + options_.look_limit);
    if (!init.ok()) continue;
    const absl::StatusOr<InitStatus> status = (*init)->GetStatus(options_.look_limit);
    if (!status.ok() || status->state != InitStatus::State::kRunning) continue;
    const absl::StatusOr<std::vector<thaw::common::v1::Finding>> findings = (*init)->Look(options_.look_limit);
    thaw::common::v1::Diagnosis look;
    look.set_node_id(options_.node_id);
    look.set_instance_id(status->instance_id);
    *look.mutable_at() = ToProto(deps_.clock.Now());
    look.set_occasion("look");
    if (findings.ok()) {
      for (thaw::common::v1::Finding finding : *findings) {
        rules.Decide(finding);
        *look.add_findings() = std::move(finding);
      }
    } else {
      look.set_error(absl::StrCat("instance ", status->instance_id, " could not be looked at: ", findings.status().message()));
    }
    all.push_back(std::move(look));
  }
  for (thaw::common::v1::Diagnosis& diagnosis : known) all.push_back(std::move(diagnosis));
  return all;
}

}  // namespace thaw::agent
