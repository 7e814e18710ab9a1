#include "agent/pool/stand_in.h"

namespace thaw::agent {

StandIn DecideStandIn(const StandInInput& input) {
  if (input.since_last_call >= kSteadyCalls || input.since_granted >= kStandInLimit) return StandIn::kNotNeeded;
  if (input.others_serving > 0) {
    const bool little_help = input.counted_for >= kAlone &&
                             static_cast<double>(input.helped) <= kMostHelp * static_cast<double>(input.calls);
    return input.since_last_call >= kAlone || little_help ? StandIn::kNotNeeded : StandIn::kWait;
  }
  if (input.since_asked >= absl::ZeroDuration()) return input.starting ? StandIn::kWait : StandIn::kNotNeeded;
  return input.has_snapshot ? StandIn::kStart : StandIn::kNotNeeded;
}

}  // namespace thaw::agent
