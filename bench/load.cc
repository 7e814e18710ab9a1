#include "bench/load.h"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "bench/docker_function.h"
#include "bench/report.h"
#include "common/status/status_macros.h"
#include "tests/support/cluster.h"

namespace thaw::bench {
namespace {

constexpr char kDirect[] = "direct";

using testing::Cluster;
using testing::LoadGrpc;
using testing::LoadResult;

constexpr int kCallers[] = {1, 8, 32, 128};
constexpr absl::Duration kWarmUp = absl::Seconds(3);
constexpr std::uint32_t kMemoryMib = 256;
constexpr double kLeastShareOfBest = 0.8;
constexpr char kBody[] = "hello";

// The function takes one call a time: callers stand in line for its one connection.
LoadResult LoadDirect(FunctionSocket& socket, int callers, absl::Duration time) {
  LoadResult result;
  const absl::Time begun = absl::Now();
  std::deque<absl::Time> line(static_cast<std::size_t>(callers), begun);
  absl::Time now = begun;
  while (now - begun < time) {
    const absl::Status status = socket.Call(kBody);
    now = absl::Now();
    if (!status.ok()) {
      ++result.errors;
      result.first_error = std::string(status.message());
      if (!socket.Connect(now + absl::Seconds(5)).ok()) break;
    }
    result.latencies.push_back(now - line.front());
    line.pop_front();
    line.push_back(now);
  }
  result.time = now - begun;
  return result;
}

struct Row {
  std::string target;
  int callers = 0;
  double rps = 0;
  absl::Duration p50, p99;
  std::size_t calls = 0, errors = 0;
  // Of the function on its node, after this row.
  double instances = 0;
};

Row MakeRow(const std::string& target, int callers, const LoadResult& result) {
  Row row;
  row.target = target;
  row.callers = callers;
  row.calls = result.latencies.size();
  row.errors = result.errors;
  row.rps = static_cast<double>(row.calls - std::min(row.calls, row.errors)) / absl::ToDoubleSeconds(result.time);
  row.p50 = Percentile(result.latencies, 50);
  row.p99 = Percentile(result.latencies, 99);
  if (!result.first_error.empty()) Say(absl::StrCat("  first error: ", result.first_error));
  return row;
}

// What breaks the promises, in words; empty when all hold.
std::vector<std::string> Complaints(const std::vector<Row>& rows) {
  std::vector<std::string> complaints;
  std::map<std::string, double> best, at_most_callers;
  for (const Row& row : rows) {
    best[row.target] = std::max(best[row.target], row.rps);
    if (row.callers == kCallers[std::size(kCallers) - 1]) at_most_callers[row.target] = row.rps;
    if (row.errors > 0) {
      complaints.push_back(absl::StrCat(row.errors, " of ", row.calls, " calls to ", row.target, " by ", row.callers,
                                        " callers failed"));
    }
    // Calls this short are done sooner than another instance would be ready (docs/design/instances.md).
    if (row.instances > std::max(1u, std::thread::hardware_concurrency())) {
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

absl::Status Report(const std::vector<Row>& rows, const std::string& json_file) {
  Table table({"target", "callers", "n", "rps", "p50 ms", "p99 ms", "errors", "rps x of direct", "p50 x of direct",
               "instances"});
  nlohmann::json json = nlohmann::json::array();
  std::map<int, const Row*> direct;
  for (const Row& row : rows) {
    if (row.target == kDirect) direct[row.callers] = &row;
  }
  for (const Row& row : rows) {
    const Row& base = *direct.at(row.callers);
    table.Add({row.target, absl::StrCat(row.callers), absl::StrCat(row.calls), absl::StrFormat("%.0f", row.rps),
               Milliseconds(row.p50), Milliseconds(row.p99), absl::StrCat(row.errors),
               absl::StrFormat("%.2f", row.rps / base.rps),
               absl::StrFormat("%.2f", absl::FDivDuration(row.p50, base.p50)), absl::StrCat(row.instances)});
    json.push_back({{"target", row.target},
                    {"callers", row.callers},
                    {"rps", static_cast<std::int64_t>(row.rps)},
                    {"p50_ms", JsonMilliseconds(row.p50)},
                    {"p99_ms", JsonMilliseconds(row.p99)},
                    {"errors", row.errors}});
  }
  table.Print();
  RETURN_IF_ERROR(WriteFile(json_file, nlohmann::json{{"rows", json}}.dump(2)));
  std::string all;
  for (const std::string& complaint : Complaints(rows)) absl::StrAppend(&all, all.empty() ? "" : "; ", complaint);
  return all.empty() ? absl::OkStatus() : absl::FailedPreconditionError(all);
}

}  // namespace

absl::Status MeasureLoad(const LoadOptions& options) {
  ASSIGN_OR_RETURN(const std::string image, testing::JavaTestImage("echo", "io.thaw.testfn.Echo::text"));
  Cluster::Options cluster_options;
  cluster_options.nodes = {"a"};
  ASSIGN_OR_RETURN(const auto cluster, StartCluster(cluster_options));
  // Without checkpoints: nothing but calls should go on meanwhile.
  ASSIGN_OR_RETURN(const std::string id,
                   cluster->CreateFunction("load", {.image = image, .config = {}, .memory_mib = kMemoryMib,
                                                    .idle_timeout = absl::Minutes(30), .checkpoint_after = 0}));
  RETURN_IF_ERROR(cluster->Invoke(id, kBody).status);
  DockerFunction plain;
  RETURN_IF_ERROR(plain.Run(image, kMemoryMib));
  RETURN_IF_ERROR(plain.AwaitFirstAnswer(kBody));

  const std::string request =
      absl::StrCat("POST /invoke/", id, " HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: ",
                   sizeof kBody - 1, "\r\n\r\n", kBody);
  // The functions' code is compiled in its first thousands of calls.
  Say("warming up");
  LoadDirect(plain.socket(), 1, kWarmUp);
  RETURN_IF_ERROR(LoadHttp(cluster->http_address(), request, 8, kWarmUp).status());
  LoadGrpc(cluster->gateway_address(), id, kBody, 8, kWarmUp);

  std::vector<Row> rows;
  for (const int callers : kCallers) {
    Say(absl::StrCat("measuring ", callers, callers == 1 ? " caller" : " callers"));
    rows.push_back(MakeRow(kDirect, callers, LoadDirect(plain.socket(), callers, options.time)));
    rows.back().instances = 1;
    ASSIGN_OR_RETURN(const LoadResult http, LoadHttp(cluster->http_address(), request, callers, options.time));
    rows.push_back(MakeRow("thaw-http", callers, http));
    rows.back().instances = cluster->AgentMetric("a", "thaw_agent_slots", {"state=\"occupied\""});
    rows.push_back(MakeRow("thaw-grpc", callers, LoadGrpc(cluster->gateway_address(), id, kBody, callers, options.time)));
    rows.back().instances = cluster->AgentMetric("a", "thaw_agent_slots", {"state=\"occupied\""});
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& one, const Row& other) { return one.target < other.target; });
  return Report(rows, options.json_file);
}

}  // namespace thaw::bench
