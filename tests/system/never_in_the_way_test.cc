// Checkpoints are in nobody's way, and functions can do nothing that is not theirs to do.
#include <algorithm>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/support/closed_loop.h"
#include "tests/support/steady_load.h"
#include "tests/system/suite.h"

namespace thaw::testing {
namespace {

namespace gw = thaw::gateway::v1;

class NeverInTheWayTest : public ClusterTest {
 protected:
  Cluster::Options ClusterOptions() override {
    Cluster::Options options;
    options.nodes = {"a", "b"};
    return options;
  }
};

TEST_F(NeverInTheWayTest, UnderSteadyLoadForcedCheckpointsFailNoCall) {
  const absl::StatusOr<std::string> image = JavaTestImage("echo", "io.thaw.testfn.Echo::text");
  ASSERT_TRUE(image.ok()) << image.status();
  TestFunction function;
  function.image = *image;
  function.memory_mib = 128;
  const std::string id = Create(function);
  ASSERT_NE(id, "");
  const std::string first = Freeze(id, "a");
  const double published = cluster().AgentMetric("a", "thaw_agent_checkpoints_total", {"outcome=\"published\""}) +
                           cluster().AgentMetric("b", "thaw_agent_checkpoints_total", {"outcome=\"published\""});
  const LoadResult full = LoadGrpc(cluster().gateway_address(), id, "hello", 8, absl::Seconds(5));
  ASSERT_EQ(full.errors, 0u) << full.first_error;
  const double rate = full.CallsPerSecond() / 2;
  ForcedCheckpoints checkpoints(cluster(), id, absl::Seconds(10));
  const SteadyResult result = LoadSteadily(cluster().gateway_address(), id, "hello", rate, absl::Minutes(2));
  checkpoints.Stop();
  EXPECT_EQ(result.failed, 0u) << result.first_error;
  EXPECT_EQ(result.latencies.size(), static_cast<std::size_t>(rate * 120));
  EXPECT_GE(checkpoints.made(), 9) << checkpoints.first_error();
  EXPECT_EQ(checkpoints.first_error(), "");
  EXPECT_EQ(cluster().AgentMetric("a", "thaw_agent_checkpoints_total", {"outcome=\"published\""}) +
                cluster().AgentMetric("b", "thaw_agent_checkpoints_total", {"outcome=\"published\""}),
            published + checkpoints.made());
  // Each replaces the one before.
  const auto snapshots = cluster().Snapshots(id);
  ASSERT_EQ(snapshots.size(), 1u);
  EXPECT_NE(snapshots[0].id(), first);
  EXPECT_GT(snapshots[0].invocations(), 500u) << "it is of an instance that was under load";
}

// tests/functions/native/privilege_probe.h: the lines of what the process is, then `what it tried: how that ended`.
TEST_F(NeverInTheWayTest, AFunctionHasNoPrivilegeBeforeAndAfterARestore) {
  const std::string id = CreateNative();
  const Answer cold = cluster().Invoke(id, "privileges", "a");
  ASSERT_TRUE(StartedAs(cold, gw::START_KIND_COLD));
  const std::string& report = cold.body;
  for (const char* line : {"Uid:\t1000\t1000\t1000\t1000\n", "Gid:\t1000\t1000\t1000\t1000\n", "Groups:\t \n",
                           "CapInh:\t0000000000000000\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n",
                           "CapBnd:\t0000000000000000\n", "CapAmb:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n",
                           "control: succeeded\n", "list /cracdata: EACCES\n", "list CRIU's work directory: EACCES\n",
                           "connect to init's control socket: EACCES\n"}) {
    EXPECT_TRUE(absl::StrContains(report, line)) << line << report;
  }
  std::istringstream lines(report);
  int attempts = 0;
  for (std::string line; std::getline(lines, line);) {
    if (!absl::StrContains(line, ": ") || line == "control: succeeded") continue;
    ++attempts;
    EXPECT_FALSE(absl::StrContains(line, "succeeded")) << line;
  }
  EXPECT_EQ(attempts, 37) << report;
  Freeze(id, "a");
  EXPECT_EQ(cluster().Invoke(id, "privileges", "a").body, report) << "after its own dump";
  EndInstance(id, "a");
  const Answer here = cluster().Invoke(id, "privileges", "a");
  EXPECT_TRUE(StartedAs(here, gw::START_KIND_RESTORED));
  EXPECT_EQ(here.body, report);
  const Answer elsewhere = cluster().Invoke(id, "privileges", "b");
  EXPECT_TRUE(StartedAs(elsewhere, gw::START_KIND_RESTORED_REMOTE));
  EXPECT_EQ(elsewhere.body, report);
}

}  // namespace
}  // namespace thaw::testing
