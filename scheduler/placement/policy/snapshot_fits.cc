#include "scheduler/placement/policy/snapshot_fits.h"

namespace thaw::scheduler {

double SnapshotFits::Score(const PlacementRequest&, const Candidate& candidate) const {
  return candidate.unfit_for_snapshot ? 0 : 1;
}

}  // namespace thaw::scheduler
