#include "bench/checkpoint_load.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/docker_function.h"
#include "bench/report.h"
#include "common/status/status_macros.h"
#include "tests/support/closed_loop.h"
#include "tests/support/cluster.h"
#include "tests/support/steady_load.h"

namespace thaw::bench {
namespace {

using testing::Cluster;
using testing::LoadGrpc;
using testing::LoadResult;
using testing::SteadyResult;

constexpr std::uint32_t kMemoryMib = 128;
constexpr absl::Duration kWarmUp = absl::Seconds(5);
constexpr absl::Duration kCapacityTime = absl::Seconds(5);
constexpr int kCapacityCallers = 8;
constexpr double kShareOfCapacity = 0.5;
constexpr double kAim = 1.5;
// Of the checkpoints that there is time for; one may be under way at the end, or have waited for the one before.
constexpr double kLeastShareOfCheckpoints = 0.8;
constexpr char kBody[] = "hello";

struct Row {
  std::string name;
  SteadyResult result;
  int checkpoints = 0;

  absl::Duration P(double percent) const { return Percentile(result.latencies, percent); }
};

absl::Status Report(const std::vector<Row>& rows, double capacity, double rate, double frozen_ms,
                    const CheckpointLoadOptions& options) {
  Table table({"case", "calls/s", "n", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "failed", "checkpoints"});
  nlohmann::json json = nlohmann::json::array();
  for (const Row& row : rows) {
    table.Add({row.name, absl::StrFormat("%.0f", rate), absl::StrCat(row.result.latencies.size()), Milliseconds(row.P(50)),
               Milliseconds(row.P(99)), Milliseconds(row.P(99.9)), Milliseconds(row.P(100)), absl::StrCat(row.result.failed),
               absl::StrCat(row.checkpoints)});
    json.push_back({{"case", row.name},
                    {"capacity_rps", static_cast<std::int64_t>(capacity)},
                    {"rate_rps", static_cast<std::int64_t>(rate)},
                    {"calls", row.result.latencies.size()},
                    {"p50_ms", JsonMilliseconds(row.P(50))},
                    {"p99_ms", JsonMilliseconds(row.P(99))},
                    {"p999_ms", JsonMilliseconds(row.P(99.9))},
                    {"max_ms", JsonMilliseconds(row.P(100))},
                    {"failed", row.result.failed},
                    {"checkpoints", row.checkpoints}});
  }
  const double p50 = absl::FDivDuration(rows[1].P(50), rows[0].P(50));
  const double p99 = absl::FDivDuration(rows[1].P(99), rows[0].P(99));
  table.Add({"ratio", "", "", absl::StrFormat("%.2f", p50), absl::StrFormat("%.2f", p99), "", "", "",
             p99 <= kAim ? "aim 1.5: met" : "aim 1.5: missed"});
  table.Print();
  Say(absl::StrFormat("warm capacity %.0f calls/s; frozen %.0f ms per checkpoint on the average", capacity, frozen_ms));
  json.push_back({{"case", "ratio"}, {"p50", p50}, {"p99", p99}, {"aim", kAim}, {"aim_met", p99 <= kAim}, {"mean_frozen_ms", frozen_ms}});
  RETURN_IF_ERROR(WriteFile(options.json_file, nlohmann::json{{"rows", json}}.dump(2)));
  for (const Row& row : rows) {
    if (row.result.failed == 0) continue;
    return absl::FailedPreconditionError(absl::StrCat(row.result.failed, " calls failed (", row.name, "), the first with: ",
                                                      row.result.first_error));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureCheckpointLoad(const CheckpointLoadOptions& options) {
  ASSIGN_OR_RETURN(const std::string image, testing::JavaTestImage("echo", "io.thaw.testfn.Echo::text"));
  Cluster::Options cluster_options;
  cluster_options.nodes = {"a"};
  ASSIGN_OR_RETURN(const auto cluster, StartCluster(cluster_options));
  ASSIGN_OR_RETURN(const std::string id,
                   cluster->CreateFunction("steady", {.image = image, .config = {}, .memory_mib = kMemoryMib,
                                                      .idle_timeout = absl::Minutes(30), .checkpoint_after = 5}));
  RETURN_IF_ERROR(cluster->MakeSnapshot(id, "a", kBody).status());
  Say("warming up");
  LoadGrpc(cluster->gateway_address(), id, kBody, kCapacityCallers, kWarmUp);
  Say("measuring the capacity");
  const LoadResult full = LoadGrpc(cluster->gateway_address(), id, kBody, kCapacityCallers, kCapacityTime);
  const double capacity = full.CallsPerSecond();
  const double rate = capacity * kShareOfCapacity;

  std::vector<Row> rows(2);
  rows[0].name = "in-peace";
  Say(absl::StrFormat("%.0f calls/s in peace", rate));
  rows[0].result = testing::LoadSteadily(cluster->gateway_address(), id, kBody, rate, options.time);
  const auto frozen = [&](const char* part) {
    return cluster->AgentMetric("a", absl::StrCat("thaw_agent_checkpoint_frozen_seconds_", part));
  };
  const double frozen_before = frozen("sum");
  const double count_before = frozen("count");
  rows[1].name = "with-checkpoints";
  Say(absl::StrFormat("%.0f calls/s with a checkpoint every %s", rate, absl::FormatDuration(options.every)));
  testing::ForcedCheckpoints checkpoints(*cluster, id, options.every);
  rows[1].result = testing::LoadSteadily(cluster->gateway_address(), id, kBody, rate, options.time);
  checkpoints.Stop();
  rows[1].checkpoints = checkpoints.made();
  const double count = frozen("count") - count_before;
  const double frozen_ms = count > 0 ? (frozen("sum") - frozen_before) / count * 1000 : 0;
  RETURN_IF_ERROR(Report(rows, capacity, rate, frozen_ms, options));
  const double due = absl::FDivDuration(options.time, options.every) - 1;
  if (rows[1].checkpoints < std::max(1.0, due * kLeastShareOfCheckpoints)) {
    return absl::FailedPreconditionError(
        absl::StrCat("only ", rows[1].checkpoints, " checkpoints were made: ", checkpoints.first_error()));
  }
  return absl::OkStatus();
}

}  // namespace thaw::bench
