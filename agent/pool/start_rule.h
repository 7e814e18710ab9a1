#ifndef THAW_AGENT_POOL_START_RULE_H_
#define THAW_AGENT_POOL_START_RULE_H_

#include <cstddef>

#include "absl/time/time.h"

namespace thaw::agent {

// What the rule looks at: one version on this node, now.
struct StartRuleInput {
  std::size_t waiting = 0;
  // Instances that serve, or will again in a moment (idle, busy, being frozen).
  std::size_t serving = 0;
  std::size_t starting = 0;
  std::size_t max_instances = 1;
  // Mean time of a call, as seen so far; zero when none has been answered.
  absl::Duration mean_call;
  // How long the oldest call under way has been running: what the mean does not know yet.
  absl::Duration oldest_running;
  // What a start takes here, as seen so far or assumed.
  absl::Duration expected_start;
};

// Whether one more instance should be started. docs/design/instances.md tells why it is so:
//   - none serves and none starts, and somebody waits: yes;
//   - otherwise only if waiting for those that are there would take longer than a start does: calls in the queue that no
//     start under way will take, each for the mean time, after the oldest call under way, which counts by its age (a
//     call that hangs, or the first one ever, has no mean); all that shared among the instances that serve;
//   - never beyond `max_instances`.
// So short calls queue for a moment instead of each starting a container, and long ones get company.
bool ShouldStartInstance(const StartRuleInput& input);

}  // namespace thaw::agent

#endif  // THAW_AGENT_POOL_START_RULE_H_
