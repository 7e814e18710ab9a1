#ifndef THAW_SCHEDULER_PLACEMENT_POLICY_PREFER_WARM_H_
#define THAW_SCHEDULER_PLACEMENT_POLICY_PREFER_WARM_H_

#include "scheduler/placement/policy/policy.h"

namespace thaw::scheduler {

// Nodes with an idle instance of the version first: nothing has to start there.
class PreferWarm final : public PlacementPolicy {
 public:
  PlacementReason reason() const override { return PlacementReason::kPreferWarm; }
  double Score(const PlacementRequest& request, const Candidate& candidate) const override;
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_PLACEMENT_POLICY_PREFER_WARM_H_
