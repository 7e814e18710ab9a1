#include "agent/checkpoint/fdk_questions.h"

#include "agent/checkpoint/refusal.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

using thaw::common::v1::Diagnosis;

constexpr char kFdkLabel[] = "io.thaw.fdk";
constexpr int kNotFound = 404;

}  // namespace

absl::StatusOr<bool> HasFdk(ImageSource& images, const VersionState& version, absl::Time deadline) {
  ASSIGN_OR_RETURN(const ImageInfo image, images.Ensure(version, deadline));
  return image.labels.contains(kFdkLabel);
}

void Openers::Explain(thaw::common::v1::Finding& finding, Diagnosis& diagnosis) const {
  if (finding.fd() < 0) return;
  diagnosis.set_stacks(stacks);
  if (!pids.empty() && !pids.contains(finding.pid())) return;
  const auto opener = by_fd.find(finding.fd());
  if (opener != by_fd.end()) finding.mutable_opened_by()->Add(opener->second.begin(), opener->second.end());
}

std::set<int> JavaProcesses(const std::vector<ProcessRandomness>& processes) {
  std::set<int> pids;
  for (const ProcessRandomness& process : processes) {
    if (process.has_java) pids.insert(process.pid);
  }
  return pids;
}

FunctionRequest OpenersQuestion(absl::Time deadline) {
  FunctionRequest question;
  question.method = "GET";
  question.target = "/thaw/descriptors";
  question.headers = {{"Host", "localhost"}};
  question.deadline = deadline;
  return question;
}

Openers ReadOpeners(const absl::StatusOr<FunctionReply>& reply) {
  Openers openers;
  openers.stacks = Diagnosis::STACKS_UNANSWERED;
  if (!reply.ok()) return openers;
  // An FDK without the agent that remembers them.
  if (reply->status == kNotFound) openers.stacks = Diagnosis::STACKS_OFF;
  if (reply->status == 200) {
    openers.stacks = Diagnosis::STACKS_KNOWN;
    openers.by_fd = OpeningStacks(reply->body);
  }
  return openers;
}

}  // namespace thaw::agent
