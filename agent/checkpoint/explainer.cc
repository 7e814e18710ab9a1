#include "agent/checkpoint/explainer.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "agent/checkpoint/obstacle_rules.h"
#include "agent/uniqueness/cures.h"
#include "common/rpc/client.h"
#include "common/status/reasons.h"

namespace thaw::agent {

using thaw::common::v1::Diagnosis;
using thaw::common::v1::Finding;

absl::StatusOr<std::vector<Diagnosis>> Explainer::Explain(const std::string& version_id) {
  std::vector<Diagnosis> known = deps_.diagnoses.Get(version_id);
  const std::optional<Version> version = deps_.find(version_id);
  if (!version.has_value()) {
    if (!known.empty()) return known;
    return WithReason(absl::NotFoundError(absl::StrCat("version ", version_id, " has never run on node ", options_.node_id)),
                      reason::kFunctionNotFound);
  }
  std::vector<Diagnosis> all;
  for (const std::string& ctl_dir : version->ctl_dirs) {
    if (all.size() >= options_.most_looks) break;
    const absl::StatusOr<std::unique_ptr<SlotInit>> init =
        deps_.connector.Connect(ctl_dir, deps_.clock.Now() + options_.look_limit);
    if (!init.ok()) continue;
    const absl::StatusOr<InitStatus> status = (*init)->GetStatus(options_.look_limit);
    if (!status.ok() || status->state != InitStatus::State::kRunning) continue;
    all.push_back(LookAt(*version, status->instance_id, **init));
  }
  for (Diagnosis& diagnosis : known) all.push_back(std::move(diagnosis));
  return all;
}

Diagnosis Explainer::LookAt(const Version& version, const std::string& instance_id, SlotInit& init) {
  Diagnosis look;
  look.set_node_id(options_.node_id);
  look.set_instance_id(instance_id);
  *look.mutable_at() = ToProto(deps_.clock.Now());
  look.set_occasion("look");
  const absl::Status status = LookAt(version, init, look);
  if (!status.ok()) {
    look.set_error(absl::StrCat("instance ", instance_id, " could not be looked at: ", status.message()));
  }
  return look;
}

absl::Status Explainer::LookAt(const Version& version, SlotInit& init, Diagnosis& look) {
  const auto& settings = version.state.spec().freeze();
  // What one of the three can't tell, the others still do.
  const absl::StatusOr<std::vector<ProcessRandomness>> processes = init.Randomness(options_.look_limit);
  const absl::StatusOr<bool> fdk = HasFdk(deps_.images, version.state, deps_.clock.Now() + options_.look_limit);
  absl::StatusOr<std::vector<Finding>> findings = init.Look(options_.look_limit);
  if (findings.ok()) {
    // A function that has nothing in the way is asked nothing, so that nobody waits for its answer.
    const bool ask = fdk.ok() && *fdk && std::any_of(findings->begin(), findings->end(), [](const Finding& finding) {
                       return finding.fd() >= 0;
                     });
    Openers openers;
    if (ask) openers = AskOpeners(version, look.instance_id());
    if (processes.ok()) openers.pids = JavaProcesses(*processes);
    const ObstacleRules rules(settings);
    for (Finding& finding : *findings) {
      rules.Decide(finding);
      openers.Explain(finding, look);
      *look.add_findings() = std::move(finding);
    }
  }
  if (version.state.spec().engine() == "crac") {
    look.add_uncured(kUncuredByCrac);
  } else if (processes.ok() && fdk.ok()) {
    TellCures(JudgeCures(*processes, settings, *fdk), settings, look);
  }
  absl::Status status = findings.status();
  status.Update(fdk.status());
  status.Update(processes.status());
  return status;
}

Openers Explainer::AskOpeners(const Version& version, const std::string& instance_id) {
  auto done = std::make_shared<absl::Notification>();
  auto reply = std::make_shared<absl::StatusOr<FunctionReply>>(absl::UnknownError("no answer"));
  version.ask(instance_id, OpenersQuestion(deps_.clock.Now() + options_.question_limit),
              [done, reply](absl::StatusOr<FunctionReply> answer) {
                *reply = std::move(answer);
                done->Notify();
              });
  done->WaitForNotification();
  Openers openers = ReadOpeners(*reply);
  if (absl::IsFailedPrecondition(reply->status())) openers.stacks = Diagnosis::STACKS_BUSY;
  return openers;
}

}  // namespace thaw::agent
