#ifndef THAW_AGENT_SNAPSHOT_PARALLEL_H_
#define THAW_AGENT_SNAPSHOT_PARALLEL_H_

#include <cstddef>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "common/executor/thread_pool.h"

namespace thaw::agent {

// Spreads pieces of blocking work over some threads and the caller's own. Threads: any.
class ParallelWork {
 public:
  explicit ParallelWork(std::size_t threads);

  // Calls `piece` with 0 … count-1, in no certain order, and returns when all have ended: OK, or the first error, after
  // which no further piece was begun. The caller's thread takes part, so this ends however busy the others are.
  absl::Status ForEach(std::size_t count, absl::FunctionRef<absl::Status(std::size_t)> piece);

 private:
  const std::size_t threads_;
  ThreadPool pool_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_SNAPSHOT_PARALLEL_H_
