#ifndef THAW_BENCH_CHECKPOINT_LOAD_H_
#define THAW_BENCH_CHECKPOINT_LOAD_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace thaw::bench {

struct CheckpointLoadOptions {
  // How long each of the two rows is loaded.
  absl::Duration time = absl::Minutes(2);
  // Between the beginnings of two checkpoints.
  absl::Duration every = absl::Seconds(10);
  std::string json_file;
};

// Measures the warm capacity of a function, then loads it steadily with half of that: once in peace, and once while its
// instances are frozen again and again. Prints the table. FAILED_PRECONDITION when a call failed, or when fewer checkpoints
// were made than there was time for; whether the aim (p99 within 1.5 times) was met is said in the table.
absl::Status MeasureCheckpointLoad(const CheckpointLoadOptions& options);

}  // namespace thaw::bench

#endif  // THAW_BENCH_CHECKPOINT_LOAD_H_
