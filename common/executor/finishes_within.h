#ifndef THAW_COMMON_EXECUTOR_FINISHES_WITHIN_H_
#define THAW_COMMON_EXECUTOR_FINISHES_WITHIN_H_

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"

namespace thaw {

// Runs `work` on a thread of its own and waits for its end, but for `limit` at most. False when it still
// runs: it goes on then, and all that it uses must stand until the process ends. For a process's last steps,
// one of which may hang.
[[nodiscard]] bool FinishesWithin(absl::Duration limit, absl::AnyInvocable<void()> work);

}  // namespace thaw

#endif  // THAW_COMMON_EXECUTOR_FINISHES_WITHIN_H_
