#include "common/executor/thread_pool.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace thaw {

namespace {

// Of the calling thread. Linux keeps both per thread. What the host refuses leaves the usual weight, which is not wrong.
void TakeLowestWeight() {
  constexpr int kIoprioWhoProcess = 1;
  constexpr int kIoprioIdleClass = 3 << 13;
  const pid_t self = static_cast<pid_t>(syscall(SYS_gettid));
  setpriority(PRIO_PROCESS, static_cast<id_t>(self), 19);
  syscall(SYS_ioprio_set, kIoprioWhoProcess, self, kIoprioIdleClass);
}

}  // namespace

ThreadPool::ThreadPool(Options options) : options_(std::move(options)) {
  threads_.reserve(options_.threads);
  for (std::size_t i = 0; i < options_.threads; ++i) {
    threads_.emplace_back([this] { Run(); });
    pthread_setname_np(threads_.back().native_handle(), options_.name.substr(0, 15).c_str());
  }
}

ThreadPool::~ThreadPool() { Shutdown(); }

absl::Status ThreadPool::Add(absl::AnyInvocable<void()> work) {
  absl::MutexLock lock(&mu_);
  if (stopping_) return absl::UnavailableError(absl::StrCat(options_.name, " is shutting down"));
  if (queue_.size() >= options_.max_queued) {
    return absl::ResourceExhaustedError(
        absl::StrCat(options_.name, " has ", queue_.size(), " pieces of work queued, its limit; try again later"));
  }
  queue_.push_back(std::move(work));
  return absl::OkStatus();
}

void ThreadPool::Close() {
  // Destroyed after the lock: it may own anything.
  std::deque<absl::AnyInvocable<void()>> dropped;
  absl::MutexLock lock(&mu_);
  stopping_ = true;
  dropped.swap(queue_);
}

void ThreadPool::Shutdown() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void ThreadPool::Run() {
  if (options_.background) TakeLowestWeight();
  while (true) {
    absl::AnyInvocable<void()> work;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(
          +[](ThreadPool* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mu_) {
            return self->stopping_ || !self->queue_.empty();
          },
          this));
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

}  // namespace thaw
