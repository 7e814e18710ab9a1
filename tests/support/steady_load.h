#ifndef THAW_TESTS_SUPPORT_STEADY_LOAD_H_
#define THAW_TESTS_SUPPORT_STEADY_LOAD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/support/cluster.h"

namespace thaw::testing {

// What callers saw who call at moments of their own, whatever became of the calls before.
struct SteadyResult {
  // From the moment at which a call was due to its answer: a call that had to wait because others were late counts its wait.
  std::vector<absl::Duration> latencies;
  std::size_t failed = 0;
  std::string first_error;
  absl::Duration time;
};

// Calls the function `rate` times a second, evenly, for `time`, by gRPC through the gateway.
SteadyResult LoadSteadily(const std::string& gateway_address, const std::string& function_id, const std::string& body,
                          double rate, absl::Duration time);

// Has the function frozen again and again, from its making to Stop(), each time `every` after the last began.
class ForcedCheckpoints {
 public:
  ForcedCheckpoints(Cluster& cluster, std::string function_id, absl::Duration every);
  // As Stop().
  ~ForcedCheckpoints();

  // Ends it; waits for the one that is under way.
  void Stop();
  // After Stop().
  int made() const { return made_; }
  // Of those that could not be made; empty when all could.
  const std::string& first_error() const { return first_error_; }

 private:
  void Run();

  Cluster& cluster_;
  const std::string function_id_;
  const absl::Duration every_;
  int made_ = 0;
  std::string first_error_;
  struct Shared;
  std::unique_ptr<Shared> shared_;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_SUPPORT_STEADY_LOAD_H_
