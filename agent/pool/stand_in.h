#ifndef THAW_AGENT_POOL_STAND_IN_H_
#define THAW_AGENT_POOL_STAND_IN_H_

#include <cstddef>

#include "absl/time/time.h"

namespace thaw::agent {

// What is looked at before an instance is frozen: one version on this node, now.
struct StandInInput {
  // Whether another instance can be had by a restore.
  bool has_snapshot = false;
  // Instances that serve, the one to be frozen not counted.
  std::size_t others_serving = 0;
  // Since a call last came to the one to be frozen.
  absl::Duration since_last_call;
  // Since a stand-in was asked for; negative when none was for this freeze.
  absl::Duration since_asked = absl::Seconds(-1);
  // Whether that one is still on its way.
  bool starting = false;
};

enum class StandIn {
  kNotNeeded,  // freeze now
  kStart,      // start one more instance, and freeze when it serves
  kWait,       // it is on its way
};

// Whether calls should get another instance before this one stands still. A freeze takes longer than a call, so under a steady
// load every call behind it would wait. Where nobody else serves and calls keep coming, one more instance is restored
// first: that costs less than the freeze does. Not started cold: that costs more than it saves. And not waited for longer than
// kStandInLimit.
StandIn DecideStandIn(const StandInInput& input);

inline constexpr absl::Duration kStandInLimit = absl::Seconds(10);
// Calls that came longer ago than this are no load.
inline constexpr absl::Duration kSteadyCalls = absl::Seconds(1);

}  // namespace thaw::agent

#endif  // THAW_AGENT_POOL_STAND_IN_H_
