// When versions are frozen, and which snapshots they keep: the policies, as nodes see them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/rpc/client.h"
#include "scheduler/limits.h"
#include "tests/scheduler/support/test_scheduler.h"

namespace thaw::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using common::v1::CheckpointPolicy;
using common::v1::SnapshotExperience;
using testing::DigestId;
using testing::FakeNodeLink;
using testing::ImageId;
using testing::TestScheduler;

class ClusterFreezeTest : public ::testing::Test {
 protected:
  struct Node {
    Cluster::Session session;
    std::shared_ptr<FakeNodeLink> link = std::make_shared<FakeNodeLink>();
  };

  Node Join(const std::string& id, std::uint64_t memory_mib = 1024, const std::vector<int>& images = {1}) {
    Node node;
    v1::Register registration = TestScheduler::Registration(id, memory_mib);
    for (const int image : images) registration.add_image_ids(ImageId(image));
    for (const auto& snapshot : held_[id]) *registration.add_snapshots() = snapshot;
    node.session = scheduler_.Join(registration, node.link);
    return node;
  }
  common::v1::Function Make(CheckpointPolicy::Mode mode) {
    function_ = scheduler_.MakeFunction("app", "fn", 1);
    return Set(mode);
  }
  common::v1::Function Set(CheckpointPolicy::Mode mode) {
    common::v1::Function update;
    update.set_id(function_.id());
    update.mutable_checkpoint()->set_mode(mode);
    function_ = *scheduler_->catalogue().UpdateFunction(update);
    return function_;
  }
  // The last state that the node was sent since this was asked last; one without a spec when there was none.
  static v1::VersionState News(Node& node) {
    v1::VersionState state;
    for (const auto& message : node.link->Take()) {
      if (message.has_version_state()) state = message.version_state();
    }
    return state;
  }
  // Ids of the snapshots that the node was told to remove, since this was asked last.
  static std::vector<std::string> Removals(Node& node) {
    std::vector<std::string> ids;
    for (const auto& message : node.link->Take()) {
      if (message.has_remove_snapshot()) ids.push_back(message.remove_snapshot().snapshot_id());
    }
    return ids;
  }
  v1::VersionState State() { return *scheduler_->cluster().GetVersion(function_.version_id()); }

  v1::CheckpointGrant Ask(Node& node, std::uint64_t answered, bool manual = false, const std::string& instance = "i1") {
    node.link->Take();
    v1::NodeMessage message;
    auto& request = *message.mutable_checkpoint_request();
    request.set_version_id(function_.version_id());
    request.set_instance_id(instance);
    request.set_answered(answered);
    request.set_manual(manual);
    EXPECT_TRUE(scheduler_->cluster().OnMessage(node.session, message).ok());
    for (const auto& sent : node.link->Take()) {
      if (sent.has_checkpoint_grant()) return sent.checkpoint_grant();
    }
    ADD_FAILURE() << "no answer";
    return {};
  }
  common::v1::SnapshotInfo Snapshot(int n, std::uint64_t invocations) {
    auto snapshot = TestScheduler::Snapshot(n, function_.version_id());
    snapshot.set_invocations(invocations);
    return snapshot;
  }
  void Freeze(Node& node, int n, std::uint64_t invocations) {
    ASSERT_TRUE(Ask(node, invocations).granted()) << invocations;
    ASSERT_TRUE(scheduler_.Publish(node.session, Snapshot(n, invocations)).ok());
    held_[node.session.node_id].push_back(Snapshot(n, invocations));
  }
  // One restored instance's report.
  void Report(Node& node, int n, absl::Duration call) {
    v1::NodeMessage message;
    auto& report = *message.mutable_restore_report();
    report.set_version_id(function_.version_id());
    report.set_snapshot_id(DigestId(n));
    *report.mutable_restore() = ToProto(absl::Milliseconds(50));
    for (int i = 0; i < 3; ++i) *report.add_calls() = ToProto(call + absl::Microseconds(100 * (reports_++ % 7)));
    ASSERT_TRUE(scheduler_->cluster().OnMessage(node.session, message).ok());
  }
  std::map<std::string, int> Shares() {
    std::map<std::string, int> shares;
    const v1::VersionState state = State();
    for (const auto& candidate : state.candidates()) shares[candidate.snapshot().id()] = static_cast<int>(candidate.share());
    return shares;
  }

  TestScheduler scheduler_{{{}, absl::Seconds(10), 2}};
  common::v1::Function function_;
  std::map<std::string, std::vector<common::v1::SnapshotInfo>> held_;
  int reports_ = 0;
};

// ---- on deploy

TEST_F(ClusterFreezeTest, OnDeployOneNodeThatHasTheImageIsToFreeze) {
  Make(CheckpointPolicy::MODE_ON_DEPLOY);
  Node without = Join("c", 9000, {});
  EXPECT_FALSE(News(without).freeze_now()) << "its engine has no image";
  Node small = Join("a", 1024);
  EXPECT_TRUE(News(small).freeze_now());
  Node large = Join("b", 4096);
  EXPECT_FALSE(News(large).freeze_now()) << "who has begun stays the one";
  ASSERT_TRUE(Ask(small, 0).granted());
  ASSERT_TRUE(scheduler_.Publish(small.session, Snapshot(7, 3)).ok());
  const v1::VersionState state = News(small);
  EXPECT_FALSE(state.freeze_now());
  EXPECT_EQ(state.snapshot().id(), DigestId(7));
  EXPECT_EQ(state.desired_slots(), 2u);
}

TEST_F(ClusterFreezeTest, OnDeployTheNodeWithMostRoomIsChosen) {
  Node small = Join("a", 1024);
  Node large = Join("b", 4096);
  Make(CheckpointPolicy::MODE_ON_DEPLOY);
  EXPECT_FALSE(News(small).freeze_now());
  EXPECT_TRUE(News(large).freeze_now());
}

TEST_F(ClusterFreezeTest, OnDeployALostNodesTaskGoesToAnother) {
  Node large = Join("b", 4096);
  Make(CheckpointPolicy::MODE_ON_DEPLOY);
  Node small = Join("a", 1024);
  EXPECT_TRUE(News(large).freeze_now());
  News(small);
  scheduler_->cluster().Disconnect(large.session);
  EXPECT_TRUE(News(small).freeze_now());
}

TEST_F(ClusterFreezeTest, OnDeployALostSnapshotIsMadeAgainAndSoIsANewVersions) {
  Node a = Join("a");
  Make(CheckpointPolicy::MODE_ON_DEPLOY);
  ASSERT_TRUE(Ask(a, 0).granted());
  ASSERT_TRUE(scheduler_.Publish(a.session, Snapshot(7, 0)).ok());
  EXPECT_FALSE(News(a).freeze_now());
  ASSERT_TRUE(scheduler_.Gone(a.session, DigestId(7)).ok());
  EXPECT_TRUE(News(a).freeze_now());
  common::v1::Function update;
  update.set_id(function_.id());
  (*update.mutable_config())["K"] = "V";
  const auto changed = scheduler_->catalogue().UpdateFunction(update);
  const v1::VersionState state = News(a);
  EXPECT_EQ(state.spec().version_id(), changed->version_id());
  EXPECT_TRUE(state.freeze_now());
}

TEST_F(ClusterFreezeTest, OnDeployAFailureIsTriedAgainAfterTheBackoff) {
  Node a = Join("a");
  Make(CheckpointPolicy::MODE_ON_DEPLOY);
  ASSERT_TRUE(Ask(a, 0).granted());
  ASSERT_TRUE(scheduler_.FailCheckpoint(a.session, function_.version_id(), "priming request 1 of 1 failed").ok());
  const v1::CheckpointGrant refused = Ask(a, 0, false, "i2");
  EXPECT_FALSE(refused.granted());
  EXPECT_EQ(FromProto(refused.retry_after()), limits::kCheckpointFirstBackoff);
  for (absl::Duration waited; waited < limits::kCheckpointFirstBackoff; waited += absl::Seconds(1)) {
    scheduler_.clock.Advance(absl::Seconds(1));
    ASSERT_TRUE(scheduler_.Heartbeat(a.session).ok());
  }
  EXPECT_TRUE(Ask(a, 0, false, "i2").granted());
  EXPECT_THAT(scheduler_->cluster().CheckpointErrorOf(function_.version_id()), HasSubstr("priming request 1 of 1 failed"));
}

// ---- manual

TEST_F(ClusterFreezeTest, AManualSnapshotTakesTheOldOnesPlaceEverywhere) {
  Node a = Join("a");
  Node b = Join("b");
  Make(CheckpointPolicy::MODE_MANUAL);
  ASSERT_TRUE(Ask(a, 3, /*manual=*/true).granted());
  ASSERT_TRUE(scheduler_.Publish(a.session, Snapshot(1, 3)).ok());
  ASSERT_TRUE(scheduler_.Hold(b.session, Snapshot(1, 3)).ok());
  EXPECT_FALSE(Ask(b, 9).granted()) << "without a person's wish one is enough";
  ASSERT_TRUE(Ask(b, 9, /*manual=*/true).granted());
  Removals(a);
  ASSERT_TRUE(scheduler_.Publish(b.session, Snapshot(2, 9)).ok());
  EXPECT_THAT(Removals(a), ElementsAre(DigestId(1)));
  EXPECT_EQ(State().snapshot().id(), DigestId(2));
  EXPECT_EQ(scheduler_->snapshots().List("").size(), 1u);
}

TEST_F(ClusterFreezeTest, AManualWishIsGrantedAfterAllFailures) {
  Node a = Join("a");
  Make(CheckpointPolicy::MODE_AFTER_INVOCATIONS);
  for (std::uint32_t i = 0; i < limits::kMaxCheckpointFailures; ++i) {
    ASSERT_TRUE(scheduler_.FailCheckpoint(a.session, function_.version_id(), "no").ok());
  }
  EXPECT_FALSE(Ask(a, 5).granted());
  EXPECT_TRUE(Ask(a, 5, /*manual=*/true).granted());
  EXPECT_FALSE(Ask(a, 5, /*manual=*/true, "i2").granted()) << "one at a time";
}

TEST_F(ClusterFreezeTest, NeverMeansNeverForPeopleToo) {
  Node a = Join("a");
  Make(CheckpointPolicy::MODE_NEVER);
  EXPECT_FALSE(Ask(a, 5, /*manual=*/true).granted());
}

// ---- learned

TEST_F(ClusterFreezeTest, LearnedOneCandidateForEachCountIsGranted) {
  Node a = Join("a");
  Make(CheckpointPolicy::MODE_LEARNED);
  EXPECT_THAT(State().freeze_after(), ElementsAre(1, 5, 20, 100));
  EXPECT_THAT(State().candidates(), IsEmpty());
  Freeze(a, 1, 1);
  EXPECT_THAT(State().freeze_after(), ElementsAre(5, 20, 100));
  EXPECT_FALSE(Ask(a, 2).granted()) << "there is one for one call";
  Freeze(a, 2, 6);
  EXPECT_THAT(State().freeze_after(), ElementsAre(20, 100));
  EXPECT_THAT(Shares(), ElementsAre(Pair(DigestId(1), 500), Pair(DigestId(2), 500)));
  const v1::VersionState state = State();
  EXPECT_EQ(state.snapshot().id(), DigestId(1));
  ASSERT_EQ(state.candidates(1).holders_size(), 1);
  EXPECT_EQ(state.candidates(1).holders(0).node_id(), "a");
  EXPECT_FALSE(state.candidates(1).snapshot().has_experience()) << "each report would be news for every node";
}

TEST_F(ClusterFreezeTest, LearnedItSettlesRemovesTheOthersAndAsksForNoMore) {
  Node a = Join("a");
  Node b = Join("b");
  Make(CheckpointPolicy::MODE_LEARNED);
  Freeze(a, 1, 1);
  Freeze(a, 2, 5);
  Freeze(a, 3, 20);
  Freeze(a, 4, 100);
  ASSERT_TRUE(scheduler_.Hold(b.session, Snapshot(1, 1)).ok());
  Removals(b);
  Removals(a);
  for (int i = 0; i < 60; ++i) {
    Report(a, 1, absl::Milliseconds(20));
    Report(a, 2, absl::Milliseconds(16));
    Report(b, 3, absl::Milliseconds(9));
    Report(a, 4, absl::Milliseconds(14));
    if (i == 2) {
      const auto seen = scheduler_->snapshots().Get(DigestId(3));
      EXPECT_EQ(seen->experience().role(), SnapshotExperience::ROLE_CANDIDATE);
      EXPECT_EQ(seen->experience().restores(), 3u);
      EXPECT_EQ(seen->experience().calls(), 9u);
      EXPECT_THAT(seen->experience().belief(), HasSubstr("the best so far"));
    }
  }
  EXPECT_THAT(Shares(), ElementsAre(Pair(DigestId(3), 1000)));
  EXPECT_THAT(State().freeze_after(), IsEmpty());
  EXPECT_THAT(Removals(a), ::testing::UnorderedElementsAre(DigestId(1), DigestId(2), DigestId(4)));
  EXPECT_THAT(Removals(b), ElementsAre(DigestId(1)));
  const auto chosen = scheduler_->snapshots().Get(DigestId(3));
  EXPECT_EQ(chosen->experience().role(), SnapshotExperience::ROLE_CHOSEN);
  EXPECT_THAT(chosen->experience().belief(), HasSubstr("settled"));
  EXPECT_EQ(scheduler_.Metric("thaw_scheduler_learning_settled_total{calls=\"20\"}"), 1);
  EXPECT_EQ(scheduler_.Metric("thaw_scheduler_learning_decisions_total{decision=\"settled_later\"}"), 1);
  EXPECT_GT(scheduler_.Metric("thaw_scheduler_restore_reports_total{outcome=\"counted\"}"), 8);
  EXPECT_FALSE(Ask(a, 100).granted());
  // A holder of a loser that was away does not bring it back.
  ASSERT_TRUE(scheduler_.Hold(b.session, Snapshot(1, 1)).ok());
  EXPECT_THAT(Removals(b), ElementsAre(DigestId(1)));
}

TEST_F(ClusterFreezeTest, LearnedARestartForgetsNothing) {
  Node a = Join("a");
  Make(CheckpointPolicy::MODE_LEARNED);
  Freeze(a, 1, 1);
  Freeze(a, 2, 5);
  for (int i = 0; i < 6; ++i) Report(a, 1, absl::Milliseconds(20));
  const auto before = scheduler_->snapshots().Get(DigestId(1))->experience();
  EXPECT_EQ(before.restores(), 6u);
  scheduler_.Restart();
  Node again = Join("a");
  EXPECT_EQ(scheduler_->snapshots().Get(DigestId(1))->experience().SerializeAsString(), before.SerializeAsString());
  EXPECT_THAT(State().freeze_after(), ElementsAre(20, 100));
  EXPECT_THAT(Shares(), ElementsAre(Pair(DigestId(1), 500), Pair(DigestId(2), 500)));
}

TEST_F(ClusterFreezeTest, LearnedSettledSurvivesARestartAndDriftOpensItAgain) {
  Node a = Join("a");
  Make(CheckpointPolicy::MODE_LEARNED);
  for (int arm = 0; arm < 4; ++arm) Freeze(a, arm + 1, kArms[static_cast<std::size_t>(arm)]);
  for (int i = 0; i < 60; ++i) {
    for (int n = 1; n <= 4; ++n) Report(a, n, absl::Milliseconds(n == 2 ? 5 : 20));
  }
  EXPECT_THAT(Shares(), ElementsAre(Pair(DigestId(2), 1000)));
  scheduler_.Restart();
  held_["a"] = {Snapshot(2, 5)};
  Node again = Join("a");
  EXPECT_THAT(Shares(), ElementsAre(Pair(DigestId(2), 1000)));
  EXPECT_THAT(State().freeze_after(), IsEmpty());
  for (int i = 0; i < 40; ++i) Report(again, 2, absl::Milliseconds(30));
  EXPECT_THAT(State().freeze_after(), ElementsAre(1, 20, 100));
  EXPECT_EQ(scheduler_.Metric("thaw_scheduler_learning_decisions_total{decision=\"reopened\"}"), 1);
}

TEST_F(ClusterFreezeTest, LearnedALostNodesCandidatesGetNoShare) {
  Node a = Join("a");
  Node b = Join("b");
  Make(CheckpointPolicy::MODE_LEARNED);
  Freeze(a, 1, 1);
  Freeze(b, 2, 5);
  scheduler_->cluster().Disconnect(b.session);
  for (int i = 0; i < 20; ++i) {
    scheduler_.clock.Advance(absl::Seconds(1));
    ASSERT_TRUE(scheduler_.Heartbeat(a.session).ok());
    scheduler_->cluster().Tick();
  }
  EXPECT_THAT(Shares(), ElementsAre(Pair(DigestId(1), 1000)));
  EXPECT_THAT(State().freeze_after(), ElementsAre(5, 20, 100));
}

TEST_F(ClusterFreezeTest, LearnedABadReportIsCountedAndIgnored) {
  Node a = Join("a");
  Make(CheckpointPolicy::MODE_LEARNED);
  Freeze(a, 1, 1);
  Report(a, 9, absl::Milliseconds(1));
  Report(a, 1, absl::Hours(5));
  Report(a, 1, absl::Seconds(-5));
  EXPECT_EQ(scheduler_->snapshots().Get(DigestId(1))->experience().restores(), 0u);
  EXPECT_EQ(scheduler_.Metric("thaw_scheduler_restore_reports_total{outcome=\"ignored\"}"), 3);
}

TEST_F(ClusterFreezeTest, LearnedASnapshotMadeByHandEndsTheComparison) {
  Node a = Join("a");
  Make(CheckpointPolicy::MODE_LEARNED);
  Freeze(a, 1, 1);
  Freeze(a, 2, 5);
  ASSERT_TRUE(Ask(a, 50, /*manual=*/true).granted());
  ASSERT_TRUE(scheduler_.Publish(a.session, Snapshot(3, 50)).ok());
  EXPECT_THAT(Shares(), ElementsAre(Pair(DigestId(3), 1000)));
  EXPECT_THAT(State().freeze_after(), IsEmpty());
  EXPECT_EQ(scheduler_->snapshots().List("").size(), 1u);
}

TEST_F(ClusterFreezeTest, LearnedASnapshotMadeByHandBeforeAnyCallEndsItToo) {
  Node a = Join("a");
  Make(CheckpointPolicy::MODE_LEARNED);
  ASSERT_TRUE(Ask(a, 0, /*manual=*/true).granted());
  ASSERT_TRUE(scheduler_.Publish(a.session, Snapshot(3, 0)).ok());
  EXPECT_THAT(Shares(), ElementsAre(Pair(DigestId(3), 1000)));
  EXPECT_THAT(State().freeze_after(), IsEmpty()) << "what would be frozen now would be thrown away";
  EXPECT_FALSE(Ask(a, 1).granted());
}

TEST_F(ClusterFreezeTest, APolicyThatStopsLearningKeepsOneSnapshot) {
  Node a = Join("a");
  Make(CheckpointPolicy::MODE_LEARNED);
  Freeze(a, 1, 1);
  Freeze(a, 2, 5);
  Removals(a);
  Set(CheckpointPolicy::MODE_AFTER_INVOCATIONS);
  EXPECT_THAT(Removals(a), ElementsAre(DigestId(2)));
  EXPECT_EQ(State().snapshot().id(), DigestId(1));
  EXPECT_THAT(State().candidates(), IsEmpty());
  EXPECT_FALSE(scheduler_->snapshots().Get(DigestId(1))->has_experience());
}

TEST_F(ClusterFreezeTest, APolicyThatBeginsToLearnCountsTheSnapshotThereIs) {
  Node a = Join("a");
  Make(CheckpointPolicy::MODE_AFTER_INVOCATIONS);
  Freeze(a, 1, 5);
  Set(CheckpointPolicy::MODE_LEARNED);
  EXPECT_THAT(State().freeze_after(), ElementsAre(1, 20, 100));
  EXPECT_THAT(Shares(), ElementsAre(Pair(DigestId(1), 1000)));
}

}  // namespace
}  // namespace thaw::scheduler
