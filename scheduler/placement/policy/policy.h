#ifndef THAW_SCHEDULER_PLACEMENT_POLICY_POLICY_H_
#define THAW_SCHEDULER_PLACEMENT_POLICY_POLICY_H_

#include "scheduler/metrics.h"
#include "scheduler/placement/candidate.h"

namespace thaw::scheduler {

// One opinion on where calls should go. Stateless; threads: any.
class PlacementPolicy {
 public:
  virtual ~PlacementPolicy() = default;
  // Its name in the metrics.
  virtual PlacementReason reason() const = 0;
  // The higher, the better; equal scores leave the choice to the next policy. `candidate` is ready and has room.
  virtual double Score(const PlacementRequest& request, const Candidate& candidate) const = 0;
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_PLACEMENT_POLICY_POLICY_H_
