#ifndef THAW_COMMON_EXECUTOR_THREAD_POOL_H_
#define THAW_COMMON_EXECUTOR_THREAD_POOL_H_

#include <cstddef>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/executor/executor.h"

namespace thaw {

// A fixed number of threads over one bounded queue. Threads: any.
class ThreadPool final : public Executor {
 public:
  struct Options {
    std::string name = "pool";
    std::size_t threads = 4;
    std::size_t max_queued = 10000;
    // Its threads run at the lowest CPU and I/O weight (nice 19, idle I/O class): for work that nobody waits for. They may
    // be held up for long on a busy host, so they must share no lock with work that somebody does wait for, but for moments.
    bool background = false;
  };

  explicit ThreadPool(Options options);
  // As Shutdown().
  ~ThreadPool() override;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  absl::Status Add(absl::AnyInvocable<void()> work) override ABSL_LOCKS_EXCLUDED(mu_);

  // Refuses new work, and drops what is queued: it is destroyed without running, on this thread, so whoever
  // waits for it must learn that from its destruction or not be there any more. What runs goes on. Does not
  // wait.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

  // Refuses new work, runs what is queued, and joins the threads. Not from a thread of the pool.
  void Shutdown() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);

  const Options options_;
  absl::Mutex mu_;
  std::deque<absl::AnyInvocable<void()>> queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace thaw

#endif  // THAW_COMMON_EXECUTOR_THREAD_POOL_H_
