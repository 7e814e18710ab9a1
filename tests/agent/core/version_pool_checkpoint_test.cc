// Asking for a checkpoint, and freezing: which instance, when, and who waits for it.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/pool/stand_in.h"
#include "agent/pool/version_pool.h"
#include "common/status/reasons.h"
#include "tests/agent/core/version_pool_fixture.h"

namespace thaw::agent {
namespace {

using testing::FakeFunction;

TEST_F(VersionPoolTest, CheckpointIsAskedForAfterTheFifthAnsweredCallOnly) {
  FakeFunction& function = InstanceAfterCalls(4);
  EXPECT_TRUE(wanted_.empty());
  // A call that breaks the contract, or idle time, is no answered invocation.
  clock_.Advance(kIdleTimeout / 2);
  EXPECT_TRUE(wanted_.empty());
  Warm(function);
  ASSERT_EQ(wanted_.size(), 1u);
  Warm(function);
  EXPECT_EQ(wanted_.size(), 1u) << "asked once";
}

TEST_F(VersionPoolTest, CallDuringAFreezeWaitsForItAndIsNotStartedCold) {
  FakeFunction& function = InstanceAfterCalls(5);
  Grant();
  EXPECT_EQ(pool_->Load().checkpointing, 1u);
  const auto call = Invoke();
  EXPECT_FALSE(call->has_value());
  EXPECT_EQ(starts_.RunAll(), 0);
  EXPECT_EQ(checkpoints_.RunAll(), 1);
  EXPECT_EQ(checkpointer_.freezes, 1);
  EXPECT_EQ(checkpointer_.answered, 5u);
  function.AnswerOk("after");
  ASSERT_TRUE(Succeeded(call));
  EXPECT_EQ((**call)->start.kind, StartKind::kWarm);
  ASSERT_EQ(finished_.size(), 1u);
  ASSERT_TRUE(finished_[0].ok());
  EXPECT_EQ(finished_[0]->id(), "snap1");
}

TEST_F(VersionPoolTest, WithASnapshotUnderLoadAnotherInstanceServesBeforeTheOnlyOneIsFrozen) {
  FakeFunction& first = InstanceAfterCalls(5);
  pool_->Update(WithSnapshot("snap0", MakeState()));
  Grant();
  EXPECT_EQ(pool_->Load().starting, 1u);
  EXPECT_EQ(pool_->Load().checkpointing, 0u);
  Warm(first);
  const auto under_way = Invoke();
  EXPECT_EQ(starts_.RunAll(), 1) << "one stand-in, however many calls come meanwhile";
  EXPECT_EQ(pool_->Load().checkpointing, 0u) << "not in the middle of its call";
  first.AnswerOk();
  EXPECT_TRUE(under_way->has_value());
  ASSERT_EQ(starter_.functions.size(), 2u);
  FakeFunction& second = *starter_.functions[1];
  const auto one = Invoke();
  const auto two = Invoke();
  EXPECT_EQ(second.pending.size(), 1u) << "the stand-in comes first";
  clock_.Advance(kAlone - absl::Milliseconds(1));
  first.AnswerOk();
  EXPECT_TRUE(two->has_value()) << "what the stand-in had no time for, the other took";
  second.AnswerOk();
  EXPECT_TRUE(one->has_value());
  clock_.Advance(kAlone - absl::Milliseconds(1));
  EXPECT_EQ(pool_->Load().checkpointing, 0u) << "the stand-in has not served alone yet";
  clock_.Advance(kAlone);
  EXPECT_EQ(pool_->Load().checkpointing, 1u);
  const auto during = Invoke();
  second.AnswerOk();
  EXPECT_TRUE(during->has_value()) << "the stand-in has it; nobody waits for the freeze";
  EXPECT_EQ(checkpoints_.RunAll(), 1);
  EXPECT_EQ(checkpointer_.freezes, 1);
}

TEST_F(VersionPoolTest, UnderManyCallsTheFreezeBeginsAlthoughTheInstanceStillHelpsOutNowAndThen) {
  FakeFunction& first = InstanceAfterCalls(5);
  pool_->Update(WithSnapshot("snap0", MakeState()));
  Grant();
  EXPECT_EQ(starts_.RunAll(), 1);
  FakeFunction& second = *starter_.functions[1];
  // Nineteen calls that the stand-in takes, then two at once: the second of them is for the other.
  const auto twenty_one_calls = [&] {
    for (int i = 0; i < 19; ++i) {
      const auto call = Invoke();
      second.AnswerOk();
      ASSERT_TRUE(call->has_value());
    }
    const auto one = Invoke();
    const auto two = Invoke();
    second.AnswerOk();
    first.AnswerOk();
    ASSERT_TRUE(one->has_value() && two->has_value());
  };
  twenty_one_calls();
  EXPECT_EQ(pool_->Load().checkpointing, 0u) << "not counted for long enough";
  clock_.Advance(kAlone - absl::Milliseconds(1));
  twenty_one_calls();
  EXPECT_EQ(pool_->Load().checkpointing, 0u);
  clock_.Advance(absl::Milliseconds(1));
  EXPECT_EQ(pool_->Load().checkpointing, 1u) << "2 calls of 42 are no more than a twentieth";
}

TEST_F(VersionPoolTest, AStartIsToldWhatReplacedItsSnapshot) {
  pool_->Update(WithSnapshot("snap1", MakeState()));
  Invoke();
  starts_.RunAll();
  ASSERT_NE(starter_.replaced, nullptr);
  EXPECT_FALSE(starter_.replaced("snap1").has_value()) << "it stands";
  pool_->Update(WithSnapshot("snap2", MakeState()));
  const auto newest = starter_.replaced("snap1");
  ASSERT_TRUE(newest.has_value());
  EXPECT_EQ(newest->snapshot().id(), "snap2");
  pool_->Update(MakeState());
  EXPECT_FALSE(starter_.replaced("snap2").has_value()) << "removed, and nothing came in its place";
}

TEST_F(VersionPoolTest, AStandInThatCantBeStartedKeepsNobodyFromFreezingAndFailsNoCall) {
  FakeFunction& first = InstanceAfterCalls(5);
  pool_->Update(WithSnapshot("snap0", MakeState()));
  Grant();
  const auto served = Invoke();
  const auto waiting = Invoke();
  starter_.next_result = absl::InternalError("no");
  EXPECT_EQ(starts_.RunAll(), 1);
  first.AnswerOk();
  EXPECT_TRUE(Succeeded(served));
  EXPECT_FALSE(waiting->has_value()) << "it waits for the freeze";
  EXPECT_EQ(checkpoints_.RunAll(), 1);
  first.AnswerOk();
  EXPECT_TRUE(Succeeded(waiting));
}

TEST_F(VersionPoolTest, BusyInstanceIsFrozenOnlyAfterItsCall) {
  FakeFunction& function = InstanceAfterCalls(5);
  const auto call = Invoke();
  Grant();
  EXPECT_EQ(checkpoints_.RunAll(), 0);
  function.AnswerOk();
  EXPECT_TRUE(call->has_value());
  EXPECT_EQ(checkpoints_.RunAll(), 1);
  EXPECT_EQ(checkpointer_.answered, 6u);
}

TEST_F(VersionPoolTest, RefusedCheckpointLeavesTheInstanceServing) {
  FakeFunction& function = InstanceAfterCalls(5);
  checkpointer_.freeze_result = WithReason(absl::FailedPreconditionError("open socket"), reason::kCheckpointRefused);
  Grant();
  checkpoints_.RunAll();
  ASSERT_EQ(finished_.size(), 1u);
  EXPECT_FALSE(finished_[0].ok());
  EXPECT_EQ(pool_->Load().idle, 1u);
  Warm(function);
  EXPECT_EQ(starter_.starts, 1);
}

TEST_F(VersionPoolTest, InstanceThatItsFreezeLostIsReplaced) {
  InstanceAfterCalls(5);
  checkpointer_.freeze_result = absl::DeadlineExceededError("criu hangs");
  checkpointer_.after = InstanceAfter::kLost;
  Grant();
  const auto call = Invoke();
  checkpoints_.RunAll();
  EXPECT_EQ(starts_.RunAll(), 1) << "the call that waited for the freeze gets a new instance";
  starter_.functions[1]->AnswerOk();
  EXPECT_TRUE(Succeeded(call));
}

TEST_F(VersionPoolTest, DeniedCheckpointIsAskedForAgainAfterThePause) {
  FakeFunction& function = InstanceAfterCalls(5);
  Deny(absl::Seconds(5));
  Warm(function);
  EXPECT_EQ(wanted_.size(), 1u);
  clock_.Advance(absl::Seconds(5));
  Warm(function);
  EXPECT_EQ(wanted_.size(), 2u);
}

TEST_F(VersionPoolTest, FunctionsOwnWishForACheckpointNeedsNoFiveCalls) {
  InvokeAndStart();
  Wish();
  ASSERT_EQ(wanted_.size(), 1u);
  Grant();
  EXPECT_EQ(checkpoints_.RunAll(), 0) << "a call is under way";
  starter_.functions[0]->AnswerOk();
  EXPECT_EQ(checkpoints_.RunAll(), 1);
  EXPECT_EQ(checkpointer_.freezes, 1);
  EXPECT_TRUE(Orders().empty()) << "nothing is refused";
  Wish();
  EXPECT_EQ(Orders(), std::vector<std::string>{"refuse: function hello has a snapshot already: snap1"});
}

TEST_F(VersionPoolTest, RefusedWishIsToldWithItsReason) {
  Make(WithMode(Policy::MODE_NEVER, MakeState()));
  InvokeAndStart();
  Wish();
  EXPECT_TRUE(wanted_.empty());
  EXPECT_EQ(Orders(),
            std::vector<std::string>{
                "refuse: function hello is never to be frozen: change its policy with `thaw functions update`"});
}

TEST_F(VersionPoolTest, WishBeforeTheInstanceHasItsSlotIsRefusedOnceItHasOne) {
  slots_.WishAtOnce();
  Make(WithMode(Policy::MODE_NEVER, MakeState()));
  const auto call = InvokeAndStart();
  EXPECT_EQ(Orders(),
            std::vector<std::string>{
                "refuse: function hello is never to be frozen: change its policy with `thaw functions update`"});
  starter_.functions.at(0)->AnswerOk();
  EXPECT_TRUE(Succeeded(call));
}

TEST_F(VersionPoolTest, WishBeforeTheInstanceHasItsSlotIsGrantedOnceItHasOne) {
  slots_.WishAtOnce();
  InvokeAndStart();
  ASSERT_EQ(wanted_.size(), 1u);
  Grant();
  starter_.functions.at(0)->AnswerOk();
  EXPECT_EQ(checkpoints_.RunAll(), 1);
  EXPECT_EQ(checkpointer_.freezes, 1);
}

TEST_F(VersionPoolTest, WishOfAnAdoptedInstanceIsHeardFromTheFirstMomentOn) {
  slots_.WishAtOnce();
  auto slot = *slots_.Create(MakeState(), absl::InfiniteFuture());
  pool_->AdoptInstance("i1", std::move(slot),
                       std::make_unique<testing::FakeFunctionConnection>(std::make_shared<FakeFunction>()), 3, false);
  EXPECT_EQ(wanted_, std::vector<std::string>{"i1"});
  EXPECT_EQ(wanted_answered_, 3u);
}

TEST_F(VersionPoolTest, WishThatTheClusterDeniesOrWhoseFreezeFailsIsToldSo) {
  FakeFunction& function = InstanceAfterCalls(1);
  Wish();
  Deny(absl::Seconds(5), "another is being frozen");
  Wish();
  clock_.Advance(absl::Seconds(5));
  Wish();
  checkpointer_.freeze_result = WithReason(absl::FailedPreconditionError("open socket"), reason::kCheckpointRefused);
  Grant();
  checkpoints_.RunAll();
  EXPECT_EQ(Orders(),
            (std::vector<std::string>{"refuse: the cluster does not want one of this function now: another is being frozen",
                                      "refuse: the cluster has refused one of function hello a moment ago: try again later",
                                      "refuse: open socket"}));
  Warm(function);
}

TEST_F(VersionPoolTest, CheckpointRequestThatASchedulerNeverHeardIsMadeAgain) {
  FakeFunction& function = InstanceAfterCalls(5);
  ASSERT_EQ(wanted_.size(), 1u);
  pool_->ForgetCheckpointRequest();
  Warm(function);
  EXPECT_EQ(wanted_.size(), 2u);
  // One that was granted is under way and not asked for again.
  Grant();
  pool_->ForgetCheckpointRequest();
  checkpoints_.RunAll();
  EXPECT_EQ(finished_.size(), 1u);
}

}  // namespace
}  // namespace thaw::agent
