#ifndef THAW_GATEWAY_ROUTING_CHOICE_H_
#define THAW_GATEWAY_ROUTING_CHOICE_H_

#include <cstddef>
#include <vector>

#include "absl/time/time.h"

namespace thaw::gateway {

// One lease, as far as the choice goes.
struct LeaseLoad {
  // Calls of this gateway that are on it now.
  int outstanding = 0;
  int concurrency = 1;
  // An instance answered there not long ago.
  bool warm = false;
};

// What this gateway has measured of the function.
struct FunctionCosts {
  // From a call's arrival at a node without an instance to the instance's being there.
  absl::Duration start;
  // One answer of a running instance.
  absl::Duration answer;
};

// The index of the lease on which a call is likely to be answered first; `leases` must not be empty.
//
// Expected wait = (warm ? 0 : costs.start) + calls ahead beyond the concurrency × costs.answer / concurrency. So a
// call queues on a warm node while that is quicker than a start elsewhere, and a burst does not start one
// instance per waiting call. Between equals: fewest outstanding calls per unit of concurrency, then the first.
std::size_t ChooseLease(const std::vector<LeaseLoad>& leases, const FunctionCosts& costs);

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_ROUTING_CHOICE_H_
