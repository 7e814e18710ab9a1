// The demo as a person runs it: `thaw demo --json` against real processes, its JSON as the issue words it, and the
// counters on /metrics beside it.
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/system/suite.h"

namespace thaw::testing {
namespace {

using Json = nlohmann::json;

// Writes GET /metrics of the port into the file.
constexpr char kSaveMetrics[] =
    "import sys, urllib.request as r; "
    "open(sys.argv[2], \"wb\").write(r.urlopen(\"http://127.0.0.1:\" + sys.argv[1] + \"/metrics\", timeout=10).read())";

class DemoTest : public ClusterTest {
 protected:
  // The node's process after the demo's own start is none of the cluster's.
  void TearDown() override {
    ClusterTest::TearDown();
    int pid = 0;
    if (absl::SimpleAtoi(ReadFileOrEmpty(PidFile("a")), &pid) && pid > 1) kill(pid, SIGKILL);
  }
  std::string PidFile(const std::string& node) { return cluster().dir() + "/" + cluster().NodeId(node) + ".pid"; }
  std::string Script(const std::string& name, const std::string& text) {
    const std::string path = cluster().dir() + "/" + name;
    std::ofstream(path) << "set -e\n" << text;
    return "sh " + path;
  }
  // A node's phases of starts agree with its starts, and with what the calls `started` there have reported.
  void ExpectPhases(const std::string& metrics, const std::string& node, const Json& calls,
                    const std::vector<std::size_t>& started) {
    SCOPED_TRACE(node);
    const auto starts = [&](const std::string& kind) {
      return SumOfSeries(metrics, "thaw_agent_starts_total", {"kind=\"" + kind + "\"", "result=\"ok\""});
    };
    const auto phase = [&](const std::string& name, const std::string& what) {
      return SumOfSeries(metrics, "thaw_agent_start_phase_seconds_" + what, {"phase=\"" + name + "\""});
    };
    const double restored = starts("restored") + starts("restored-remote");
    const double all = restored + starts("cold");
    EXPECT_GE(all, static_cast<double>(started.size()));
    EXPECT_EQ(phase("container", "count"), all);
    EXPECT_EQ(phase("restore", "count"), all);
    EXPECT_EQ(phase("fetch", "count"), restored) << "a cold start fetches nothing";
    EXPECT_EQ(phase("first_response", "count"), static_cast<double>(started.size()));
    EXPECT_GT(phase("first_response", "sum"), 0);
    for (const char* name : {"container", "fetch", "restore"}) {
      double reported_ms = 0;
      for (const std::size_t call : started) reported_ms += calls[call]["phases_ms"][name].get<double>();
      // Reported to a hundredth of a millisecond.
      EXPECT_GE(phase(name, "sum") * 1000, reported_ms - 0.1) << name;
      if (all == static_cast<double>(started.size())) {
        EXPECT_NEAR(phase(name, "sum") * 1000, reported_ms, 0.1) << name;
      }
    }
  }
  static std::set<std::string> Keys(const Json& object) {
    std::set<std::string> keys;
    for (const auto& [key, value] : object.items()) keys.insert(key);
    return keys;
  }
};

TEST_F(DemoTest, ShowsTheWholeIdea_InTheIssuesWords_AndTheCountersAgree) {
  std::string metrics;
  for (const char* node : {"a", "b", "c"}) {
    std::ofstream(PidFile(node)) << cluster().agent(node).pid() << "\n";
    absl::StrAppend(&metrics, metrics.empty() ? "" : ",", cluster().NodeId(node), "=127.0.0.1:",
                    cluster().agent_metrics_port(node));
  }
  const std::string pid = cluster().dir() + "/$THAW_NODE.pid";
  // A's counters end with it: they are read just before.
  const std::string saved = cluster().dir() + "/metrics-of-a";
  const std::string kill_script =
      Script("kill-node", absl::StrCat("cp_metrics='", kSaveMetrics, "'\npython3 -c \"$cp_metrics\" ",
                                       cluster().agent_metrics_port("a"), " ", saved, "\n", "kill -9 $(cat ", pid, ")\n",
                                       "docker ps -aq --filter label=thaw.node=$THAW_NODE | xargs -r docker rm -f\n"));
  const std::string start_script =
      Script("start-node", absl::StrCat("setsid nohup '", absl::StrJoin(cluster().AgentCommand("a"), "' '"), "' >>",
                                        cluster().dir(), "/a.log 2>&1 </dev/null &\necho $! >", pid, "\n"));
  const CommandResult demo = RunCommand(
      {THAW_CLI_BINARY, "--server", cluster().gateway_address(), "--json", "demo", "--source",
       std::string(THAW_SOURCE_DIR) + "/examples/fndemo", "--node-a", cluster().NodeId("a"), "--node-b",
       cluster().NodeId("b"), "--node-c", cluster().NodeId("c"), "--metrics", metrics, "--kill-node", kill_script,
       "--start-node", start_script},
      absl::Minutes(6));
  ASSERT_EQ(demo.exit_code, 0) << demo.err << demo.out;

  const Json report = Json::parse(demo.out, nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(report.is_object()) << demo.out;
  ASSERT_TRUE(report["calls"].is_array());
  const std::vector<std::string> steps = {"cold", "warm", "warm", "warm", "warm", "restored_same_node",
                                          "restored_other_node", "after_node_loss", "after_node_loss"};
  ASSERT_EQ(report["calls"].size(), steps.size()) << report["calls"].dump(1);
  const double cold_ms = report["calls"][0]["total_ms"].get<double>();
  EXPECT_GT(cold_ms, 5000);
  std::map<std::string, int> starts;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Json& call = report["calls"][i];
    EXPECT_EQ(call["index"], i + 1);
    EXPECT_EQ(call["step"], steps[i]) << call.dump();
    EXPECT_EQ(Keys(call["phases_ms"]), (std::set<std::string>{"queue", "container", "fetch", "restore", "function"}));
    EXPECT_FALSE(call.contains("fallback_reason")) << call.dump();
    const std::string start = call["start"];
    ++starts[start];
    if (start == "restored" || start == "restored-remote") {
      EXPECT_LT(call["total_ms"].get<double>(), cold_ms / 10) << call.dump();
    }
    EXPECT_EQ(call["token"], report["calls"][0]["token"]) << "all are one frozen process";
  }
  EXPECT_EQ(report["calls"][5]["start"], "restored");
  EXPECT_EQ(report["calls"][5]["node"], cluster().NodeId("a"));
  EXPECT_EQ(report["calls"][6]["start"], "restored-remote");
  EXPECT_EQ(report["calls"][6]["node"], cluster().NodeId("b"));
  EXPECT_EQ(report["calls"][8]["start"], "restored-remote");
  EXPECT_EQ(report["calls"][8]["node"], cluster().NodeId("c"));
  const Json& snapshot = report["snapshot"];
  EXPECT_EQ(Keys(snapshot), (std::set<std::string>{"id", "node", "raw_bytes", "stored_bytes", "checkpoint_ms"}));
  EXPECT_EQ(snapshot["node"], cluster().NodeId("a"));
  EXPECT_GT(snapshot["raw_bytes"].get<double>(), snapshot["stored_bytes"].get<double>());

  // B and C live on: their counters tell the same story. A's were reset by the kill.
  const auto answered = [&](const std::string& start) {
    double sum = 0;
    for (const char* node : {"b", "c"}) {
      sum += cluster().AgentMetric(node, "thaw_agent_invocations_total",
                                   {"start=\"" + start + "\"", "outcome=\"ok\""});
    }
    return static_cast<int>(sum);
  };
  EXPECT_EQ(answered("restored-remote") + answered("restored"),
            starts["restored-remote"] + starts["restored"] - 1 /* A's own */);
  EXPECT_EQ(answered("cold"), 0);
  const double stored = snapshot["stored_bytes"].get<double>();
  for (const char* node : {"b", "c"}) {
    const double received =
        cluster().AgentMetric(node, "thaw_agent_transfer_received_bytes_total", {"kind=\"snapshot\""});
    EXPECT_GT(received, 0) << node;
    EXPECT_LE(received, stored + (256 << 10)) << node;
    EXPECT_EQ(cluster().AgentMetric(node, "thaw_agent_starts_total", {"result=\"fell_back\""}), 0) << node;
  }
  EXPECT_TRUE(cluster().AwaitNode("a", thaw::common::v1::NODE_STATE_READY)) << "the demo brings A back";

  // The one checkpoint was A's.
  const std::string of_a = ReadFileOrEmpty(saved);
  for (const char* histogram : {"duration_seconds", "frozen_seconds", "bytes"}) {
    EXPECT_EQ(SumOfSeries(of_a, absl::StrCat("thaw_agent_checkpoint_", histogram, "_count")), 1) << histogram;
    EXPECT_GT(SumOfSeries(of_a, absl::StrCat("thaw_agent_checkpoint_", histogram, "_sum")), 0) << histogram;
  }
  EXPECT_EQ(SumOfSeries(of_a, "thaw_agent_checkpoint_bytes_sum"), snapshot["raw_bytes"].get<double>());
  EXPECT_GE(SumOfSeries(of_a, "thaw_agent_checkpoint_duration_seconds_sum") * 1000,
            snapshot["checkpoint_ms"].get<double>() - 1)
      << "the dump is a part of the whole";
  ExpectPhases(of_a, "a", report["calls"], {0, 5});
  ExpectPhases(cluster().AgentMetrics("b"), "b", report["calls"], {6});
  ExpectPhases(cluster().AgentMetrics("c"), "c", report["calls"], {8});
}

}  // namespace
}  // namespace thaw::testing
