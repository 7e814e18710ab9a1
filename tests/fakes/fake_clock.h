#ifndef THAW_TESTS_FAKES_FAKE_CLOCK_H_
#define THAW_TESTS_FAKES_FAKE_CLOCK_H_

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/executor/executor.h"

namespace thaw::testing {

// Time that moves only when a test says so, and the timers that hang on it. Threads: any; due work runs
// on the thread that calls Advance().
class FakeClock final : public Clock, public Timers {
 public:
  absl::Time Now() const override {
    absl::MutexLock lock(&mu_);
    return now_;
  }

  Id RunAfter(absl::Duration delay, absl::AnyInvocable<void()> work) override {
    absl::MutexLock lock(&mu_);
    const Id id = next_id_++;
    due_.emplace(std::pair(now_ + delay, id), std::move(work));
    return id;
  }

  bool Cancel(Id id) override {
    absl::MutexLock lock(&mu_);
    for (auto it = due_.begin(); it != due_.end(); ++it) {
      if (it->first.second != id) continue;
      due_.erase(it);
      return true;
    }
    return false;
  }

  // Moves time on, running what becomes due in order, each at its own time.
  void Advance(absl::Duration step) {
    const absl::Time end = Now() + step;
    while (true) {
      absl::AnyInvocable<void()> work;
      {
        absl::MutexLock lock(&mu_);
        if (due_.empty() || due_.begin()->first.first > end) {
          now_ = end;
          return;
        }
        now_ = std::max(now_, due_.begin()->first.first);
        work = std::move(due_.begin()->second);
        due_.erase(due_.begin());
      }
      work();
    }
  }

  // Moves time on without running anything on the way: a suspended process, or a clock that was set. What is due runs
  // late, in the next Advance().
  void Jump(absl::Duration step) {
    absl::MutexLock lock(&mu_);
    now_ += step;
  }

  std::size_t pending_timers() const {
    absl::MutexLock lock(&mu_);
    return due_.size();
  }

 private:
  mutable absl::Mutex mu_;
  absl::Time now_ ABSL_GUARDED_BY(mu_) = absl::FromUnixSeconds(1'790'000'000);
  std::map<std::pair<absl::Time, Id>, absl::AnyInvocable<void()>> due_ ABSL_GUARDED_BY(mu_);
  Id next_id_ ABSL_GUARDED_BY(mu_) = 1;
};

// Runs work when the test says so (RunAll), or at once where made with `inline_mode`.
class FakeExecutor final : public Executor {
 public:
  explicit FakeExecutor(bool inline_mode = true) : inline_(inline_mode) {}

  absl::Status Add(absl::AnyInvocable<void()> work) override {
    if (inline_) {
      work();
      return absl::OkStatus();
    }
    absl::MutexLock lock(&mu_);
    queue_.push_back(std::move(work));
    return absl::OkStatus();
  }

  // Runs queued work, and what that queues, until none is left; returns how many ran.
  int RunAll() {
    int ran = 0;
    while (true) {
      std::vector<absl::AnyInvocable<void()>> batch;
      {
        absl::MutexLock lock(&mu_);
        batch.swap(queue_);
      }
      if (batch.empty()) return ran;
      for (auto& work : batch) {
        work();
        ++ran;
      }
    }
  }

 private:
  const bool inline_;
  absl::Mutex mu_;
  std::vector<absl::AnyInvocable<void()>> queue_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_FAKES_FAKE_CLOCK_H_
