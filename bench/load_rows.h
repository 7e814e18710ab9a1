#ifndef THAW_BENCH_LOAD_ROWS_H_
#define THAW_BENCH_LOAD_ROWS_H_

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace thaw::bench {

// The target that is the function itself, without Thaw.
inline constexpr char kDirect[] = "direct";
inline constexpr int kLoadCallers[] = {1, 8, 32, 128};

// One line of the table: a target under so many callers.
struct LoadRow {
  std::string target;
  int callers = 0;
  double rps = 0;
  absl::Duration p50, p99;
  std::size_t calls = 0, errors = 0;
  // Of the function on its node, after this row.
  double instances = 0;
};

// What breaks the promises, in words; empty when all hold: no call failed, throughput at most callers is at least 80 % of
// the target's best, and no more instances than processors answered.
std::vector<std::string> Complaints(const std::vector<LoadRow>& rows, unsigned processors);

// {"rows": [{target, callers, rps, p50_ms, p99_ms, errors}]}
nlohmann::json LoadJson(const std::vector<LoadRow>& rows);

}  // namespace thaw::bench

#endif  // THAW_BENCH_LOAD_ROWS_H_
