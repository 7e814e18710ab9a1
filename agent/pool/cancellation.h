#ifndef THAW_AGENT_POOL_CANCELLATION_H_
#define THAW_AGENT_POOL_CANCELLATION_H_

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace thaw::agent {

// Whether a call's caller has gone, for who may be told as soon as it has. Shared by both, as either may
// outlive the other. Threads: any.
class Cancellation {
 public:
  // Tells who listens. The second time does nothing.
  void Cancel() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::AnyInvocable<void()> told;
    {
      absl::MutexLock lock(&mu_);
      if (std::exchange(cancelled_, true)) return;
      std::swap(told, hook_);
    }
    if (told) told();
  }

  bool cancelled() const ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return cancelled_;
  }

  // `hook` takes the place of the last one. It is called once at most, on the thread that cancels; before
  // this returns where that has happened. It must not block.
  void OnCancel(absl::AnyInvocable<void()> hook) ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      if (!cancelled_) {
        // The old one is destroyed after the lock: it may own anything.
        std::swap(hook_, hook);
        return;
      }
    }
    hook();
  }

 private:
  mutable absl::Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  absl::AnyInvocable<void()> hook_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_POOL_CANCELLATION_H_
