#ifndef THAW_COMMON_CLOCK_CLOCK_H_
#define THAW_COMMON_CLOCK_CLOCK_H_

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace thaw {

// Where time comes from, so that a test can turn it. Threads: any.
class Clock {
 public:
  virtual ~Clock() = default;
  // Wall time, UTC. For durations within a process, too: these services tolerate a clock step as they
  // tolerate a slow machine.
  virtual absl::Time Now() const = 0;
};

class RealClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::Now(); }
};

}  // namespace thaw

#endif  // THAW_COMMON_CLOCK_CLOCK_H_
