#include "agent/pool/start_rule.h"

namespace thaw::agent {

bool ShouldStartInstance(const StartRuleInput& input) {
  if (input.serving + input.starting >= input.max_instances) return false;
  if (input.waiting <= input.starting) return false;
  if (input.serving == 0 && input.starting == 0) return true;
  const auto unserved = static_cast<double>(input.waiting - input.starting);
  if (input.serving == 0) {
    // The first one is on its way. Whether one will do is known when it has answered.
    return input.mean_call > absl::ZeroDuration() && unserved * input.mean_call > input.expected_start;
  }
  return (input.oldest_running + unserved * input.mean_call) / static_cast<double>(input.serving) > input.expected_start;
}

}  // namespace thaw::agent
