#ifndef THAW_COMMON_EXECUTOR_TIMER_THREAD_H_
#define THAW_COMMON_EXECUTOR_TIMER_THREAD_H_

#include <map>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "common/executor/executor.h"

namespace thaw {

// Timers on one thread of their own. Threads: any.
class TimerThread final : public Timers {
 public:
  TimerThread();
  // As Stop().
  ~TimerThread() override;
  TimerThread(const TimerThread&) = delete;
  TimerThread& operator=(const TimerThread&) = delete;

  Id RunAfter(absl::Duration delay, absl::AnyInvocable<void()> work) override ABSL_LOCKS_EXCLUDED(mu_);
  bool Cancel(Id id) override ABSL_LOCKS_EXCLUDED(mu_);

  // Drops what is waiting, and whatever comes later; returns when nothing is running. Not from work of the timers.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Key = std::pair<absl::Time, Id>;

  void Run() ABSL_LOCKS_EXCLUDED(mu_);

  absl::Mutex mu_;
  absl::CondVar changed_;
  std::map<Key, absl::AnyInvocable<void()>> due_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<Id, absl::Time> times_ ABSL_GUARDED_BY(mu_);
  Id next_id_ ABSL_GUARDED_BY(mu_) = 1;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace thaw

#endif  // THAW_COMMON_EXECUTOR_TIMER_THREAD_H_
