#include "gateway/routing/choice.h"

#include <algorithm>

namespace thaw::gateway {

std::size_t ChooseLease(const std::vector<LeaseLoad>& leases, const FunctionCosts& costs) {
  std::size_t best = 0;
  absl::Duration best_wait = absl::InfiniteDuration();
  double best_share = 0;
  for (std::size_t i = 0; i < leases.size(); ++i) {
    const LeaseLoad& lease = leases[i];
    const int concurrency = std::max(lease.concurrency, 1);
    const int ahead = std::max(0, lease.outstanding + 1 - concurrency);
    const absl::Duration wait =
        (lease.warm ? absl::ZeroDuration() : costs.start) + costs.answer * ahead / concurrency;
    const double share = static_cast<double>(lease.outstanding) / concurrency;
    if (wait < best_wait || (wait == best_wait && share < best_share)) {
      best = i;
      best_wait = wait;
      best_share = share;
    }
  }
  return best;
}

}  // namespace thaw::gateway
