#include "scheduler/placement/policy/prefer_warm.h"

namespace thaw::scheduler {

double PreferWarm::Score(const PlacementRequest&, const Candidate& candidate) const {
  return candidate.instances > candidate.busy_instances ? 1 : 0;
}

}  // namespace thaw::scheduler
