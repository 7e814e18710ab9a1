#include "bench/load_rows.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/report.h"

namespace thaw::bench {
namespace {

constexpr double kLeastShareOfBest = 0.8;

}  // namespace

std::vector<std::string> Complaints(const std::vector<LoadRow>& rows, unsigned processors) {
  std::vector<std::string> complaints;
  std::map<std::string, double> best, at_most_callers;
  for (const LoadRow& row : rows) {
    best[row.target] = std::max(best[row.target], row.rps);
    if (row.callers == kLoadCallers[std::size(kLoadCallers) - 1]) at_most_callers[row.target] = row.rps;
    if (row.errors > 0) {
      complaints.push_back(absl::StrCat(row.errors, " of ", row.calls, " calls to ", row.target, " by ", row.callers,
                                        " callers failed"));
    }
    // Calls this short are done sooner than another instance would be ready (docs/design/instances.md).
    if (row.instances > std::max(1u, processors)) {
      complaints.push_back(absl::StrCat(row.target, " by ", row.callers, " callers was served by ", row.instances,
                                        " instances: waiting calls should have queued"));
    }
  }
  for (const auto& [target, rps] : at_most_callers) {
    // `direct` measures the function and this machine, not Thaw: it is what the others are held against.
    if (target == kDirect || rps >= kLeastShareOfBest * best[target]) continue;
    complaints.push_back(absl::StrFormat("%s collapses: %.0f calls/s by 128 callers are %.0f %% of its best, %.0f calls/s",
                                         target, rps, 100 * rps / best[target], best[target]));
  }
  return complaints;
}

nlohmann::json LoadJson(const std::vector<LoadRow>& rows) {
  nlohmann::json json = nlohmann::json::array();
  for (const LoadRow& row : rows) {
    json.push_back({{"target", row.target},
                    {"callers", row.callers},
                    {"rps", static_cast<std::int64_t>(row.rps)},
                    {"p50_ms", JsonMilliseconds(row.p50)},
                    {"p99_ms", JsonMilliseconds(row.p99)},
                    {"errors", row.errors}});
  }
  return nlohmann::json{{"rows", json}};
}

}  // namespace thaw::bench
