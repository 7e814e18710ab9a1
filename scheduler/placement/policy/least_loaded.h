#ifndef THAW_SCHEDULER_PLACEMENT_POLICY_LEAST_LOADED_H_
#define THAW_SCHEDULER_PLACEMENT_POLICY_LEAST_LOADED_H_

#include "scheduler/placement/policy/policy.h"

namespace thaw::scheduler {

// The node under the least pressure: calls running, waiting or to be expected (one per lease) for each CPU, plus the
// share of its memory that is taken. Leases count, so that a burst of requests between two heartbeats spreads.
class LeastLoaded final : public PlacementPolicy {
 public:
  PlacementReason reason() const override { return PlacementReason::kLeastLoaded; }
  double Score(const PlacementRequest& request, const Candidate& candidate) const override;
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_PLACEMENT_POLICY_LEAST_LOADED_H_
