#ifndef THAW_SCHEDULER_PLACEMENT_POLICY_SNAPSHOT_FITS_H_
#define THAW_SCHEDULER_PLACEMENT_POLICY_SNAPSHOT_FITS_H_

#include "scheduler/placement/policy/policy.h"

namespace thaw::scheduler {

// Nodes whose CPU has what the version's snapshot relies on before those that can only start it cold.
class SnapshotFits final : public PlacementPolicy {
 public:
  PlacementReason reason() const override { return PlacementReason::kSnapshotFits; }
  double Score(const PlacementRequest& request, const Candidate& candidate) const override;
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_PLACEMENT_POLICY_SNAPSHOT_FITS_H_
