// Engine crac with a stand-in for a CRaC JDK's `java` (tests/functions/native/crac_standin.cc): such a JDK can't be had
// here, and nothing of one is tested. What is: the options, who may use the engine, the files' way into the snapshot and
// out of it, the end of the frozen process, the canary, and the restore by a second process, on another node too.
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/system/suite.h"

namespace thaw::testing {
namespace {

namespace fs = std::filesystem;
namespace gw = thaw::gateway::v1;

class CracStandInTest : public ClusterTest {
 protected:
  Cluster::Options ClusterOptions() override {
    Cluster::Options options;
    options.node_flags["a"] = {"--allow-crac-engine"};
    options.node_flags["b"] = {"--allow-crac-engine"};
    return options;
  }

  std::string StandInImage() {
    const std::string tag = "thaw-test/crac-standin:latest";
    char pattern[] = "/tmp/ti-XXXXXX";
    const std::string dir = mkdtemp(pattern);
    fs::copy_file(THAW_CRAC_STANDIN, dir + "/java");
    std::ofstream(dir + "/Dockerfile") << "FROM thaw/java-runtime-base:latest\nCOPY java /function/java\n"
                                          "LABEL io.thaw.fdk=standin io.thaw.crac-engine=standin\n"
                                          "ENTRYPOINT [\"/thaw/init\", \"--\", \"/function/java\"]\nCMD [\"serve\"]\n";
    const CommandResult built =
        RunCommand({"docker", "build", "-q", "-t", tag, dir}, absl::Minutes(3), {{"DOCKER_BUILDKIT", "0"}});
    fs::remove_all(dir);
    EXPECT_EQ(built.exit_code, 0) << built.err << built.out;
    return tag;
  }

  std::string CreateStandIn() {
    TestFunction function;
    function.image = StandInImage();
    function.memory_mib = 64;
    function.freeze.set_engine("crac");
    function.freeze.set_accept_uncured(true);
    return Create(function);
  }
  Answer Call(const std::string& id, const std::string& body, const std::string& node) {
    const Answer answer = cluster().Invoke(id, body, node);
    EXPECT_TRUE(answer.ok()) << answer.status << cluster().Log(node) << FunctionLogs(node);
    return answer;
  }
  static std::string Token(const Answer& answer) { return answer.body.substr(0, answer.body.find(' ')); }
};

TEST_F(CracStandInTest, StandInIsFrozenByItselfAndRestoredHereAndOnAnotherNode) {
  const std::string id = CreateStandIn();
  const Answer cold = Call(id, "keep", "a");
  const Answer status = Call(id, "status", "a");
  EXPECT_TRUE(absl::StrContains(status.body, "uid=0")) << status.body << ": it needs root to run CRIU";
  EXPECT_FALSE(absl::StrContains(status.body, "caps=0000000000000000")) << status.body;
  for (int i = 3; i <= 5; ++i) Call(id, "", "a");
  ASSERT_TRUE(Eventually([&] { return cluster().Snapshots(id).size() == 1; }, absl::Seconds(60)))
      << cluster().Log("a") << FunctionLogs("a");
  EXPECT_EQ(cluster().Snapshots(id)[0].engine(), "crac standin");
  EXPECT_EQ(cluster().Snapshots(id)[0].uncured_size(), 1) << "no cure of ours reaches it";

  const Answer here = Call(id, "file", "a");
  EXPECT_TRUE(StartedAs(here, gw::START_KIND_RESTORED));
  EXPECT_EQ(here.body, absl::StrCat(Token(cold), " calls=6 file=kept"));
  const Answer elsewhere = Call(id, "file", "b");
  EXPECT_TRUE(StartedAs(elsewhere, gw::START_KIND_RESTORED_REMOTE));
  EXPECT_EQ(elsewhere.body, absl::StrCat(Token(cold), " calls=6 file=kept"));

  // c's operator does not allow it: the call is answered all the same, by a cold and unprivileged process.
  const Answer refused = Call(id, "status", "c");
  EXPECT_TRUE(StartedAs(refused, gw::START_KIND_COLD));
  EXPECT_TRUE(absl::StrContains(refused.start.fallback_reason(), "--allow-crac-engine")) << refused.start.fallback_reason();
  EXPECT_TRUE(absl::StrContains(refused.body, "uid=1000")) << refused.body;
  EXPECT_TRUE(absl::StrContains(refused.body, "caps=0000000000000000")) << refused.body;
}

TEST_F(CracStandInTest, WhereItIsNotAllowedItServesColdAndItsCheckpointIsRefusedWithTheReason) {
  const std::string id = CreateStandIn();
  for (int i = 1; i <= 5; ++i) Call(id, "", "c");
  EXPECT_TRUE(Eventually([&] {
    return cluster().AgentMetric("c", "thaw_agent_checkpoints_total", {"outcome=\"refused\""}) == 1;
  })) << cluster().AgentMetrics("c");
  EXPECT_TRUE(absl::StrContains(cluster().Log("c"), "start the agent with --allow-crac-engine")) << cluster().Log("c");
  EXPECT_TRUE(cluster().Snapshots(id).empty());
  Call(id, "", "c");
}

TEST_F(CracStandInTest, StandInThatCannotWriteItselfServesOnAndItsReasonIsKept) {
  const std::string id = CreateStandIn();
  const Answer cold = Call(id, "", "a");
  for (int i = 2; i <= 5; ++i) Call(id, "fail", "a");
  EXPECT_TRUE(Eventually([&] {
    return absl::StrContains(cluster().Log("a"), "its JVM made no checkpoint") && absl::StrContains(cluster().Log("a"), "open socket");
  })) << cluster().Log("a") << FunctionLogs("a");
  EXPECT_EQ(Call(id, "", "a").body, absl::StrCat(Token(cold), " calls=6")) << "the same process";
}

}  // namespace
}  // namespace thaw::testing
