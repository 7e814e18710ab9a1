#include "scheduler/membership/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/rpc/client.h"
#include "common/status/reasons.h"
#include "tests/scheduler/support/test_scheduler.h"

namespace thaw::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::DigestId;
using testing::FakeNodeLink;
using testing::ImageId;
using testing::TestScheduler;

// A node of the test: its stream and its end of it.
struct TestNode {
  Cluster::Session session;
  std::shared_ptr<FakeNodeLink> link = std::make_shared<FakeNodeLink>();
};

class ClusterTest : public ::testing::Test {
 protected:
  TestNode Join(const std::string& id, const std::vector<int>& images = {},
                const std::vector<common::v1::SnapshotInfo>& snapshots = {}) {
    TestNode node;
    v1::Register registration = TestScheduler::Registration(id);
    for (int image : images) registration.add_image_ids(ImageId(image));
    for (const auto& snapshot : snapshots) *registration.add_snapshots() = snapshot;
    node.session = scheduler_.Join(registration, node.link);
    return node;
  }
  // What was sent, a word each: "welcome", "state <function>", "removed <version>", "grant", "drop <snapshot>".
  static std::vector<std::string> Words(const std::vector<v1::SchedulerMessage>& messages) {
    std::vector<std::string> words;
    for (const auto& message : messages) {
      if (message.has_welcome()) words.push_back("welcome");
      if (message.has_version_state()) words.push_back(absl::StrCat("state ", message.version_state().spec().function_name()));
      if (message.has_version_removed()) words.push_back(absl::StrCat("removed ", message.version_removed().version_id()));
      if (message.has_checkpoint_grant()) words.push_back("grant");
      if (message.has_remove_snapshot()) words.push_back(absl::StrCat("drop ", message.remove_snapshot().snapshot_id()));
    }
    return words;
  }
  // The last state of a version that the node was sent since the last Take().
  static v1::VersionState LastState(FakeNodeLink& link) {
    v1::VersionState state;
    for (const auto& message : link.Take()) {
      if (message.has_version_state()) state = message.version_state();
    }
    return state;
  }
  static std::string Holders(const google::protobuf::RepeatedPtrField<v1::Holder>& holders) {
    std::string text;
    for (const auto& holder : holders) absl::StrAppend(&text, text.empty() ? "" : ",", holder.node_id(), "@", holder.address());
    return text;
  }
  v1::VersionState State(const common::v1::Function& function) {
    return scheduler_->cluster().GetVersion(function.version_id()).value_or(v1::VersionState());
  }

  TestScheduler scheduler_{{{}, absl::Seconds(10), 2}};
};

TEST_F(ClusterTest, ANodeIsWelcomedThenToldOfEveryVersion) {
  scheduler_.MakeFunction("app", "one", 1);
  scheduler_.MakeFunction("app", "two", 2);
  const TestNode a = Join("a");
  const auto sent = a.link->Take();
  ASSERT_GE(sent.size(), 3u);
  EXPECT_THAT(Words(sent), ::testing::UnorderedElementsAre("welcome", "state one", "state two"));
  ASSERT_TRUE(sent[0].has_welcome());
  EXPECT_EQ(FromProto(sent[0].welcome().heartbeat_interval()), absl::Seconds(1));
  EXPECT_EQ(FromProto(sent[0].welcome().lost_after()), absl::Seconds(5));
  // By these the node knows which of its own are of the past.
  EXPECT_THAT(sent[0].welcome().version_ids(),
              ::testing::UnorderedElementsAre(sent[1].version_state().spec().version_id(),
                                              sent[2].version_state().spec().version_id()));
}

TEST_F(ClusterTest, ANodeMustSayWhoAndWhereItIs) {
  v1::Register registration = TestScheduler::Registration("a/../b");
  EXPECT_EQ(scheduler_->cluster().Connect(registration, std::make_shared<FakeNodeLink>()).status().code(),
            absl::StatusCode::kInvalidArgument);
  registration = TestScheduler::Registration("a");
  registration.mutable_node()->set_address("nowhere");
  EXPECT_EQ(scheduler_->cluster().Connect(registration, std::make_shared<FakeNodeLink>()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ClusterTest, NodesAreToldOfNewChangedAndDeletedFunctions) {
  const TestNode a = Join("a");
  a.link->Take();
  const auto function = scheduler_.MakeFunction("app", "fn");
  EXPECT_THAT(Words(a.link->Take()), ElementsAre("state fn"));
  common::v1::Function update;
  update.set_id(function.id());
  update.set_memory_mib(256);
  const auto updated = scheduler_->catalogue().UpdateFunction(update);
  EXPECT_THAT(Words(a.link->Take()),
              ::testing::UnorderedElementsAre("state fn", "removed " + function.version_id()));
  ASSERT_TRUE(scheduler_->catalogue().DeleteFunction(function.id()).ok());
  EXPECT_THAT(Words(a.link->Take()), ElementsAre("removed " + updated->version_id()));
  EXPECT_EQ(ReasonOf(scheduler_->cluster().GetVersion(function.version_id()).status()), reason::kFunctionNotFound);
}

TEST_F(ClusterTest, ImageHoldersAreReadyNodesWithTheImage) {
  const auto function = scheduler_.MakeFunction("app", "fn", 1);
  const TestNode a = Join("a", {1});
  const TestNode b = Join("b", {2});
  EXPECT_EQ(Holders(State(function).image_holders()), "a@a.example:7300");
  b.link->Take();
  v1::NodeMessage held;
  held.mutable_image_held()->set_image_id(ImageId(1));
  ASSERT_TRUE(scheduler_->cluster().OnMessage(b.session, held).ok());
  EXPECT_EQ(Holders(LastState(*b.link).image_holders()), "a@a.example:7300,b@b.example:7300");
  EXPECT_EQ(Holders(LastState(*a.link).image_holders()), "a@a.example:7300,b@b.example:7300");
  scheduler_->cluster().Disconnect(b.session);
  EXPECT_EQ(Holders(LastState(*a.link).image_holders()), "a@a.example:7300");
}

TEST_F(ClusterTest, WhatANodeKnowsAlreadyIsNotSentAgain) {
  scheduler_.MakeFunction("app", "fn", 1);
  const TestNode a = Join("a", {1});
  a.link->Take();
  for (int i = 0; i < 5; ++i) {
    scheduler_.clock.Advance(absl::Seconds(1));
    ASSERT_TRUE(scheduler_.Heartbeat(a.session).ok());
  }
  const TestNode b = Join("b");
  EXPECT_THAT(Words(a.link->Take()), IsEmpty());
}

TEST_F(ClusterTest, APublishedSnapshotIsOfferedToAllWithItsHoldersAndSlots) {
  const auto function = scheduler_.MakeFunction("app", "fn");
  const TestNode a = Join("a"), b = Join("b");
  EXPECT_FALSE(State(function).has_snapshot());
  EXPECT_EQ(State(function).desired_slots(), 0u);
  EXPECT_TRUE(scheduler_.AskToFreeze(a.session, *a.link, function.version_id()).granted());
  b.link->Take();
  ASSERT_TRUE(scheduler_.Publish(a.session, TestScheduler::Snapshot(10, function.version_id())).ok());
  const v1::VersionState state = LastState(*b.link);
  EXPECT_EQ(state.snapshot().id(), DigestId(10));
  EXPECT_EQ(state.snapshot().node_id(), "a");
  EXPECT_EQ(state.desired_slots(), 2u);
  EXPECT_EQ(Holders(state.snapshot_holders()), "a@a.example:7300");
  ASSERT_TRUE(scheduler_.Hold(b.session, TestScheduler::Snapshot(10, function.version_id())).ok());
  EXPECT_EQ(Holders(LastState(*a.link).snapshot_holders()), "a@a.example:7300,b@b.example:7300");
}

TEST_F(ClusterTest, ASuspectHolderIsNotOfferedButTheSnapshotStays) {
  const auto function = scheduler_.MakeFunction("app", "fn");
  const TestNode a = Join("a"), b = Join("b");
  scheduler_.Publish(a.session, TestScheduler::Snapshot(10, function.version_id())).IgnoreError();
  scheduler_->cluster().Disconnect(a.session);
  EXPECT_EQ(State(function).snapshot().id(), DigestId(10));
  EXPECT_EQ(State(function).snapshot_holders_size(), 0);
  EXPECT_EQ(State(function).desired_slots(), 2u);
}

TEST_F(ClusterTest, ADrainingHolderStillGivesItsCopyAway) {
  const auto function = scheduler_.MakeFunction("app", "fn", 1);
  const TestNode a = Join("a", {1});
  scheduler_.Publish(a.session, TestScheduler::Snapshot(10, function.version_id())).IgnoreError();
  v1::NodeMessage draining;
  draining.mutable_draining();
  ASSERT_TRUE(scheduler_->cluster().OnMessage(a.session, draining).ok());
  EXPECT_EQ(State(function).snapshot_holders_size(), 1);
  EXPECT_EQ(State(function).image_holders_size(), 0);
}

TEST_F(ClusterTest, ASnapshotWhoseHoldersAreAllLostIsNoneAndMayBeMadeAnew) {
  const auto function = scheduler_.MakeFunction("app", "fn");
  const TestNode a = Join("a");
  TestNode b = Join("b");
  scheduler_.Publish(a.session, TestScheduler::Snapshot(10, function.version_id())).IgnoreError();
  EXPECT_FALSE(scheduler_.AskToFreeze(b.session, *b.link, function.version_id()).granted());
  scheduler_->cluster().Disconnect(a.session);
  for (int i = 0; i < 6; ++i) {
    scheduler_.clock.Advance(absl::Seconds(1));
    ASSERT_TRUE(scheduler_.Heartbeat(b.session).ok());
  }
  EXPECT_FALSE(State(function).has_snapshot());
  EXPECT_EQ(State(function).desired_slots(), 0u);
  // It is still on record: its node may come back with it.
  EXPECT_TRUE(scheduler_->snapshots().OfVersion(function.version_id()).has_value());
  EXPECT_TRUE(scheduler_.AskToFreeze(b.session, *b.link, function.version_id()).granted());
  ASSERT_TRUE(scheduler_.Publish(b.session, TestScheduler::Snapshot(11, function.version_id())).ok());
  EXPECT_EQ(State(function).snapshot().id(), DigestId(11));
  const TestNode back = Join("a", {}, {TestScheduler::Snapshot(10, function.version_id())});
  EXPECT_THAT(Words(back.link->Take()), ElementsAre("welcome", "state fn", "drop " + DigestId(10)));
}

TEST_F(ClusterTest, ALostHolderThatComesBackMakesItsSnapshotUsableAgain) {
  const auto function = scheduler_.MakeFunction("app", "fn");
  const TestNode a = Join("a");
  const auto snapshot = TestScheduler::Snapshot(10, function.version_id());
  scheduler_.Publish(a.session, snapshot).IgnoreError();
  scheduler_.clock.Advance(absl::Seconds(6));
  EXPECT_FALSE(State(function).has_snapshot());
  Join("a", {}, {snapshot});
  EXPECT_EQ(State(function).snapshot().id(), DigestId(10));
}

TEST_F(ClusterTest, ADamagedCopyIsStruckOutAndTheLastOneFreesTheVersion) {
  const auto function = scheduler_.MakeFunction("app", "fn");
  const TestNode a = Join("a"), b = Join("b");
  const auto snapshot = TestScheduler::Snapshot(10, function.version_id());
  scheduler_.Publish(a.session, snapshot).IgnoreError();
  scheduler_.Hold(b.session, snapshot).IgnoreError();
  ASSERT_TRUE(scheduler_.Gone(a.session, DigestId(10)).ok());
  EXPECT_EQ(Holders(State(function).snapshot_holders()), "b@b.example:7300");
  EXPECT_FALSE(scheduler_.AskToFreeze(a.session, *a.link, function.version_id()).granted());
  ASSERT_TRUE(scheduler_.Gone(b.session, DigestId(10)).ok());
  EXPECT_FALSE(State(function).has_snapshot());
  EXPECT_THAT(scheduler_->snapshots().List(""), IsEmpty());
  EXPECT_TRUE(scheduler_.AskToFreeze(a.session, *a.link, function.version_id()).granted());
}

TEST_F(ClusterTest, ADeletedSnapshotIsWithdrawnFromAllAndItsHoldersRemoveIt) {
  const auto function = scheduler_.MakeFunction("app", "fn");
  const TestNode a = Join("a"), b = Join("b");
  scheduler_.Publish(a.session, TestScheduler::Snapshot(10, function.version_id())).IgnoreError();
  a.link->Take();
  b.link->Take();
  ASSERT_TRUE(scheduler_->cluster().DeleteSnapshot(DigestId(10)).ok());
  EXPECT_THAT(Words(a.link->Take()), ElementsAre("state fn", "drop " + DigestId(10)));
  EXPECT_THAT(Words(b.link->Take()), ElementsAre("state fn"));
  EXPECT_EQ(ReasonOf(scheduler_->cluster().DeleteSnapshot(DigestId(10))), reason::kSnapshotNotFound);
}

TEST_F(ClusterTest, ASecondSnapshotOfAVersionIsRefusedToItsMaker) {
  const auto function = scheduler_.MakeFunction("app", "fn");
  const TestNode a = Join("a"), b = Join("b");
  scheduler_.Publish(a.session, TestScheduler::Snapshot(10, function.version_id())).IgnoreError();
  b.link->Take();
  ASSERT_TRUE(scheduler_.Publish(b.session, TestScheduler::Snapshot(11, function.version_id())).ok());
  EXPECT_THAT(Words(b.link->Take()), ElementsAre("drop " + DigestId(11)));
  EXPECT_EQ(State(function).snapshot().id(), DigestId(10));
}

TEST_F(ClusterTest, ACheckpointOfAVersionThatChangedMeanwhileIsRefusedToItsMaker) {
  const auto function = scheduler_.MakeFunction("app", "fn");
  const TestNode a = Join("a");
  EXPECT_TRUE(scheduler_.AskToFreeze(a.session, *a.link, function.version_id()).granted());
  common::v1::Function update;
  update.set_id(function.id());
  update.set_memory_mib(256);
  ASSERT_TRUE(scheduler_->catalogue().UpdateFunction(update).ok());
  a.link->Take();
  ASSERT_TRUE(scheduler_.Publish(a.session, TestScheduler::Snapshot(10, function.version_id())).ok());
  EXPECT_THAT(Words(a.link->Take()), ElementsAre("drop " + DigestId(10)));
  EXPECT_THAT(scheduler_->snapshots().List(""), IsEmpty());
  EXPECT_FALSE(scheduler_.AskToFreeze(a.session, *a.link, function.version_id()).granted());
}

TEST_F(ClusterTest, AFunctionThatIsNeverToBeFrozenIsNotAndItsOldSnapshotRests) {
  const auto function = scheduler_.MakeFunction("app", "fn");
  const TestNode a = Join("a");
  scheduler_.Publish(a.session, TestScheduler::Snapshot(10, function.version_id())).IgnoreError();
  common::v1::Function update;
  update.set_id(function.id());
  update.mutable_checkpoint()->set_mode(common::v1::CheckpointPolicy::MODE_NEVER);
  EXPECT_EQ(scheduler_->catalogue().UpdateFunction(update)->version_id(), function.version_id());
  EXPECT_FALSE(State(function).has_snapshot());
  const auto grant = scheduler_.AskToFreeze(a.session, *a.link, function.version_id());
  EXPECT_FALSE(grant.granted());
  EXPECT_FALSE(grant.has_retry_after());
  EXPECT_EQ(scheduler_.Metric("thaw_scheduler_checkpoint_grants_total{outcome=\"refused_policy\"}"), 1);
  update.mutable_checkpoint()->set_mode(common::v1::CheckpointPolicy::MODE_AFTER_INVOCATIONS);
  ASSERT_TRUE(scheduler_->catalogue().UpdateFunction(update).ok());
  EXPECT_TRUE(State(function).has_snapshot());
}

TEST_F(ClusterTest, AGrantIsAnsweredWithItsTimeAndARefusalWithWhenToAskAgain) {
  const auto function = scheduler_.MakeFunction("app", "fn");
  const TestNode a = Join("a"), b = Join("b");
  const auto grant = scheduler_.AskToFreeze(a.session, *a.link, function.version_id(), "i7");
  EXPECT_TRUE(grant.granted());
  EXPECT_EQ(grant.instance_id(), "i7");
  EXPECT_EQ(FromProto(grant.granted_at()), scheduler_.clock.Now());
  const auto refused = scheduler_.AskToFreeze(b.session, *b.link, function.version_id(), "i8");
  EXPECT_FALSE(refused.granted());
  EXPECT_EQ(FromProto(refused.retry_after()), absl::Seconds(5));
  EXPECT_THAT(refused.reason(), HasSubstr("i7"));
}

TEST_F(ClusterTest, CheckpointErrorsAreKeptOverARestartAndForgottenWithTheSnapshotThatWorked) {
  const auto function = scheduler_.MakeFunction("app", "fn");
  TestNode a = Join("a");
  ASSERT_TRUE(scheduler_.AskToFreeze(a.session, *a.link, function.version_id()).granted());
  ASSERT_TRUE(scheduler_.FailCheckpoint(a.session, function.version_id(), "disk full").ok());
  EXPECT_EQ(scheduler_->cluster().CheckpointErrorOf(function.version_id()), "disk full (1 of 5 tries)");
  scheduler_.Restart();
  EXPECT_EQ(scheduler_->cluster().CheckpointErrorOf(function.version_id()), "disk full (1 of 5 tries)");
  a = Join("a");
  EXPECT_FALSE(scheduler_.AskToFreeze(a.session, *a.link, function.version_id()).granted());
  scheduler_.clock.Advance(absl::Seconds(6));
  a = Join("a");
  EXPECT_TRUE(scheduler_.AskToFreeze(a.session, *a.link, function.version_id()).granted());
  ASSERT_TRUE(scheduler_.Publish(a.session, TestScheduler::Snapshot(10, function.version_id())).ok());
  EXPECT_EQ(scheduler_->cluster().CheckpointErrorOf(function.version_id()), "");
  EXPECT_TRUE(scheduler_.store.Load()->checkpoint_failures.empty());
}

TEST_F(ClusterTest, AGrantThatRanOutIsKeptAsAFailure) {
  const auto function = scheduler_.MakeFunction("app", "fn");
  TestNode a = Join("a");
  ASSERT_TRUE(scheduler_.AskToFreeze(a.session, *a.link, function.version_id()).granted());
  for (int i = 0; i < 121; ++i) {
    scheduler_.clock.Advance(absl::Seconds(1));
    ASSERT_TRUE(scheduler_.Heartbeat(a.session).ok());
  }
  ASSERT_EQ(scheduler_.store.Load()->checkpoint_failures.size(), 1u);
  EXPECT_THAT(scheduler_.store.Load()->checkpoint_failures[0].last_error, HasSubstr("did not report"));
}

TEST_F(ClusterTest, ALostNodesGrantIsGivenToAnother) {
  const auto function = scheduler_.MakeFunction("app", "fn");
  const TestNode a = Join("a");
  const TestNode b = Join("b");
  ASSERT_TRUE(scheduler_.AskToFreeze(a.session, *a.link, function.version_id()).granted());
  scheduler_->cluster().Disconnect(a.session);
  EXPECT_FALSE(scheduler_.AskToFreeze(b.session, *b.link, function.version_id()).granted());
  for (int i = 0; i < 6; ++i) {
    scheduler_.clock.Advance(absl::Seconds(1));
    ASSERT_TRUE(scheduler_.Heartbeat(b.session).ok());
  }
  EXPECT_TRUE(scheduler_.AskToFreeze(b.session, *b.link, function.version_id()).granted());
}

TEST_F(ClusterTest, ASecondStreamOfANodeReplacesTheFirst) {
  const TestNode first = Join("a");
  const TestNode second = Join("a");
  ASSERT_TRUE(first.link->closed().has_value());
  EXPECT_EQ(first.link->closed()->code(), absl::StatusCode::kAborted);
  EXPECT_FALSE(second.link->closed().has_value());
  scheduler_->cluster().Disconnect(first.session);
  EXPECT_EQ(scheduler_->nodes().StateOf("a"), common::v1::NODE_STATE_READY);
  second.link->Take();
  scheduler_.MakeFunction("app", "fn");
  EXPECT_THAT(Words(second.link->Take()), ElementsAre("state fn"));
}

TEST_F(ClusterTest, ASilentNodesOpenStreamIsClosedWhenItIsLost) {
  const TestNode a = Join("a");
  scheduler_.clock.Advance(absl::Seconds(4));
  EXPECT_FALSE(a.link->closed().has_value());
  scheduler_.clock.Advance(absl::Seconds(2));
  ASSERT_TRUE(a.link->closed().has_value());
  EXPECT_EQ(a.link->closed()->code(), absl::StatusCode::kUnavailable);
}

TEST_F(ClusterTest, ANodeThatStillRunsARemovedVersionIsToldOncePerStream) {
  const TestNode a = Join("a");
  a.link->Take();
  v1::Heartbeat heartbeat;
  heartbeat.add_versions()->set_version_id(DigestId(77));
  ASSERT_TRUE(scheduler_.Heartbeat(a.session, heartbeat).ok());
  ASSERT_TRUE(scheduler_.Heartbeat(a.session, heartbeat).ok());
  EXPECT_THAT(Words(a.link->Take()), ElementsAre("removed " + DigestId(77)));
}

TEST_F(ClusterTest, AVersionThatComesBackAndGoesAgainIsToldEachTime) {
  const TestNode a = Join("a");
  const auto function = scheduler_.MakeFunction("app", "fn");
  const auto set_memory = [&](std::uint32_t mib) {
    common::v1::Function update;
    update.set_id(function.id());
    update.set_memory_mib(mib);
    return scheduler_->catalogue().UpdateFunction(update)->version_id();
  };
  const std::string other = set_memory(256);
  EXPECT_EQ(set_memory(128), function.version_id());
  a.link->Take();
  EXPECT_EQ(set_memory(256), other);
  EXPECT_THAT(Words(a.link->Take()),
              ::testing::UnorderedElementsAre("state fn", "removed " + function.version_id()));
}

TEST_F(ClusterTest, ARegistrationWithCopiesOfDeadVersionsIsToldToDropThem) {
  const TestNode a = Join("a", {}, {TestScheduler::Snapshot(10, DigestId(77))});
  EXPECT_THAT(Words(a.link->Take()), ElementsAre("welcome", "removed " + DigestId(77), "drop " + DigestId(10)));
}

TEST_F(ClusterTest, ARegistrationsNonsenseSnapshotsAreIgnored) {
  common::v1::SnapshotInfo nonsense;
  nonsense.set_id("../../x");
  const TestNode a = Join("a", {}, {nonsense});
  EXPECT_THAT(Words(a.link->Take()), ElementsAre("welcome"));
}

TEST_F(ClusterTest, ASecondRegistrationOnOneStreamIsAnError) {
  const TestNode a = Join("a");
  v1::NodeMessage message;
  *message.mutable_register_() = TestScheduler::Registration("a");
  EXPECT_EQ(scheduler_->cluster().OnMessage(a.session, message).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(scheduler_->cluster().OnMessage(a.session, v1::NodeMessage()).ok());
}

TEST_F(ClusterTest, AForgottenNodeIsAHolderNoMore) {
  const auto function = scheduler_.MakeFunction("app", "fn");
  const TestNode a = Join("a");
  scheduler_.Publish(a.session, TestScheduler::Snapshot(10, function.version_id())).IgnoreError();
  scheduler_.clock.Advance(absl::Minutes(61));
  EXPECT_THAT(scheduler_->snapshots().List(""), IsEmpty());
  EXPECT_THAT(scheduler_->nodes().List(), IsEmpty());
  EXPECT_TRUE(scheduler_.store.Load()->nodes.empty());
}

TEST_F(ClusterTest, ARestartedSchedulerHasItsCatalogueAndWaitsForItsNodes) {
  const auto function = scheduler_.MakeFunction("app", "fn", 1);
  TestNode a = Join("a", {1});
  const auto snapshot = TestScheduler::Snapshot(10, function.version_id());
  scheduler_.Publish(a.session, snapshot).IgnoreError();
  scheduler_.Restart();
  EXPECT_EQ(scheduler_->catalogue().GetFunction("", "app", "fn")->SerializeAsString(), function.SerializeAsString());
  EXPECT_EQ(scheduler_->snapshots().List("").size(), 1u);
  EXPECT_EQ(State(function).snapshot().id(), DigestId(10));
  EXPECT_EQ(scheduler_->nodes().StateOf("a"), common::v1::NODE_STATE_SUSPECT);
  a = Join("a", {1}, {snapshot});
  const auto sent = a.link->Take();
  EXPECT_THAT(Words(sent), ::testing::Not(::testing::Contains("drop " + DigestId(10))));
  EXPECT_EQ(Holders(State(function).snapshot_holders()), "a@a.example:7300");
}

TEST_F(ClusterTest, WhenTheStoreFailsARegistrationIsRefusedAndAFailureStillCounts) {
  const auto function = scheduler_.MakeFunction("app", "fn");
  const TestNode a = Join("a");
  ASSERT_TRUE(scheduler_.AskToFreeze(a.session, *a.link, function.version_id()).granted());
  scheduler_.store.FailApply(absl::UnavailableError("no disk"));
  EXPECT_EQ(scheduler_->cluster()
                .Connect(TestScheduler::Registration("b"), std::make_shared<FakeNodeLink>())
                .status()
                .code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(scheduler_->nodes().StateOf("b"), common::v1::NODE_STATE_UNSPECIFIED);
  EXPECT_FALSE(scheduler_.Publish(a.session, TestScheduler::Snapshot(10, function.version_id())).ok());
  EXPECT_THAT(scheduler_->snapshots().List(""), IsEmpty());
  EXPECT_TRUE(scheduler_.FailCheckpoint(a.session, function.version_id(), "criu failed").ok());
  EXPECT_FALSE(scheduler_->cluster().CheckpointErrorOf(function.version_id()).empty());
}

TEST_F(ClusterTest, AStoppingClusterClosesItsStreamsAndTakesNoNewOnes) {
  const TestNode a = Join("a");
  scheduler_->Stop();
  EXPECT_EQ(a.link->closed()->code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(scheduler_->cluster()
                .Connect(TestScheduler::Registration("b"), std::make_shared<FakeNodeLink>())
                .status()
                .code(),
            absl::StatusCode::kUnavailable);
  scheduler_.clock.Advance(absl::Minutes(1));
  EXPECT_EQ(scheduler_.clock.pending_timers(), 0u);
}

TEST(SchedulerTest, WhenTheProcessStoodStillNobodyIsLostForIt) {
  TestScheduler scheduler;
  scheduler.MakeFunction("app", "fn");
  const auto session = scheduler.Join("a");
  const auto lease = scheduler.Acquire("app/fn");
  // A clock that jumps is what a suspended process sees: the next tick comes late.
  scheduler.clock.Jump(absl::Minutes(5));
  scheduler.clock.Advance(absl::Seconds(1));
  EXPECT_EQ(scheduler->nodes().StateOf("a"), common::v1::NODE_STATE_READY);
  EXPECT_THAT(scheduler.Renew({lease->lease_id()}), ElementsAre(lease->lease_id()));
  // And from there on time counts as ever.
  scheduler.clock.Advance(absl::Seconds(6));
  EXPECT_EQ(scheduler->nodes().StateOf("a"), common::v1::NODE_STATE_LOST);
}

TEST_F(ClusterTest, ARestoreTimeValueReachesNodesWithoutANewVersion) {
  auto function = scheduler_.MakeFunction("app", "one", 1);
  common::v1::Function update;
  update.set_id(function.id());
  (*update.mutable_config())["LEVEL"] = "info";
  (*update.mutable_config())["FIXED"] = "1";
  update.mutable_freeze()->add_restore_time_config("LEVEL");
  function = *scheduler_->catalogue().UpdateFunction(update);
  const TestNode a = Join("a");
  const v1::VersionState before = LastState(*a.link);
  EXPECT_EQ(before.restore_time_config().at("LEVEL"), "info");
  EXPECT_EQ(before.spec().config().count("LEVEL"), 0u);
  EXPECT_EQ(before.spec().config().at("FIXED"), "1");
  update.Clear();
  update.set_id(function.id());
  (*update.mutable_config())["LEVEL"] = "debug";
  EXPECT_EQ(scheduler_->catalogue().UpdateFunction(update)->version_id(), function.version_id());
  EXPECT_EQ(LastState(*a.link).restore_time_config().at("LEVEL"), "debug");
  // The app's value counts where the function has none.
  (*update.mutable_config())["LEVEL"] = "";
  ASSERT_TRUE(scheduler_->catalogue().UpdateFunction(update).ok());
  common::v1::App app;
  app.set_name("app");
  (*app.mutable_config())["LEVEL"] = "trace";
  ASSERT_TRUE(scheduler_->catalogue().UpdateApp(app).ok());
  EXPECT_EQ(LastState(*a.link).restore_time_config().at("LEVEL"), "trace");
}

}  // namespace
}  // namespace thaw::scheduler
