#ifndef THAW_AGENT_CHECKPOINT_FDK_QUESTIONS_H_
#define THAW_AGENT_CHECKPOINT_FDK_QUESTIONS_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/invoke/function_connection.h"
#include "agent/pool/version_state.h"
#include "agent/start/sources.h"
#include "agent/uniqueness/process_randomness.h"
#include "thaw/common/v1/freezing.pb.h"

namespace thaw::agent {

// Whether the function's image has our FDK, which takes part in checkpoints and answers questions. No other function may
// be asked any: an official FDK takes each request for a call. Errors are those of ImageSource::Ensure().
absl::StatusOr<bool> HasFdk(ImageSource& images, const VersionState& version, absl::Time deadline);

// Who opened a function's descriptors, as far as its FDK knows.
struct Openers {
  thaw::common::v1::Diagnosis::Stacks stacks = thaw::common::v1::Diagnosis::STACKS_UNSPECIFIED;
  // Innermost frame first, by descriptor.
  std::map<int, std::vector<std::string>> by_fd;
  // Whose descriptors they are: a child has others by the same numbers. Empty: nobody knows which process has answered.
  std::set<int> pids;

  // Adds to a finding of `diagnosis` the stack of its descriptor, and to that how far stacks are known. Findings without a
  // descriptor stay as they are.
  void Explain(thaw::common::v1::Finding& finding, thaw::common::v1::Diagnosis& diagnosis) const;
};

// The processes that can have answered it.
std::set<int> JavaProcesses(const std::vector<ProcessRandomness>& processes);

// The question for them (docs/design/init-protocol.md), and what the reply to it says.
FunctionRequest OpenersQuestion(absl::Time deadline);
Openers ReadOpeners(const absl::StatusOr<FunctionReply>& reply);

}  // namespace thaw::agent

#endif  // THAW_AGENT_CHECKPOINT_FDK_QUESTIONS_H_
