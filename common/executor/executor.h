#ifndef THAW_COMMON_EXECUTOR_EXECUTOR_H_
#define THAW_COMMON_EXECUTOR_EXECUTOR_H_

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

namespace thaw {

// Runs work somewhere else than on the caller's thread.
class Executor {
 public:
  virtual ~Executor() = default;
  // Queues `work`. RESOURCE_EXHAUSTED when the queue is full, UNAVAILABLE after shutdown; `work` is then
  // dropped without running.
  [[nodiscard]] virtual absl::Status Add(absl::AnyInvocable<void()> work) = 0;
};

// Runs work later.
class Timers {
 public:
  // 0 is no timer.
  using Id = unsigned long;

  virtual ~Timers() = default;
  // Calls `work` once, `delay` from now, on a thread of the timers; it must be short and never block.
  virtual Id RunAfter(absl::Duration delay, absl::AnyInvocable<void()> work) = 0;
  // True when `id` had not run yet and now never will. False also while it is running.
  virtual bool Cancel(Id id) = 0;
};

}  // namespace thaw

#endif  // THAW_COMMON_EXECUTOR_EXECUTOR_H_
