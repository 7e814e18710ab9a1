#include "common/executor/timer_thread.h"

#include <pthread.h>

#include "absl/time/clock.h"

namespace thaw {

TimerThread::TimerThread() : thread_([this] { Run(); }) { pthread_setname_np(thread_.native_handle(), "timers"); }

TimerThread::~TimerThread() { Stop(); }

void TimerThread::Stop() {
  // Destroyed after the lock: it may own anything.
  std::map<Key, absl::AnyInvocable<void()>> dropped;
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    due_.swap(dropped);
    times_.clear();
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

Timers::Id TimerThread::RunAfter(absl::Duration delay, absl::AnyInvocable<void()> work) {
  absl::MutexLock lock(&mu_);
  if (stopping_) return 0;
  const Id id = next_id_++;
  const absl::Time when = absl::Now() + delay;
  due_.emplace(Key(when, id), std::move(work));
  times_.emplace(id, when);
  changed_.Signal();
  return id;
}

bool TimerThread::Cancel(Id id) {
  absl::AnyInvocable<void()> dropped;  // Destroyed after the lock: it may own anything.
  absl::MutexLock lock(&mu_);
  const auto it = times_.find(id);
  if (it == times_.end()) return false;
  const auto due = due_.find(Key(it->second, id));
  dropped = std::move(due->second);
  due_.erase(due);
  times_.erase(it);
  return true;
}

void TimerThread::Run() {
  mu_.Lock();
  while (!stopping_) {
    if (due_.empty()) {
      changed_.Wait(&mu_);
      continue;
    }
    const auto first = due_.begin();
    if (first->first.first > absl::Now()) {
      changed_.WaitWithDeadline(&mu_, first->first.first);
      continue;
    }
    absl::AnyInvocable<void()> work = std::move(first->second);
    times_.erase(first->first.second);
    due_.erase(first);
    mu_.Unlock();
    work();
    work = nullptr;
    mu_.Lock();
  }
  mu_.Unlock();
}

}  // namespace thaw
