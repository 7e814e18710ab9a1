#include "agent/pool/stand_in.h"

namespace thaw::agent {

StandIn DecideStandIn(const StandInInput& input) {
  if (input.others_serving > 0) return StandIn::kNotNeeded;
  if (input.since_asked >= absl::ZeroDuration()) {
    return input.starting && input.since_asked < kStandInLimit ? StandIn::kWait : StandIn::kNotNeeded;
  }
  return input.has_snapshot && input.since_last_call < kSteadyCalls ? StandIn::kStart : StandIn::kNotNeeded;
}

}  // namespace thaw::agent
