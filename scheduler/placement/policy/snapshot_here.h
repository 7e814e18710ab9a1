#ifndef THAW_SCHEDULER_PLACEMENT_POLICY_SNAPSHOT_HERE_H_
#define THAW_SCHEDULER_PLACEMENT_POLICY_SNAPSHOT_HERE_H_

#include "scheduler/placement/policy/policy.h"

namespace thaw::scheduler {

// Nodes that hold the version's snapshot before those that would have to fetch it.
class SnapshotHere final : public PlacementPolicy {
 public:
  PlacementReason reason() const override { return PlacementReason::kSnapshotHere; }
  double Score(const PlacementRequest& request, const Candidate& candidate) const override;
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_PLACEMENT_POLICY_SNAPSHOT_HERE_H_
