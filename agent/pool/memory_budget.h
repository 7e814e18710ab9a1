#ifndef THAW_AGENT_POOL_MEMORY_BUDGET_H_
#define THAW_AGENT_POOL_MEMORY_BUDGET_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace thaw::agent {

// The memory of this host that functions may use, in bytes. Threads: any.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::uint64_t total_bytes) : total_(total_bytes) {}

  // False, and nothing reserved, when that much is not left.
  bool TryReserve(std::uint64_t bytes) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (bytes > total_ || reserved_ > total_ - bytes) return false;
    reserved_ += bytes;
    return true;
  }
  // For what runs already (found by recovery): may go beyond the total.
  void Reserve(std::uint64_t bytes) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    reserved_ += bytes;
  }
  void Release(std::uint64_t bytes) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    reserved_ -= bytes;
  }
  std::uint64_t total() const { return total_; }
  std::uint64_t reserved() const ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return reserved_;
  }

 private:
  const std::uint64_t total_;
  mutable absl::Mutex mu_;
  std::uint64_t reserved_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_POOL_MEMORY_BUDGET_H_
