#include "scheduler/placement/policy/least_loaded.h"

#include <algorithm>

namespace thaw::scheduler {

double LeastLoaded::Score(const PlacementRequest&, const Candidate& candidate) const {
  // A lease whose calls are running would count twice.
  const double calls = std::max<double>(candidate.all_busy_instances + candidate.all_waiting_calls, candidate.leases);
  const double cpus = std::max<double>(candidate.cpus, 1);
  const double memory = candidate.memory_total_bytes == 0
                            ? 0
                            : static_cast<double>(candidate.memory_reserved_bytes + candidate.memory_promised_bytes) /
                                  static_cast<double>(candidate.memory_total_bytes);
  return -(calls / cpus + memory);
}

}  // namespace thaw::scheduler
