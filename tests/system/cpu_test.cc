// A cluster whose nodes have different CPUs: a snapshot goes only where all that it relies on is there.
#include <stdlib.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/cpu/features.h"
#include "tests/system/suite.h"

namespace thaw::testing {
namespace {

namespace gw = thaw::gateway::v1;

class CpuTest : public ClusterTest {
 protected:
  Cluster::Options ClusterOptions() override {
    Cluster::Options options;
    options.nodes = {"new", "old"};
    options.node_flags["old"] = {"--cpu-features=x86-64-v2"};
    return options;
  }
  void SetUp() override {
    const HostCpu host = ReadHostCpu();
    if (host.architecture != "x86_64" || LevelOf(host.features) < CpuLevel::kV3) {
      const char* const why = "this host's CPU is no newer than x86-64-v2: no node could have more than another";
      if (getenv("THAW_REQUIRE_HOST") != nullptr) FAIL() << why;
      GTEST_SKIP() << why;
    }
    ClusterTest::SetUp();
  }
  std::string Cli(const std::vector<std::string>& words) {
    std::vector<std::string> command = {THAW_CLI_BINARY, "--server", cluster().gateway_address()};
    command.insert(command.end(), words.begin(), words.end());
    const CommandResult result = RunCommand(command);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }
  double Unfit() { return cluster().AgentMetric("old", "thaw_agent_unfit_snapshots_total"); }
};

TEST_F(CpuTest, ANodeThatLacksAFeatureNeverGetsTheSnapshotAndSaysWhy) {
  const std::string id = CreateNative();
  const std::string snapshot = Freeze(id, "new");
  const auto listed = cluster().Snapshots(id);
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(CpuFeatures(listed[0].cpu_features().begin(), listed[0].cpu_features().end()), ReadHostCpu().features);

  const double unfit = Unfit();
  const Answer first = cluster().Invoke(id, "", "old");
  EXPECT_TRUE(StartedAs(first, gw::START_KIND_COLD));
  EXPECT_TRUE(absl::StrContains(first.start.fallback_reason(), absl::StrCat("node ", cluster().NodeId("old"), " lacks: ")))
      << first.start.fallback_reason();
  EXPECT_TRUE(absl::StrContains(first.start.fallback_reason(), "--cpu-baseline to x86-64-v2"));
  EXPECT_EQ(Unfit(), unfit + 1);
  // One snapshot per version: it asks for no second one, however often it is called, and takes no copy.
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(StartedAs(cluster().Invoke(id, "", "old"), gw::START_KIND_WARM));
  absl::SleepFor(absl::Seconds(1));
  ASSERT_EQ(cluster().Snapshots(id).size(), 1u);
  EXPECT_EQ(cluster().Snapshots(id)[0].holders_size(), 1);
  EXPECT_TRUE(Names(Store("old") + "/manifests").empty());
  EXPECT_FALSE(absl::StrContains(cluster().Log("old"), "event=checkpoint_"));
  // The lists say so too.
  EXPECT_TRUE(absl::StrContains(Cli({"snapshot", "inspect", snapshot}), absl::StrCat("not for node ", cluster().NodeId("old"), ": ")));
  const std::string nodes = Cli({"nodes"});
  EXPECT_TRUE(absl::StrContains(nodes, "x86-64-v2")) << nodes;
}

TEST_F(CpuTest, WithABaselineOneSnapshotFitsBoth) {
  const std::string id = CreateNative();
  auto function = cluster().GetFunction(id);
  ASSERT_TRUE(function.ok()) << function.status();
  const std::string without = function->version_id();
  function->mutable_freeze()->set_cpu_baseline("x86-64-v2");
  const auto updated = cluster().UpdateFunction(*function);
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_NE(updated->version_id(), without) << "what the process may use is part of the version";
  Freeze(id, "new");
  const auto listed = cluster().Snapshots(id);
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(CpuFeatures(listed[0].cpu_features().begin(), listed[0].cpu_features().end()), FeaturesOfLevel(CpuLevel::kV2));
  const Answer restored = cluster().Invoke(id, "env GODEBUG", "old");
  EXPECT_TRUE(StartedAs(restored, gw::START_KIND_RESTORED_REMOTE)) << restored.start.fallback_reason();
  EXPECT_TRUE(absl::StrContains(restored.body, "cpu.avx2=off")) << restored.body;
}

TEST_F(CpuTest, ANodeThatSaysItIsOldMakesSnapshotsThatOldNodesCanRestore) {
  const std::string id = CreateNative();
  Freeze(id, "old");
  const auto listed = cluster().Snapshots(id);
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(CpuFeatures(listed[0].cpu_features().begin(), listed[0].cpu_features().end()), FeaturesOfLevel(CpuLevel::kV2));
  EndInstance(id, "old");
  EXPECT_TRUE(StartedAs(cluster().Invoke(id, "", "old"), gw::START_KIND_RESTORED));
  EXPECT_TRUE(StartedAs(cluster().Invoke(id, "", "new"), gw::START_KIND_RESTORED_REMOTE));
}

}  // namespace
}  // namespace thaw::testing
