#include "agent/pool/stand_in.h"
#include "agent/pool/version_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/instance/instance.h"
#include "agent/container/slot_spec.h"
#include "agent/pool/pool.h"
#include "agent/recovery/recovery.h"
#include "agent/start/given.h"
#include "common/log/log.h"
#include "common/rpc/client.h"
#include "common/status/reasons.h"
#include "prometheus/registry.h"
#include "tests/agent/core/version_pool_suite.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_container_runtime.h"
#include "tests/fakes/fake_dialer.h"
#include "tests/fakes/fake_function.h"
#include "tests/fakes/fake_slots.h"

namespace thaw::agent {
namespace {

TEST_F(VersionPoolTest, FirstCallIsColdAndTheSecondWarm) {
  const auto first = Invoke();
  EXPECT_FALSE(first->has_value());
  EXPECT_EQ(starts_.RunAll(), 1);
  starter_.functions[0]->AnswerOk("one");
  ASSERT_TRUE(first->has_value() && (*first)->ok());
  EXPECT_EQ((**first)->start.kind, StartKind::kCold);
  EXPECT_EQ((**first)->start.phases.restore, absl::Milliseconds(40));
  EXPECT_EQ((**first)->reply.body, "one");

  const auto second = Invoke();
  starter_.functions[0]->AnswerOk("two");
  ASSERT_TRUE(second->has_value() && (*second)->ok());
  EXPECT_EQ((**second)->start.kind, StartKind::kWarm);
  EXPECT_EQ(starter_.starts, 1);
}

TEST_F(VersionPoolTest, HundredWaitingShortCallsShareOneInstance) {
  std::vector<std::shared_ptr<std::optional<absl::StatusOr<CallResult>>>> calls;
  for (int i = 0; i < 100; ++i) calls.push_back(Invoke());
  starts_.RunAll();
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(starter_.functions[0]->pending.size(), 1u) << "one call at a time";
    starter_.functions[0]->AnswerOk();
  }
  for (const auto& call : calls) EXPECT_TRUE(call->has_value() && (*call)->ok());
  EXPECT_EQ(starter_.starts, 1);
}

TEST_F(VersionPoolTest, ACallBehindOneThatHangsGetsAnInstanceOfItsOwn) {
  Invoke();
  starts_.RunAll();
  const auto second = Invoke();
  EXPECT_EQ(starts_.RunAll(), 0);
  clock_.Advance(absl::Seconds(3));  // Longer than the cold start that is expected.
  EXPECT_EQ(starts_.RunAll(), 1);
  ASSERT_EQ(starter_.functions.size(), 2u);
  starter_.functions[1]->AnswerOk();
  EXPECT_TRUE(second->has_value());
}

TEST_F(VersionPoolTest, FullQueueRefusesWithAHintWhenToComeAgain) {
  options_.max_waiting_calls = 2;
  Make(MakeState());
  Invoke();
  Invoke();
  const auto third = Invoke();
  ASSERT_TRUE(third->has_value());
  EXPECT_TRUE(absl::IsResourceExhausted((*third)->status()));
  EXPECT_EQ(ReasonOf((*third)->status()), reason::kQueueFull);
  EXPECT_TRUE(RetryAfterOf((*third)->status()).has_value());
}

TEST_F(VersionPoolTest, WaitingCallEndsAtItsDeadline) {
  const auto call = Invoke(absl::Seconds(2));
  clock_.Advance(absl::Seconds(2));
  ASSERT_TRUE(call->has_value());
  EXPECT_TRUE(absl::IsDeadlineExceeded((*call)->status()));
  EXPECT_FALSE(WasSent((*call)->status()));
}

TEST_F(VersionPoolTest, FailedStartTellsAllThatWaited) {
  starter_.next_result = WithReason(absl::FailedPreconditionError("no image"), reason::kImageUnavailable);
  const auto first = Invoke();
  const auto second = Invoke();
  starts_.RunAll();
  for (const auto& call : {first, second}) {
    ASSERT_TRUE(call->has_value());
    EXPECT_EQ(ReasonOf((*call)->status()), reason::kImageUnavailable);
  }
  EXPECT_EQ(starter_.starts, 1);
  EXPECT_EQ(memory_.reserved(), 0u);
}

TEST_F(VersionPoolTest, BrokenCallIsNotSentAgainAndItsInstanceIsReplaced) {
  const auto call = Invoke();
  starts_.RunAll();
  starter_.functions[0]->Answer(MarkSent(WithReason(absl::InternalError("eof"), reason::kFunctionExited)));
  EXPECT_FALSE(call->has_value()) << "waits for the news of the exit";
  InitEvent exit;
  exit.code = 3;
  slots_.control(0)->Tell(exit);
  clock_.Advance(absl::Milliseconds(200));
  ASSERT_TRUE(call->has_value());
  EXPECT_TRUE(WasSent((*call)->status()));
  EXPECT_NE((*call)->status().message().find("code 3"), absl::string_view::npos) << (*call)->status();
  EXPECT_EQ(starter_.functions[0]->calls, 1);
  // The slot was emptied and serves the next call's instance.
  Invoke();
  starts_.RunAll();
  EXPECT_TRUE(starter_.had_slot);
  EXPECT_EQ(slots_.created(), 1);
}

TEST_F(VersionPoolTest, OutOfMemoryIsNamed) {
  const auto call = Invoke();
  starts_.RunAll();
  starter_.functions[0]->Answer(MarkSent(WithReason(absl::InternalError("eof"), reason::kFunctionExited)));
  InitEvent exit;
  exit.signal = "SIGKILL";
  exit.out_of_memory = true;
  slots_.control(0)->Tell(exit);
  clock_.Advance(absl::Milliseconds(200));
  ASSERT_TRUE(call->has_value());
  EXPECT_EQ(ReasonOf((*call)->status()), reason::kFunctionOutOfMemory);
}

TEST_F(VersionPoolTest, CallThatNeverReachedItsInstanceGoesToAnother) {
  const auto call = Invoke();
  starts_.RunAll();
  starter_.functions[0]->Answer(absl::UnavailableError("connection refused"));
  EXPECT_FALSE(call->has_value());
  EXPECT_EQ(starts_.RunAll(), 1);
  starter_.functions[1]->AnswerOk("second");
  ASSERT_TRUE(call->has_value() && (*call)->ok());
  EXPECT_EQ((**call)->reply.body, "second");
}

TEST_F(VersionPoolTest, StatusThatTheContractForbidsEndsTheInstance) {
  const auto call = Invoke();
  starts_.RunAll();
  starter_.functions[0]->Answer(FunctionReply{302, {}, ""});
  ASSERT_TRUE(call->has_value());
  EXPECT_EQ(ReasonOf((*call)->status()), reason::kFunctionBadAnswer);
  EXPECT_EQ(pool_->Load().instances, 0u);
}

TEST_F(VersionPoolTest, FunctionThatFailsByItsOwnAccountStaysInService) {
  const auto call = Invoke();
  starts_.RunAll();
  starter_.functions[0]->Answer(FunctionReply{502, {}, ""});
  ASSERT_TRUE(call->has_value() && (*call)->ok());
  EXPECT_EQ((**call)->reply.status, 502);
  EXPECT_EQ(pool_->Load().idle, 1u);
}

TEST_F(VersionPoolTest, IdleInstanceIsStoppedAndLeavesItsSlot) {
  Invoke();
  starts_.RunAll();
  starter_.functions[0]->AnswerOk();
  clock_.Advance(kIdleTimeout - absl::Milliseconds(1));
  EXPECT_EQ(pool_->Load().idle, 1u);
  clock_.Advance(absl::Milliseconds(1));
  const VersionLoad load = pool_->Load();
  EXPECT_EQ(load.instances, 0u);
  EXPECT_EQ(load.empty_slots, 1u);
  EXPECT_EQ(memory_.reserved(), 0u);
  clock_.Advance(options_.spare_slot_time);
  EXPECT_EQ(pool_->Load().empty_slots, 0u) << "a spare slot goes in the end";
  EXPECT_EQ(slots_.alive(), 0);
}

TEST_F(VersionPoolTest, ACallResetsTheIdleTime) {
  Invoke();
  starts_.RunAll();
  FakeFunction& function = *starter_.functions[0];
  function.AnswerOk();
  clock_.Advance(kIdleTimeout / 2);
  Warm(function);
  clock_.Advance(kIdleTimeout - absl::Milliseconds(1));
  EXPECT_EQ(pool_->Load().idle, 1u);
}

TEST_F(VersionPoolTest, CheckpointIsAskedForAfterTheFifthAnsweredCallOnly) {
  Invoke();
  starts_.RunAll();
  FakeFunction& function = *starter_.functions[0];
  function.AnswerOk();
  for (int answered = 2; answered <= 4; ++answered) Warm(function);
  EXPECT_TRUE(wanted_.empty());
  // A call that breaks the contract, or idle time, is no answered invocation.
  clock_.Advance(kIdleTimeout / 2);
  EXPECT_TRUE(wanted_.empty());
  Warm(function);
  ASSERT_EQ(wanted_.size(), 1u);
  Warm(function);
  EXPECT_EQ(wanted_.size(), 1u) << "asked once";
}

VersionState LateSecretState() {
  VersionState state = MakeState();
  auto& use = *state.mutable_spec()->mutable_freeze()->add_secrets();
  use.set_name("late");
  use.set_after_restore_only(true);
  (*state.mutable_secrets())["late"] = "one";
  return state;
}

TEST_F(VersionPoolTest, ChangedConfigAndSecretsReachRunningInstancesAndNothingElseDoes) {
  VersionState state = MakeState();
  state.mutable_spec()->mutable_freeze()->add_restore_time_config("URL");
  state.mutable_spec()->mutable_freeze()->add_secrets()->set_name("key");
  (*state.mutable_secrets())["key"] = "one";
  Make(state);
  const auto call = Invoke();
  starts_.RunAll();
  const auto orders = [this] { return slots_.control(0)->Orders(); };
  pool_->Update(state);
  EXPECT_TRUE(orders().empty()) << "the same again is no news";
  (*state.mutable_secrets())["key"] = "two";
  (*state.mutable_restore_time_config())["URL"] = "now";
  pool_->Update(state);
  EXPECT_EQ(orders(), std::vector<std::string>{"give"}) << "during its call, too";
  starter_.functions[0]->AnswerOk();
  EXPECT_TRUE(call->has_value());
  EXPECT_EQ(orders().size(), 1u);
  absl::MutexLock lock(&slots_.control(0)->mu);
  EXPECT_EQ(slots_.control(0)->last_given.secrets.at("key"), "two");
  EXPECT_EQ(slots_.control(0)->last_given.config.at("URL"), "now");
}

TEST_F(VersionPoolTest, WhatChangesDuringAStartIsGivenRightAfterIt) {
  VersionState state = MakeState();
  state.mutable_spec()->mutable_freeze()->add_secrets()->set_name("key");
  (*state.mutable_secrets())["key"] = "one";
  Make(state);
  Invoke();
  (*state.mutable_secrets())["key"] = "two";
  pool_->Update(state);
  starts_.RunAll();
  EXPECT_EQ(slots_.control(0)->Orders(), std::vector<std::string>{"give"});
  absl::MutexLock lock(&slots_.control(0)->mu);
  EXPECT_EQ(slots_.control(0)->last_given.secrets.at("key"), "two");
}

TEST_F(VersionPoolTest, AnInstanceThatIsToBeFrozenGetsLateSecretsWhenAnotherWasFrozenInstead) {
  Make(LateSecretState());
  Invoke();
  starts_.RunAll();
  EXPECT_TRUE(starter_.awaits_freeze);
  starter_.functions[0]->AnswerOk();
  EXPECT_TRUE(slots_.control(0)->Orders().empty());
  VersionState frozen_elsewhere = LateSecretState();
  frozen_elsewhere.mutable_snapshot()->set_id("s");
  pool_->Update(frozen_elsewhere);
  EXPECT_EQ(slots_.control(0)->Orders(), std::vector<std::string>{"give"});
  absl::MutexLock lock(&slots_.control(0)->mu);
  EXPECT_EQ(slots_.control(0)->last_given.secrets.at("late"), "one");
  EXPECT_TRUE(slots_.control(0)->last_given.sealed);
}

TEST_F(VersionPoolTest, WhereFreezingIsGivenUpLateSecretsAreGivenAtOnce) {
  Make(LateSecretState());
  Invoke();
  starts_.RunAll();
  starter_.functions[0]->AnswerOk();
  for (int i = 0; i < 4; ++i) Warm(*starter_.functions[0]);
  pool_->OnCheckpointGrant(wanted_.at(0), false, absl::Seconds(5));
  EXPECT_TRUE(slots_.control(0)->Orders().empty()) << "it may be granted later";
  clock_.Advance(absl::Seconds(5));
  Warm(*starter_.functions[0]);
  pool_->OnCheckpointGrant(wanted_.at(1), false, absl::ZeroDuration());
  EXPECT_EQ(slots_.control(0)->Orders(), std::vector<std::string>{"give"});
}

TEST_F(VersionPoolTest, AVersionThatIsNeverFrozenDoesNotAwaitIt) {
  VersionState state = LateSecretState();
  state.mutable_spec()->mutable_checkpoint()->set_mode(thaw::common::v1::CheckpointPolicy::MODE_NEVER);
  Make(state);
  Invoke();
  starts_.RunAll();
  EXPECT_FALSE(starter_.awaits_freeze);
}

TEST_F(VersionPoolTest, ASealedInstanceDoesNotAskForACheckpoint) {
  Make(LateSecretState());
  Invoke();
  starts_.RunAll();
  FakeFunction& function = *starter_.functions[0];
  function.AnswerOk();
  for (int i = 0; i < 4; ++i) Warm(function);
  ASSERT_EQ(wanted_.size(), 1u);
  checkpointer_.seals = true;
  checkpointer_.publish_result = absl::InternalError("the canary failed");
  pool_->OnCheckpointGrant(wanted_.at(0), true, absl::ZeroDuration());
  checkpoints_.RunAll();
  clock_.Advance(absl::Seconds(10));
  Warm(function);
  EXPECT_EQ(wanted_.size(), 1u) << "it has been given what no snapshot may have";
}

TEST_F(VersionPoolTest, CallDuringAFreezeWaitsForItAndIsNotStartedCold) {
  Invoke();
  starts_.RunAll();
  FakeFunction& function = *starter_.functions[0];
  function.AnswerOk();
  for (int i = 0; i < 4; ++i) Warm(function);
  pool_->OnCheckpointGrant(wanted_.at(0), true, absl::ZeroDuration());
  EXPECT_EQ(pool_->Load().checkpointing, 1u);
  const auto call = Invoke();
  EXPECT_FALSE(call->has_value());
  EXPECT_EQ(starts_.RunAll(), 0);
  EXPECT_EQ(checkpoints_.RunAll(), 1);
  EXPECT_EQ(checkpointer_.freezes, 1);
  EXPECT_EQ(checkpointer_.answered, 5u);
  function.AnswerOk("after");
  ASSERT_TRUE(call->has_value() && (*call)->ok());
  EXPECT_EQ((**call)->start.kind, StartKind::kWarm);
  ASSERT_EQ(finished_.size(), 1u);
  ASSERT_TRUE(finished_[0].ok());
  EXPECT_EQ(finished_[0]->id(), "snap1");
}

TEST_F(VersionPoolTest, WithASnapshotUnderLoadAnotherInstanceServesBeforeTheOnlyOneIsFrozen) {
  Invoke();
  starts_.RunAll();
  FakeFunction& first = *starter_.functions[0];
  first.AnswerOk();
  for (int i = 0; i < 4; ++i) Warm(first);
  VersionState with_snapshot = MakeState();
  with_snapshot.mutable_snapshot()->set_id("snap0");
  pool_->Update(with_snapshot);
  pool_->OnCheckpointGrant(wanted_.at(0), true, absl::ZeroDuration());
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

TEST_F(VersionPoolTest, AStandInThatCantBeStartedKeepsNobodyFromFreezingAndFailsNoCall) {
  Invoke();
  starts_.RunAll();
  FakeFunction& first = *starter_.functions[0];
  first.AnswerOk();
  for (int i = 0; i < 4; ++i) Warm(first);
  VersionState with_snapshot = MakeState();
  with_snapshot.mutable_snapshot()->set_id("snap0");
  pool_->Update(with_snapshot);
  pool_->OnCheckpointGrant(wanted_.at(0), true, absl::ZeroDuration());
  const auto served = Invoke();
  const auto waiting = Invoke();
  starter_.next_result = absl::InternalError("no");
  EXPECT_EQ(starts_.RunAll(), 1);
  first.AnswerOk();
  EXPECT_TRUE(served->has_value() && (*served)->ok());
  EXPECT_FALSE(waiting->has_value()) << "it waits for the freeze";
  EXPECT_EQ(checkpoints_.RunAll(), 1);
  first.AnswerOk();
  EXPECT_TRUE(waiting->has_value() && (*waiting)->ok());
}

TEST_F(VersionPoolTest, BusyInstanceIsFrozenOnlyAfterItsCall) {
  Invoke();
  starts_.RunAll();
  FakeFunction& function = *starter_.functions[0];
  function.AnswerOk();
  for (int i = 0; i < 4; ++i) Warm(function);
  const auto call = Invoke();
  pool_->OnCheckpointGrant(wanted_.at(0), true, absl::ZeroDuration());
  EXPECT_EQ(checkpoints_.RunAll(), 0);
  function.AnswerOk();
  EXPECT_TRUE(call->has_value());
  EXPECT_EQ(checkpoints_.RunAll(), 1);
  EXPECT_EQ(checkpointer_.answered, 6u);
}

TEST_F(VersionPoolTest, RefusedCheckpointLeavesTheInstanceServing) {
  Invoke();
  starts_.RunAll();
  FakeFunction& function = *starter_.functions[0];
  function.AnswerOk();
  for (int i = 0; i < 4; ++i) Warm(function);
  checkpointer_.freeze_result = WithReason(absl::FailedPreconditionError("open socket"), reason::kCheckpointRefused);
  pool_->OnCheckpointGrant(wanted_.at(0), true, absl::ZeroDuration());
  checkpoints_.RunAll();
  ASSERT_EQ(finished_.size(), 1u);
  EXPECT_FALSE(finished_[0].ok());
  EXPECT_EQ(pool_->Load().idle, 1u);
  Warm(function);
  EXPECT_EQ(starter_.starts, 1);
}

TEST_F(VersionPoolTest, InstanceThatItsFreezeLostIsReplaced) {
  Invoke();
  starts_.RunAll();
  FakeFunction& function = *starter_.functions[0];
  function.AnswerOk();
  for (int i = 0; i < 4; ++i) Warm(function);
  checkpointer_.freeze_result = absl::DeadlineExceededError("criu hangs");
  checkpointer_.after = InstanceAfter::kLost;
  pool_->OnCheckpointGrant(wanted_.at(0), true, absl::ZeroDuration());
  const auto call = Invoke();
  checkpoints_.RunAll();
  EXPECT_EQ(starts_.RunAll(), 1) << "the call that waited for the freeze gets a new instance";
  starter_.functions[1]->AnswerOk();
  EXPECT_TRUE(call->has_value() && (*call)->ok());
}

TEST_F(VersionPoolTest, DeniedCheckpointIsAskedForAgainAfterThePause) {
  Invoke();
  starts_.RunAll();
  FakeFunction& function = *starter_.functions[0];
  function.AnswerOk();
  for (int i = 0; i < 4; ++i) Warm(function);
  pool_->OnCheckpointGrant(wanted_.at(0), false, absl::Seconds(5));
  Warm(function);
  EXPECT_EQ(wanted_.size(), 1u);
  clock_.Advance(absl::Seconds(5));
  Warm(function);
  EXPECT_EQ(wanted_.size(), 2u);
}

TEST_F(VersionPoolTest, FunctionsOwnWishForACheckpointNeedsNoFiveCalls) {
  Invoke();
  starts_.RunAll();
  InitEvent wish;
  wish.kind = InitEvent::Kind::kCheckpointWished;
  slots_.control(0)->Tell(wish);
  ASSERT_EQ(wanted_.size(), 1u);
  pool_->OnCheckpointGrant(wanted_[0], true, absl::ZeroDuration());
  EXPECT_EQ(checkpoints_.RunAll(), 0) << "a call is under way";
  starter_.functions[0]->AnswerOk();
  EXPECT_EQ(checkpoints_.RunAll(), 1);
  EXPECT_EQ(checkpointer_.freezes, 1);
  EXPECT_TRUE(slots_.control(0)->Orders().empty()) << "nothing is refused";
  slots_.control(0)->Tell(wish);
  EXPECT_EQ(slots_.control(0)->Orders(),
            std::vector<std::string>{"refuse: function hello has a snapshot already: snap1"});
}

TEST_F(VersionPoolTest, RefusedWishIsToldWithItsReason) {
  VersionState never = MakeState();
  never.mutable_spec()->mutable_checkpoint()->set_mode(thaw::common::v1::CheckpointPolicy::MODE_NEVER);
  Make(never);
  Invoke();
  starts_.RunAll();
  InitEvent wish;
  wish.kind = InitEvent::Kind::kCheckpointWished;
  slots_.control(0)->Tell(wish);
  EXPECT_TRUE(wanted_.empty());
  EXPECT_EQ(slots_.control(0)->Orders(),
            std::vector<std::string>{
                "refuse: function hello is never to be frozen: change its policy with `thaw functions update`"});
}

TEST_F(VersionPoolTest, WishThatTheClusterDeniesOrWhoseFreezeFailsIsToldSo) {
  Invoke();
  starts_.RunAll();
  starter_.functions[0]->AnswerOk();
  InitEvent wish;
  wish.kind = InitEvent::Kind::kCheckpointWished;
  slots_.control(0)->Tell(wish);
  pool_->OnCheckpointGrant(wanted_.at(0), false, absl::Seconds(5));
  slots_.control(0)->Tell(wish);
  clock_.Advance(absl::Seconds(5));
  slots_.control(0)->Tell(wish);
  checkpointer_.freeze_result = WithReason(absl::FailedPreconditionError("open socket"), reason::kCheckpointRefused);
  pool_->OnCheckpointGrant(wanted_.at(1), true, absl::ZeroDuration());
  checkpoints_.RunAll();
  EXPECT_EQ(slots_.control(0)->Orders(),
            (std::vector<std::string>{"refuse: the cluster does not want one of this function now",
                                      "refuse: the cluster has refused one of function hello a moment ago: try again later",
                                      "refuse: open socket"}));
  Warm(*starter_.functions[0]);
}

TEST_F(VersionPoolTest, CheckpointRequestThatASchedulerNeverHeardIsMadeAgain) {
  Invoke();
  starts_.RunAll();
  FakeFunction& function = *starter_.functions[0];
  function.AnswerOk();
  for (int i = 0; i < 4; ++i) Warm(function);
  ASSERT_EQ(wanted_.size(), 1u);
  pool_->ForgetCheckpointRequest();
  Warm(function);
  EXPECT_EQ(wanted_.size(), 2u);
  // One that was granted is under way and not asked for again.
  pool_->OnCheckpointGrant(wanted_[1], true, absl::ZeroDuration());
  pool_->ForgetCheckpointRequest();
  checkpoints_.RunAll();
  EXPECT_EQ(finished_.size(), 1u);
}

TEST_F(VersionPoolTest, RestoredInstanceGoesOnCountingWhereItWasFrozen) {
  VersionState state = MakeState();
  state.mutable_snapshot()->set_id("snap1");
  state.mutable_snapshot()->set_invocations(5);
  Make(state);
  const auto call = Invoke();
  starts_.RunAll();
  starter_.functions[0]->AnswerOk();
  ASSERT_TRUE(call->has_value() && (*call)->ok());
  EXPECT_EQ((**call)->start.kind, StartKind::kRestored);
  EXPECT_TRUE(wanted_.empty()) << "there is a snapshot already";
}

TEST_F(VersionPoolTest, WantedSlotsAreMadeAheadAndTakenByTheNextStart) {
  VersionState state = MakeState();
  state.set_desired_slots(1);
  pool_->Update(state);
  EXPECT_EQ(starts_.RunAll(), 1);
  EXPECT_EQ(pool_->Load().empty_slots, 1u);
  Invoke();
  starts_.RunAll();
  EXPECT_TRUE(starter_.had_slot);
  EXPECT_EQ(pool_->Load().empty_slots, 1u) << "and the next one stands ready";
}

TEST_F(VersionPoolTest, NoMemoryAndNoRoomRefusesAtOnce) {
  memory_.Reserve(memory_.total());
  const auto call = Invoke();
  ASSERT_TRUE(call->has_value());
  EXPECT_EQ(ReasonOf((*call)->status()), reason::kNoMemory);
  EXPECT_EQ(room_asked_, 1);
}

TEST_F(VersionPoolTest, CallWaitsForTheRoomThatIsMade) {
  memory_.Reserve(memory_.total());
  room_ = true;
  const auto call = Invoke();
  EXPECT_FALSE(call->has_value());
  memory_.Release(memory_.total());
  clock_.Advance(options_.reconsider_interval);
  EXPECT_EQ(starts_.RunAll(), 1);
  starter_.functions[0]->AnswerOk();
  EXPECT_TRUE(call->has_value() && (*call)->ok());
}

TEST_F(VersionPoolTest, RetirementLetsCallsEndAndLeavesNothing) {
  const auto running = Invoke();
  starts_.RunAll();
  const auto waiting = Invoke();
  bool drained = false;
  pool_->Retire([&drained] { drained = true; });
  ASSERT_TRUE(waiting->has_value());
  EXPECT_TRUE(absl::IsUnavailable((*waiting)->status()));
  EXPECT_EQ(ReasonOf((*waiting)->status()), reason::kVersionReplaced) << "a reason tells the gateway that it may retry";
  EXPECT_FALSE(drained);
  starter_.functions[0]->AnswerOk();
  EXPECT_TRUE(running->has_value() && (*running)->ok());
  EXPECT_TRUE(drained);
  EXPECT_EQ(slots_.alive(), 0);
  EXPECT_EQ(memory_.reserved(), 0u);
}

TEST_F(VersionPoolTest, IdleInstanceThatExitsIsNoticed) {
  Invoke();
  starts_.RunAll();
  starter_.functions[0]->AnswerOk();
  slots_.control(0)->Tell(InitEvent());
  EXPECT_EQ(pool_->Load().instances, 0u);
}

class NoInit final : public SlotInitConnector {
 public:
  absl::StatusOr<std::unique_ptr<SlotInit>> Connect(const std::string&, absl::Time) override {
    return absl::DeadlineExceededError("no init answers");
  }
};

TEST_F(VersionPoolTest, RecoveryRemovesSlotsAndProbesOfItsNodeButNoAgentAndNothingOfOthers) {
  testing::FakeContainerRuntime runtime;
  const std::string image_id = runtime.AddImage(ImageContent());
  const auto make = [&](const std::string& name, const std::string& node, const std::string& role) {
    ContainerSpec spec;
    spec.name = name;
    spec.image_id = image_id;
    spec.command = {"/thaw/init", "--slot"};
    spec.labels = {{kNodeLabel, node}, {kRoleLabel, role}};
    ASSERT_TRUE(runtime.Create(spec, absl::InfiniteFuture()).ok());
  };
  make("slot-of-a", "a", kSlotRole);
  make("probe-of-a", "a", kProbeRole);
  // An agent may run in a container that carries its node's name.
  make("agent-a", "a", "agent");
  make("slot-of-b", "b", kSlotRole);

  testing::FakeDialer dialer;
  CriuEngine criu;
  const Engines engines(criu, criu);
  Restorer restorer(dialer, clock_, engines);
  NoInit connector;
  Pool pool(options_, PoolDeps{starter_, checkpointer_, slots_, *this, memory_, metrics_, starts_, checkpoints_,
                               housekeeping_, clock_, clock_, NullLogger()});
  Recovery recovery("a", Recovery::Deps{runtime, connector, restorer, pool, metrics_, clock_, Paths("/nowhere"), "tools", NullLogger()});
  ASSERT_TRUE(recovery.Run(absl::InfiniteFuture()).ok());
  std::vector<std::string> left;
  const auto containers = runtime.List({}, absl::InfiniteFuture());
  ASSERT_TRUE(containers.ok());
  for (const ContainerInfo& container : *containers) left.push_back(container.name);
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left, (std::vector<std::string>{"agent-a", "slot-of-b"}));
}

TEST(InstanceTransitions, OnlyThoseOfTheDrawing) {
  EXPECT_TRUE(IsLegalTransition(InstanceState::kIdle, InstanceState::kCheckpointing));
  EXPECT_FALSE(IsLegalTransition(InstanceState::kBusy, InstanceState::kCheckpointing));
  EXPECT_FALSE(IsLegalTransition(InstanceState::kGone, InstanceState::kIdle));
  Instance instance("i");
  EXPECT_DEATH(instance.Transition(InstanceState::kBusy), "illegal transition starting -> busy");
}

// ---- when to freeze

VersionState OnDeployState() {
  VersionState state = MakeState();
  state.mutable_spec()->mutable_checkpoint()->set_mode(thaw::common::v1::CheckpointPolicy::MODE_ON_DEPLOY);
  auto& priming = *state.mutable_spec()->mutable_freeze()->add_priming();
  priming.set_body("one");
  priming.set_content_type("text/plain");
  (*priming.mutable_headers())["X-Prime"] = "yes";
  state.mutable_spec()->mutable_freeze()->add_priming()->set_body("two");
  return state;
}

TEST_F(VersionPoolTest, OnDeployAnInstanceIsStartedPrimedAndFrozenBeforeTheFirstCall) {
  VersionState state = OnDeployState();
  Make(state);
  pool_->Update(state);
  EXPECT_TRUE(wanted_.empty()) << "another node does it";
  state.set_freeze_now(true);
  pool_->Update(state);
  ASSERT_EQ(wanted_.size(), 1u);
  EXPECT_FALSE(wanted_manual_);
  EXPECT_EQ(starter_.starts + starts_.RunAll(), 0) << "nothing is started before it is granted";
  pool_->Update(state);
  EXPECT_EQ(wanted_.size(), 1u) << "asked once";

  pool_->OnCheckpointGrant(wanted_[0], true, absl::ZeroDuration());
  EXPECT_EQ(starts_.RunAll(), 1);
  FakeFunction& function = *starter_.functions.at(0);
  ASSERT_EQ(function.pending.size(), 1u);
  EXPECT_EQ(function.pending[0].request.body, "one");
  EXPECT_THAT(function.pending[0].request.headers, ::testing::Contains(::testing::Pair("X-Prime", "yes")));
  function.AnswerOk();
  ASSERT_EQ(function.pending.size(), 1u);
  EXPECT_EQ(function.pending[0].request.body, "two");
  EXPECT_EQ(checkpointer_.freezes, 0);
  function.AnswerOk();
  checkpoints_.RunAll();
  EXPECT_EQ(checkpointer_.answered, 2u);
  ASSERT_EQ(finished_.size(), 1u);
  EXPECT_TRUE(finished_[0].ok());
  // It serves on, and whoever calls first finds a running instance.
  const auto first = Invoke();
  function.AnswerOk();
  ASSERT_TRUE(first->has_value() && (*first)->ok());
  EXPECT_EQ((**first)->start.kind, StartKind::kWarm);
}

TEST_F(VersionPoolTest, ACallThatComesWhileOneIsPrimedIsNotDisturbed) {
  VersionState state = OnDeployState();
  state.set_freeze_now(true);
  Make(state);
  pool_->Update(state);
  pool_->OnCheckpointGrant(wanted_.at(0), true, absl::ZeroDuration());
  starts_.RunAll();
  FakeFunction& primed = *starter_.functions.at(0);
  const auto call = Invoke();
  ASSERT_EQ(starts_.RunAll(), 1) << "an instance of its own";
  ASSERT_EQ(primed.pending.size(), 1u) << "not between the priming requests";
  starter_.functions.at(1)->AnswerOk();
  ASSERT_TRUE(call->has_value() && (*call)->ok());
  primed.AnswerOk();
  primed.AnswerOk();
  checkpoints_.RunAll();
  EXPECT_TRUE(finished_.at(0).ok());
}

TEST_F(VersionPoolTest, APrimingRequestThatFailsIsAFailedCheckpointAndAskedForAgain) {
  VersionState state = OnDeployState();
  state.set_freeze_now(true);
  Make(state);
  pool_->Update(state);
  pool_->OnCheckpointGrant(wanted_.at(0), true, absl::ZeroDuration());
  starts_.RunAll();
  starter_.functions.at(0)->Answer(FunctionReply{502, {}, "no database"});
  ASSERT_EQ(finished_.size(), 1u);
  EXPECT_THAT(std::string(finished_[0].status().message()), ::testing::HasSubstr("priming request 1 of 2 failed"));
  EXPECT_EQ(pool_->Load().instances, 0u);
  EXPECT_EQ(memory_.reserved(), 0u);
  clock_.Advance(absl::Seconds(1));
  ASSERT_EQ(wanted_.size(), 2u);
  // The scheduler's pause is kept to.
  pool_->OnCheckpointGrant(wanted_[1], false, absl::Seconds(20), "freezing failed");
  clock_.Advance(absl::Seconds(19));
  EXPECT_EQ(wanted_.size(), 2u);
  clock_.Advance(absl::Seconds(2));
  EXPECT_EQ(wanted_.size(), 3u);
  // Final.
  pool_->OnCheckpointGrant(wanted_[2], false, absl::ZeroDuration(), "given up");
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(wanted_.size(), 3u);
}

TEST_F(VersionPoolTest, AStartForFreezingThatFailsTellsTheScheduler) {
  VersionState state = OnDeployState();
  state.set_freeze_now(true);
  Make(state);
  pool_->Update(state);
  starter_.next_result = WithReason(absl::FailedPreconditionError("no image"), reason::kImageUnavailable);
  pool_->OnCheckpointGrant(wanted_.at(0), true, absl::ZeroDuration());
  starts_.RunAll();
  ASSERT_EQ(finished_.size(), 1u);
  EXPECT_EQ(finished_[0].status().message(), "no image");
  EXPECT_EQ(memory_.reserved(), 0u);
}

TEST_F(VersionPoolTest, WithManualNoNumberOfCallsAsksAndFreezeNowFreezesTheWarmOne) {
  VersionState state = MakeState();
  state.mutable_spec()->mutable_checkpoint()->set_mode(thaw::common::v1::CheckpointPolicy::MODE_MANUAL);
  Make(state);
  Invoke();
  starts_.RunAll();
  FakeFunction& function = *starter_.functions[0];
  function.AnswerOk();
  for (int i = 0; i < 20; ++i) Warm(function);
  EXPECT_TRUE(wanted_.empty());
  std::optional<absl::StatusOr<thaw::common::v1::SnapshotInfo>> made, second;
  pool_->FreezeNow([&made](auto result) { made = std::move(result); });
  ASSERT_EQ(wanted_.size(), 1u);
  EXPECT_TRUE(wanted_manual_);
  EXPECT_EQ(wanted_answered_, 21u);
  pool_->FreezeNow([&second](auto result) { second = std::move(result); });
  ASSERT_TRUE(second.has_value());
  EXPECT_TRUE(absl::IsUnavailable(second->status())) << second->status();
  EXPECT_EQ(ReasonOf(second->status()), reason::kCheckpointRefused);
  pool_->OnCheckpointGrant(wanted_[0], true, absl::ZeroDuration());
  EXPECT_FALSE(made.has_value());
  checkpoints_.RunAll();
  ASSERT_TRUE(made.has_value());
  ASSERT_TRUE(made->ok());
  EXPECT_EQ((*made)->id(), "snap1");
  EXPECT_EQ(finished_.size(), 1u);
  EXPECT_EQ(starter_.starts, 1);
}

TEST_F(VersionPoolTest, FreezeNowWithoutAnInstanceStartsOneFromTheImage) {
  VersionState state = OnDeployState();
  state.mutable_spec()->mutable_checkpoint()->set_mode(thaw::common::v1::CheckpointPolicy::MODE_MANUAL);
  state.mutable_snapshot()->set_id("old");
  Make(state);
  std::optional<absl::StatusOr<thaw::common::v1::SnapshotInfo>> made;
  pool_->FreezeNow([&made](auto result) { made = std::move(result); });
  pool_->OnCheckpointGrant(wanted_.at(0), true, absl::ZeroDuration());
  starts_.RunAll();
  starter_.functions.at(0)->AnswerOk();
  starter_.functions.at(0)->AnswerOk();
  checkpoints_.RunAll();
  ASSERT_TRUE(made.has_value() && made->ok());
  EXPECT_EQ(checkpointer_.answered, 2u) << "nothing of the old snapshot's calls";
  EXPECT_EQ(pool_->state().snapshot().id(), "snap1") << "the new one takes the old one's place";
}

TEST_F(VersionPoolTest, FreezeNowThatIsRefusedSaysWhy) {
  VersionState never = MakeState();
  never.mutable_spec()->mutable_checkpoint()->set_mode(thaw::common::v1::CheckpointPolicy::MODE_NEVER);
  Make(never);
  std::optional<absl::StatusOr<thaw::common::v1::SnapshotInfo>> made;
  const auto keep = [&made](auto result) { made = std::move(result); };
  pool_->FreezeNow(keep);
  EXPECT_THAT(std::string(made.value().status().message()), ::testing::HasSubstr("--checkpoint manual"));
  Make(MakeState());
  made.reset();
  pool_->FreezeNow(keep);
  pool_->OnCheckpointGrant(wanted_.at(0), false, absl::Seconds(1), "instance i9 on node b is being frozen");
  EXPECT_THAT(std::string(made.value().status().message()), ::testing::HasSubstr("instance i9 on node b is being frozen"));
  made.reset();
  clock_.Advance(absl::Seconds(2));
  pool_->FreezeNow(keep);
  pool_->ForgetCheckpointRequest();
  EXPECT_TRUE(absl::IsUnavailable(made.value().status()));
}

VersionState LearnedState() {
  VersionState state = MakeState();
  state.mutable_spec()->mutable_checkpoint()->set_mode(thaw::common::v1::CheckpointPolicy::MODE_LEARNED);
  for (const int after : {1, 5, 20}) state.add_freeze_after(static_cast<std::uint32_t>(after));
  return state;
}

TEST_F(VersionPoolTest, ALearnedVersionAsksAtEachCountThatIsWanted) {
  Make(LearnedState());
  Invoke();
  starts_.RunAll();
  FakeFunction& function = *starter_.functions[0];
  function.AnswerOk();
  ASSERT_EQ(wanted_.size(), 1u) << "after the first call";
  EXPECT_EQ(wanted_answered_, 1u);
  pool_->OnCheckpointGrant(wanted_[0], true, absl::ZeroDuration());
  checkpoints_.RunAll();
  VersionState state = LearnedState();
  state.clear_freeze_after();
  state.add_freeze_after(5);
  state.add_freeze_after(20);
  state.mutable_snapshot()->set_id("s1");
  pool_->Update(state);
  for (int answered = 2; answered <= 4; ++answered) Warm(function);
  EXPECT_EQ(wanted_.size(), 1u);
  Warm(function);
  ASSERT_EQ(wanted_.size(), 2u) << "although there is a snapshot";
  EXPECT_EQ(wanted_answered_, 5u);
}

TEST_F(VersionPoolTest, RestoresAreSharedAmongCandidatesAndTheirFirstCallsReported) {
  VersionState state = LearnedState();
  state.clear_freeze_after();
  for (const char* id : {"s1", "s5"}) {
    auto& candidate = *state.add_candidates();
    candidate.mutable_snapshot()->set_id(id);
    candidate.set_share(500);
  }
  *state.mutable_snapshot() = state.candidates(0).snapshot();
  options_.max_instances_per_version = 1;
  Make(state);
  for (int round = 0; round < 4; ++round) {
    Invoke();
    starts_.RunAll();
    FakeFunction& function = *starter_.functions.back();
    clock_.Advance(absl::Milliseconds(7));
    function.AnswerOk();
    for (int call = 2; call <= 12 && round == 0; ++call) Warm(function);
    ASSERT_TRUE(pool_->EvictIdle());
    ASSERT_EQ(reports_.size(), static_cast<std::size_t>(round) + 1) << "once for each restore";
  }
  EXPECT_EQ(reports_[0].calls_size(), static_cast<int>(RestoreMeasure::kCalls));
  EXPECT_EQ(FromProto(reports_[0].calls(0)), absl::Milliseconds(7));
  EXPECT_EQ(FromProto(reports_[0].restore()), absl::Milliseconds(40));
  EXPECT_EQ(reports_[1].calls_size(), 1) << "what ended early is told, too";
  std::map<std::string, int> restores;
  for (const auto& report : reports_) ++restores[report.snapshot_id()];
  EXPECT_EQ(restores["s1"], 2);
  EXPECT_EQ(restores["s5"], 2);
}

TEST(CandidateTurnTest, EachCandidateGetsItsShare) {
  VersionState state;
  for (const auto& [id, share] : {std::pair("a", 700u), std::pair("b", 200u), std::pair("c", 100u)}) {
    auto& candidate = *state.add_candidates();
    candidate.mutable_snapshot()->set_id(id);
    candidate.set_share(share);
    candidate.add_holders()->set_node_id(id);
  }
  CandidateTurn turn;
  std::map<std::string, int> starts;
  for (int i = 0; i < 100; ++i) {
    const VersionState next = turn.Next(state);
    ++starts[next.snapshot().id()];
    EXPECT_EQ(next.snapshot_holders(0).node_id(), next.snapshot().id());
  }
  EXPECT_EQ(starts["a"], 70);
  EXPECT_EQ(starts["b"], 20);
  EXPECT_EQ(starts["c"], 10);
  state.clear_candidates();
  state.mutable_snapshot()->set_id("only");
  EXPECT_EQ(turn.Next(state).snapshot().id(), "only");
}

TEST(WantsFreezingTest, ByPolicy) {
  using Policy = thaw::common::v1::CheckpointPolicy;
  VersionState state;
  EXPECT_FALSE(WantsFreezing(state, 4));
  EXPECT_TRUE(WantsFreezing(state, 5));
  state.mutable_spec()->mutable_checkpoint()->set_after_invocations(2);
  EXPECT_TRUE(WantsFreezing(state, 2));
  state.mutable_snapshot()->set_id("s");
  EXPECT_FALSE(WantsFreezing(state, 2));
  for (const auto mode : {Policy::MODE_NEVER, Policy::MODE_MANUAL, Policy::MODE_ON_DEPLOY}) {
    VersionState other;
    other.mutable_spec()->mutable_checkpoint()->set_mode(mode);
    EXPECT_FALSE(WantsFreezing(other, 1'000'000)) << mode;
  }
  state.mutable_spec()->mutable_checkpoint()->set_mode(Policy::MODE_LEARNED);
  EXPECT_FALSE(WantsFreezing(state, 20)) << "none is wanted";
  state.add_freeze_after(20);
  EXPECT_FALSE(WantsFreezing(state, 19));
  EXPECT_TRUE(WantsFreezing(state, 20));
  EXPECT_TRUE(WantsFreezing(state, 79));
  EXPECT_FALSE(WantsFreezing(state, 80)) << "too late for that candidate";
}

}  // namespace
}  // namespace thaw::agent
