#ifndef THAW_BENCH_START_H_
#define THAW_BENCH_START_H_

#include <string>

#include "absl/status/status.h"

namespace thaw::bench {

struct StartOptions {
  // Samples of each case.
  int samples = 15;
  // Where the rows go as JSON; empty for nowhere.
  std::string json_file;
  // An image of examples/fndemo, whose static block sleeps five seconds; empty: its cases are left out.
  std::string fndemo_image;
};

// Measures a first answer in every way in which it can come about, and prints the tables. FAILED_PRECONDITION when a sample
// was not started as its case says: such a figure would be of something else.
absl::Status MeasureStarts(const StartOptions& options);

}  // namespace thaw::bench

#endif  // THAW_BENCH_START_H_
