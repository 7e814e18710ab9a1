// org.crac on stock JDKs: a function that uses all of it is frozen because its own code asks for it, and thawed on
// another node. Once for each JDK that Debian has.
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/support/cluster.h"
#include "tests/support/process.h"

namespace thaw::testing {
namespace {

using Json = nlohmann::json;

class JdkCracTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    THAW_NEED_HOST();
    std::string base = "thaw/java-runtime:latest";
    if (GetParam() != 21) {
      base = absl::StrCat("thaw/java-runtime:jdk", GetParam());
      const CommandResult built = RunCommand({THAW_SOURCE_DIR "/deploy/images/build-java-runtime", "--jdk",
                                              absl::StrCat(GetParam()), "--init", THAW_INIT_BINARY},
                                             absl::Minutes(15));
      ASSERT_EQ(built.exit_code, 0) << built.out << built.err;
    }
    const auto image =
        JavaTestImage(absl::StrCat("crac-user-", GetParam()), "io.thaw.testfn.CracUser::call", GetParam() == 21 ? "" : base);
    ASSERT_TRUE(image.ok()) << image.status();
    image_ = *image;
    Cluster::Options options;
    options.nodes = {"a", "b"};
    auto cluster = Cluster::Start(options);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = *std::move(cluster);
  }

  std::string Create(const std::string& name) {
    TestFunction function;
    function.image = image_;
    // Only its own wish gets it frozen.
    function.checkpoint_after = 1'000'000;
    const auto id = cluster_->CreateFunction(name, function);
    EXPECT_TRUE(id.ok()) << id.status();
    return id.value_or("");
  }

  Json Call(const std::string& id, const std::string& body, const std::string& node) {
    const Answer answer = cluster_->Invoke(id, body, node, absl::Seconds(60));
    EXPECT_TRUE(answer.ok()) << answer.status << cluster_->Log(node);
    last_start_ = answer.start;
    return Json::parse(answer.body, nullptr, false);
  }

  // Calls until the function's last step begins so; its answer then.
  Json CallUntil(const std::string& id, const std::string& node, const std::string& step) {
    Json answer;
    EXPECT_TRUE(Eventually(
        [&] {
          answer = Call(id, "", node);
          return answer.is_object() && !answer["steps"].empty() &&
                 absl::StartsWith(answer["steps"].back().get<std::string>(), step);
        },
        absl::Seconds(30)))
        << answer.dump(1) << cluster_->Log(node);
    return answer;
  }

  std::string image_;
  std::unique_ptr<Cluster> cluster_;
  thaw::gateway::v1::StartInfo last_start_;
};

TEST_P(JdkCracTest, CheckpointOfUserCodeReturnsInTheFunctionAndInItsThawedCopy) {
  const std::string id = Create("asks");
  Json cold = Call(id, "collect", "a");
  EXPECT_EQ(cold["jdk"], absl::StrCat(GetParam()));
  EXPECT_EQ(cold["droppedAlive"], false) << "resources are held weakly";

  const Json within = Call(id, "within", "a");
  ASSERT_EQ(within["steps"].size(), 1u);
  EXPECT_TRUE(absl::StrContains(within["steps"][0].get<std::string>(), "CheckpointException: null, a call or callback is under way"));
  EXPECT_TRUE(cluster_->Snapshots(id).empty());

  Call(id, "checkpoint", "a");
  const Json after = CallUntil(id, "a", "returned");
  const Json expected = {"before second", "before inner", "before first", "after first", "after inner", "after second",
                         "returned"};
  Json steps = after["steps"];
  steps.erase(0);
  EXPECT_EQ(steps, expected);
  ASSERT_TRUE(Eventually([&] { return cluster_->Snapshots(id).size() == 1; }, absl::Seconds(30))) << cluster_->Log("a");

  // Its slot shows that b has heard of the snapshot.
  ASSERT_TRUE(cluster_->AwaitSlots("b", 1, absl::Seconds(60))) << cluster_->Log("b");
  const Json thawed = CallUntil(id, "b", "returned");
  EXPECT_EQ(thawed["token"], cold["token"]);
  steps = thawed["steps"];
  steps.erase(0);
  EXPECT_EQ(steps, expected) << "the thread that asked goes on in the copy, too";
  EXPECT_EQ(cluster_->AgentMetric("b", "thaw_agent_starts_total", {"kind=\"restored-remote\"", "result=\"ok\""}), 1)
      << cluster_->Log("b") << cluster_->AgentMetrics("b");

  // It has its snapshot; a second wish is told so.
  Call(id, "checkpoint", "b");
  CallUntil(id, "b", "CheckpointException: null, function asks has a snapshot already");
}

TEST_P(JdkCracTest, VetoCancelsTheCheckpointAndEveryCauseReachesUserCodeLogAndMetric) {
  const std::string id = Create("refuses");
  const Json cold = Call(id, "veto", "a");
  Call(id, "checkpoint", "a");
  const Json refused = CallUntil(id, "a", "CheckpointException");
  EXPECT_EQ(refused["steps"].back(), "CheckpointException: null, second refuses, first refuses") << refused;
  EXPECT_EQ(refused["token"], cold["token"]) << "the same process serves on";
  EXPECT_TRUE(cluster_->Snapshots(id).empty());
  EXPECT_TRUE(Eventually([&] {
    return cluster_->AgentMetric("a", "thaw_agent_checkpoints_total", {"outcome=\"refused\""}) == 1;
  })) << cluster_->AgentMetrics("a");
  const std::string log = cluster_->Log("a");
  EXPECT_TRUE(absl::StrContains(log, "event=checkpoint_failed")) << log;
  EXPECT_TRUE(absl::StrContains(log, "step second")) << log;
  EXPECT_TRUE(absl::StrContains(log, "first refuses")) << log;
}

INSTANTIATE_TEST_SUITE_P(Jdk, JdkCracTest, ::testing::Values(17, 21, 25),
                         [](const auto& info) { return absl::StrCat("Jdk", info.param); });

}  // namespace
}  // namespace thaw::testing
