#ifndef THAW_AGENT_CHECKPOINT_OBSTACLE_RULES_H_
#define THAW_AGENT_CHECKPOINT_OBSTACLE_RULES_H_

#include <vector>

#include "thaw/common/v1/freezing.pb.h"

namespace thaw::agent {

// A function's word on what to do with what stands in a dump's way: the first rule that fits by kind and pattern decides,
// without one it is an error. Pure; threads: any.
class ObstacleRules {
 public:
  explicit ObstacleRules(const thaw::common::v1::FreezeSettings& settings)
      : rules_(settings.rules().begin(), settings.rules().end()) {}

  // Sets `action` and `blocks`. An action that can't be carried out (a mapping can't be closed from outside, a socket
  // can't be opened again) blocks too, and the remedy says so.
  void Decide(thaw::common::v1::Finding& finding) const;

  // Whether the pattern fits: over all of `what`, or its peer, or its path without what stands behind it.
  static bool Fits(const thaw::common::v1::ObstacleRule& rule, const thaw::common::v1::Finding& finding);

 private:
  const std::vector<thaw::common::v1::ObstacleRule> rules_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_CHECKPOINT_OBSTACLE_RULES_H_
