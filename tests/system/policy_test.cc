// When functions are frozen, by every policy, with real processes, Docker and CRIU.
#include <grpcpp/client_context.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/status.h"
#include "tests/system/suite.h"

namespace thaw::testing {
namespace {

namespace gw = thaw::gateway::v1;
using thaw::common::v1::CheckpointPolicy;

class PolicyTest : public ClusterTest {
 protected:
  Cluster::Options ClusterOptions() override {
    Cluster::Options options;
    options.nodes = {"a", "b"};
    return options;
  }
  // Never frozen at first, so that the policy is there before any call.
  std::string CreateWith(CheckpointPolicy::Mode mode, const thaw::common::v1::FreezeSettings& freeze = {}) {
    TestFunction function;
    function.image = NativeImage();
    function.memory_mib = 64;
    function.checkpoint_after = 0;
    const std::string id = Create(function);
    thaw::common::v1::Function update;
    update.set_id(id);
    update.mutable_checkpoint()->set_mode(mode);
    *update.mutable_freeze() = freeze;
    const auto updated = cluster().UpdateFunction(update);
    EXPECT_TRUE(updated.ok()) << updated.status();
    return id;
  }
  // Calls one after the other on node a until there are so many candidates. One is taken within a window of calls, and not
  // while another is being made: a process that has run past a window is ended, so that the next one comes by it again.
  bool CallUntilCandidates(const std::string& id, const std::string& body, std::size_t wanted) {
    int calls = 0;
    return Eventually(
        [&] {
          if (++calls % 300 == 0) EndInstance(id, "a");
          (void)cluster().Invoke(id, body, "a");
          return cluster().Snapshots(id).size() >= wanted;
        },
        absl::Seconds(90));
  }
  absl::Status CreateSnapshot(const std::string& id, thaw::common::v1::SnapshotInfo* snapshot) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    gw::CreateSnapshotRequest request;
    request.mutable_function()->set_id(id);
    return FromGrpcStatus(cluster().admin().CreateSnapshot(&context, request, snapshot));
  }
};

TEST_F(PolicyTest, OnDeploy_TheFirstCallAnybodyMakesIsThawed_AfterThePrimingRequests) {
  thaw::common::v1::FreezeSettings freeze;
  freeze.add_priming()->set_body("prime one");
  freeze.add_priming()->set_body("prime two");
  const std::string id = CreateWith(CheckpointPolicy::MODE_ON_DEPLOY, freeze);
  ASSERT_TRUE(Eventually([&] { return !cluster().Snapshots(id).empty(); }, absl::Seconds(40)));
  const auto snapshot = cluster().Snapshots(id)[0];
  EXPECT_EQ(snapshot.invocations(), 2u);
  // The instance that was frozen may serve on where it is; the other node restores.
  const std::string other = snapshot.node_id() == cluster().NodeId("a") ? "b" : "a";
  // It has heard of the snapshot when it makes slots for it.
  ASSERT_TRUE(cluster().AwaitSlots(other, 1));
  const Answer first = cluster().Invoke(id, "", other);
  EXPECT_TRUE(StartedAs(first, gw::START_KIND_RESTORED_REMOTE));
  EXPECT_TRUE(absl::EndsWith(first.body, "calls=3")) << first.body;
  const Answer where_it_was_made = cluster().Invoke(id, "", other == "a" ? "b" : "a");
  EXPECT_TRUE(where_it_was_made.ok()) << where_it_was_made.status;
  EXPECT_NE(where_it_was_made.start.kind(), gw::START_KIND_COLD);
}

TEST_F(PolicyTest, OnDeploy_AFailedPrimingRequestIsTold_AndCallsAreServedCold) {
  thaw::common::v1::FreezeSettings freeze;
  freeze.add_priming()->set_body("status 502");
  const std::string id = CreateWith(CheckpointPolicy::MODE_ON_DEPLOY, freeze);
  ASSERT_TRUE(Eventually(
      [&] {
        const auto function = cluster().GetFunction(id);
        return function.ok() && function->annotations().count("thaw/checkpoint-error") == 1 &&
               absl::StrContains(function->annotations().at("thaw/checkpoint-error"), "priming request 1 of 1 failed");
      },
      absl::Seconds(30)));
  EXPECT_TRUE(StartedAs(cluster().Invoke(id, "", "a"), gw::START_KIND_COLD));
  EXPECT_TRUE(cluster().Snapshots(id).empty());
}

TEST_F(PolicyTest, ACanaryRequestIsAnsweredByTheTrialRestore_OrNothingIsPublished) {
  thaw::common::v1::FreezeSettings freeze;
  freeze.mutable_canary()->set_body("status 502");
  const std::string id = CreateWith(CheckpointPolicy::MODE_MANUAL, freeze);
  ASSERT_TRUE(cluster().Invoke(id, "", "a").ok());
  thaw::common::v1::SnapshotInfo snapshot;
  const absl::Status refused = CreateSnapshot(id, &snapshot);
  EXPECT_TRUE(absl::StrContains(refused.message(), "answered its canary request with HTTP status 502")) << refused;
  EXPECT_TRUE(cluster().Snapshots(id).empty());

  thaw::common::v1::Function update;
  update.set_id(id);
  update.mutable_freeze()->mutable_canary()->set_body("trial");
  ASSERT_TRUE(cluster().UpdateFunction(update).ok());
  const absl::Status made = CreateSnapshot(id, &snapshot);
  ASSERT_TRUE(made.ok()) << made;
  EXPECT_EQ(snapshot.invocations(), 1u) << "the trial is no call";
}

TEST_F(PolicyTest, Manual_OnlyAWishFreezes_AndTheNewSnapshotTakesTheOldOnesPlace) {
  const std::string id = CreateWith(CheckpointPolicy::MODE_MANUAL);
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(cluster().Invoke(id, "", "a").ok());
  EXPECT_TRUE(cluster().Snapshots(id).empty());
  thaw::common::v1::SnapshotInfo first, second;
  absl::Status made = CreateSnapshot(id, &first);
  ASSERT_TRUE(made.ok()) << made;
  EXPECT_EQ(first.invocations(), 8u) << "the warm one";
  ASSERT_TRUE(Eventually([&] { return cluster().Snapshots(id).size() == 1; }));
  ASSERT_TRUE(cluster().Invoke(id, "", "a").ok());
  // Under load a stand-in would be restored from the old snapshot first.
  absl::SleepFor(absl::Milliseconds(1500));
  made = CreateSnapshot(id, &second);
  ASSERT_TRUE(made.ok()) << made;
  EXPECT_TRUE(Eventually([&] {
    const auto all = cluster().Snapshots(id);
    return all.size() == 1 && all[0].id() == second.id();
  }));
  EXPECT_TRUE(Eventually([&] {
    const auto manifests = Names(Store("a") + "/manifests");
    return std::find(manifests.begin(), manifests.end(), first.id()) == manifests.end();
  })) << "the old one is off the disk";
  EndInstance(id, "a");
  const Answer restored = cluster().Invoke(id, "", "a");
  EXPECT_TRUE(StartedAs(restored, gw::START_KIND_RESTORED));
  EXPECT_TRUE(absl::EndsWith(restored.body, "calls=10")) << restored.body;
}

TEST_F(PolicyTest, Never_IsNeverForAWishToo) {
  const std::string id = CreateWith(CheckpointPolicy::MODE_NEVER);
  thaw::common::v1::SnapshotInfo snapshot;
  EXPECT_TRUE(Is(CreateSnapshot(id, &snapshot), absl::StatusCode::kFailedPrecondition, reason::kCheckpointRefused));
}

TEST_F(PolicyTest, Learned_CandidatesAreTakenAtSeveralCounts_AndRestoresAreSharedAndMeasured) {
  const std::string id = CreateWith(CheckpointPolicy::MODE_LEARNED);
  std::set<std::uint64_t> arms;
  ASSERT_TRUE(CallUntilCandidates(id, "", 3));
  // Some of what runs now are stand-ins, which calls have not come to yet.
  for (int round = 0; round < 20 && arms.size() < 3; ++round) {
    EndInstance(id, "a");
    const Answer answer = cluster().Invoke(id, "", "a");
    ASSERT_TRUE(answer.ok()) << answer.status;
    if (answer.start.kind() != gw::START_KIND_RESTORED) continue;
    const std::size_t at = answer.body.find("calls=");
    ASSERT_NE(at, std::string::npos) << answer.body;
    arms.insert(std::stoull(answer.body.substr(at + 6)));
  }
  EXPECT_GE(arms.size(), 3u) << "each candidate has had its turn";
  EndInstance(id, "a");
  EXPECT_TRUE(Eventually([&] {
    std::uint64_t restores = 0;
    for (const auto& snapshot : cluster().Snapshots(id)) restores += snapshot.experience().restores();
    return restores >= 3;
  })) << "the scheduler learns of them";
}

TEST_F(PolicyTest, Learned_SettlesOnTheCandidateWhoseRestoresAnswerSoonest) {
  const std::string id = CreateWith(CheckpointPolicy::MODE_LEARNED);
  // As a JIT does, only sharper: a process that has had a hundred calls answers at once, others take 15 ms.
  const std::string body = "warm-after 100";
  ASSERT_TRUE(CallUntilCandidates(id, body, 4));
  const auto chosen = [&] {
    for (const auto& snapshot : cluster().Snapshots(id)) {
      if (snapshot.experience().role() == thaw::common::v1::SnapshotExperience::ROLE_CHOSEN) return snapshot.invocations();
    }
    return std::uint64_t{0};
  };
  // Each candidate has its turns: a restore, and the calls that are looked at.
  int rounds = 0;
  for (; rounds < 120 && chosen() == 0; ++rounds) {
    EndInstance(id, "a");
    for (int call = 0; call < 10; ++call) ASSERT_TRUE(cluster().Invoke(id, body, "a").ok());
  }
  EXPECT_GE(chosen(), 100u) << "after " << rounds << " restores";
  EXPECT_GE(rounds, 20) << "a few restores prove nothing";
  // And from now on every restore is from that one.
  for (int round = 0; round < 3; ++round) {
    EndInstance(id, "a");
    const Answer answer = cluster().Invoke(id, body, "a");
    ASSERT_TRUE(StartedAs(answer, gw::START_KIND_RESTORED));
    const std::size_t at = answer.body.find("calls=");
    ASSERT_NE(at, std::string::npos) << answer.body;
    EXPECT_GE(std::stoull(answer.body.substr(at + 6)), 100u);
  }
}

}  // namespace
}  // namespace thaw::testing
