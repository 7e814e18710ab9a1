#ifndef THAW_BENCH_LOAD_H_
#define THAW_BENCH_LOAD_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/support/closed_loop.h"

namespace thaw::bench {

struct LoadOptions {
  // How long each target is loaded by each number of callers.
  absl::Duration time = absl::Seconds(5);
  std::string json_file;
};

// `callers` keep-alive connections from one thread. `head_and_body` is one whole request.
absl::StatusOr<testing::LoadResult> LoadHttp(const std::string& address, const std::string& request, int callers,
                                             absl::Duration time);
// Loads a warm function through the gateway, by HTTP and gRPC, and directly; prints the table. FAILED_PRECONDITION when a
// call failed, when throughput at most callers is below 80 % of the target's best, or when calls were answered by more
// instances than processors.
absl::Status MeasureLoad(const LoadOptions& options);

}  // namespace thaw::bench

#endif  // THAW_BENCH_LOAD_H_
