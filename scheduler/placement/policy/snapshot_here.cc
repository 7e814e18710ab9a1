#include "scheduler/placement/policy/snapshot_here.h"

namespace thaw::scheduler {

double SnapshotHere::Score(const PlacementRequest&, const Candidate& candidate) const {
  return candidate.holds_snapshot ? 1 : 0;
}

}  // namespace thaw::scheduler
