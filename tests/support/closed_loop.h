#ifndef THAW_TESTS_SUPPORT_CLOSED_LOOP_H_
#define THAW_TESTS_SUPPORT_CLOSED_LOOP_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace thaw::testing {

// What callers saw, each of whom made its next call as soon as it had the answer to its last.
struct LoadResult {
  std::vector<absl::Duration> latencies;
  std::size_t errors = 0;
  absl::Duration time;
  // The first error's words.
  std::string first_error;

  double CallsPerSecond() const { return static_cast<double>(latencies.size()) / absl::ToDoubleSeconds(time); }
};

// Unary calls through the gateway without a thread per caller, on one channel per 32 callers. Those that are under way
// after `time` are waited for, and counted.
LoadResult LoadGrpc(const std::string& gateway_address, const std::string& function_id, const std::string& body,
                    int callers, absl::Duration time);

}  // namespace thaw::testing

#endif  // THAW_TESTS_SUPPORT_CLOSED_LOOP_H_
