#ifndef THAW_AGENT_POOL_STAND_IN_H_
#define THAW_AGENT_POOL_STAND_IN_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace thaw::agent {

// What is looked at before an instance is frozen: one version on this node, now.
struct StandInInput {
  // Whether another instance can be had by a restore.
  bool has_snapshot = false;
  // Instances that serve, the one to be frozen not counted.
  std::size_t others_serving = 0;
  // Since the one to be frozen had its last call.
  absl::Duration since_last_call;
  // Since its freeze was allowed. From then on it gets only calls for which no other is free.
  absl::Duration since_granted;
  // For how long calls have been counted, how many came, and how many of them it got.
  absl::Duration counted_for;
  std::uint64_t calls = 0;
  std::uint64_t helped = 0;
  // Since a stand-in was asked for; negative when none was for this freeze.
  absl::Duration since_asked = absl::Seconds(-1);
  // Whether that one is still on its way.
  bool starting = false;
};

enum class StandIn {
  kNotNeeded,  // freeze now
  kStart,      // start one more instance, then ask again
  kWait,       // for one that is on its way, or not yet as quick as the calls come; ask again
};

// Whether calls should get another instance before this one stands still. A freeze takes longer than a call, so under a steady
// load every call behind it would wait. Where nobody else serves and calls keep coming, one more instance is restored
// first: that costs less than the freeze does. Not started cold: that costs more than it saves.
//
// Others that serve need not be able to serve alone: a JVM restored from an early snapshot runs a hundred times slower until it
// has compiled what the calls need. So the freeze begins when they have taken all calls of the last kAlone but kMostHelp, with
// the one to be frozen helping out until then. Nothing is waited for longer than kStandInLimit.
StandIn DecideStandIn(const StandInInput& input);

inline constexpr absl::Duration kStandInLimit = absl::Seconds(10);
inline constexpr absl::Duration kAlone = absl::Milliseconds(250);
// Calls come in clusters: two at once say nothing yet.
inline constexpr double kMostHelp = 0.05;
// Calls that came longer ago than this are no load.
inline constexpr absl::Duration kSteadyCalls = absl::Seconds(1);

}  // namespace thaw::agent

#endif  // THAW_AGENT_POOL_STAND_IN_H_
