#include "agent/snapshot/parallel.h"

#include <algorithm>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace thaw::agent {
namespace {

struct Batch {
  Batch(std::size_t n, absl::FunctionRef<absl::Status(std::size_t)> f) : count(n), piece(f) {}

  void Run() {
    while (true) {
      std::size_t mine;
      {
        absl::MutexLock lock(&mu);
        // A helper that comes after the caller has left ends here, before it could touch `piece`.
        if (next >= count) return;
        mine = next++;
        ++running;
      }
      absl::Status status = piece(mine);
      absl::MutexLock lock(&mu);
      --running;
      if (!status.ok()) {
        if (result.ok()) result = std::move(status);
        next = count;
      }
    }
  }

  bool Ended() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { return next >= count && running == 0; }

  const std::size_t count;
  const absl::FunctionRef<absl::Status(std::size_t)> piece;
  absl::Mutex mu;
  std::size_t next ABSL_GUARDED_BY(mu) = 0;
  std::size_t running ABSL_GUARDED_BY(mu) = 0;
  absl::Status result ABSL_GUARDED_BY(mu);
};

}  // namespace

ParallelWork::ParallelWork(std::size_t threads)
    : threads_(threads), pool_({.name = "snapshot-store", .threads = threads, .max_queued = 1000}) {}

absl::Status ParallelWork::ForEach(std::size_t count, absl::FunctionRef<absl::Status(std::size_t)> piece) {
  const auto batch = std::make_shared<Batch>(count, piece);
  // One thread fewer than there are, as the caller's works too.
  const std::size_t helpers = std::min(threads_, count) - (count > 0 && threads_ > 0 ? 1 : 0);
  for (std::size_t i = 0; i < helpers; ++i) {
    if (!pool_.Add([batch] { batch->Run(); }).ok()) break;
  }
  batch->Run();
  absl::MutexLock lock(&batch->mu);
  batch->mu.Await(absl::Condition(batch.get(), &Batch::Ended));
  return batch->result;
}

}  // namespace thaw::agent
