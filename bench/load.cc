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
#include "bench/load_rows.h"
#include "bench/report.h"
#include "common/status/status_macros.h"
#include "tests/support/cluster.h"

namespace thaw::bench {
namespace {

using testing::Cluster;
using testing::LoadGrpc;
using testing::LoadResult;

constexpr absl::Duration kWarmUp = absl::Seconds(3);
constexpr std::uint32_t kMemoryMib = 256;
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

LoadRow MakeRow(const std::string& target, int callers, const LoadResult& result) {
  LoadRow row;
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

absl::Status Report(const std::vector<LoadRow>& rows, const std::string& json_file) {
  Table table({"target", "callers", "n", "rps", "p50 ms", "p99 ms", "errors", "rps x of direct", "p50 x of direct",
               "instances"});
  std::map<int, const LoadRow*> direct;
  for (const LoadRow& row : rows) {
    if (row.target == kDirect) direct[row.callers] = &row;
  }
  for (const LoadRow& row : rows) {
    const LoadRow& base = *direct.at(row.callers);
    table.Add({row.target, absl::StrCat(row.callers), absl::StrCat(row.calls), absl::StrFormat("%.0f", row.rps),
               Milliseconds(row.p50), Milliseconds(row.p99), absl::StrCat(row.errors),
               absl::StrFormat("%.2f", row.rps / base.rps),
               absl::StrFormat("%.2f", absl::FDivDuration(row.p50, base.p50)), absl::StrCat(row.instances)});
  }
  table.Print();
  RETURN_IF_ERROR(WriteFile(json_file, LoadJson(rows).dump(2)));
  std::string all;
  for (const std::string& complaint : Complaints(rows, std::thread::hardware_concurrency())) {
    absl::StrAppend(&all, all.empty() ? "" : "; ", complaint);
  }
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

  std::vector<LoadRow> rows;
  for (const int callers : kLoadCallers) {
    Say(absl::StrCat("measuring ", callers, callers == 1 ? " caller" : " callers"));
    rows.push_back(MakeRow(kDirect, callers, LoadDirect(plain.socket(), callers, options.time)));
    rows.back().instances = 1;
    ASSIGN_OR_RETURN(const LoadResult http, LoadHttp(cluster->http_address(), request, callers, options.time));
    rows.push_back(MakeRow("thaw-http", callers, http));
    rows.back().instances = cluster->AgentMetric("a", "thaw_agent_slots", {"state=\"occupied\""});
    rows.push_back(MakeRow("thaw-grpc", callers, LoadGrpc(cluster->gateway_address(), id, kBody, callers, options.time)));
    rows.back().instances = cluster->AgentMetric("a", "thaw_agent_slots", {"state=\"occupied\""});
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const LoadRow& one, const LoadRow& other) { return one.target < other.target; });
  return Report(rows, options.json_file);
}

}  // namespace thaw::bench
