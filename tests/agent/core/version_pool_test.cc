// Calls, starts, idle time, room and the end of a pool; checkpoints, what is given and policies have files of their own.
#include "agent/pool/version_pool.h"

#include <gtest/gtest.h>

#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/instance/instance.h"
#include "common/status/reasons.h"
#include "tests/agent/core/version_pool_fixture.h"

namespace thaw::agent {
namespace {

using testing::FakeFunction;

TEST_F(VersionPoolTest, FirstCallIsColdAndTheSecondWarm) {
  const auto first = Invoke();
  EXPECT_FALSE(first->has_value());
  EXPECT_EQ(starts_.RunAll(), 1);
  starter_.functions[0]->AnswerOk("one");
  ASSERT_TRUE(Succeeded(first));
  EXPECT_EQ((**first)->start.kind, StartKind::kCold);
  EXPECT_EQ((**first)->start.phases.restore, absl::Milliseconds(40));
  EXPECT_EQ((**first)->reply.body, "one");

  const auto second = Invoke();
  starter_.functions[0]->AnswerOk("two");
  ASSERT_TRUE(Succeeded(second));
  EXPECT_EQ((**second)->start.kind, StartKind::kWarm);
  EXPECT_EQ(starter_.starts, 1);
}

TEST_F(VersionPoolTest, HundredWaitingShortCallsShareOneInstance) {
  std::vector<PendingCall> calls;
  for (int i = 0; i < 100; ++i) calls.push_back(Invoke());
  starts_.RunAll();
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(starter_.functions[0]->pending.size(), 1u) << "one call at a time";
    starter_.functions[0]->AnswerOk();
  }
  for (const auto& call : calls) EXPECT_TRUE(Succeeded(call));
  EXPECT_EQ(starter_.starts, 1);
}

TEST_F(VersionPoolTest, ACallBehindOneThatHangsGetsAnInstanceOfItsOwn) {
  InvokeAndStart();
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

TEST_F(VersionPoolTest, FailedStartOfOneMoreLeavesTheQueueToTheInstanceThatServes) {
  const auto first = InvokeAndStart();
  const auto second = Invoke();
  const auto third = Invoke();
  clock_.Advance(absl::Seconds(3));  // Longer than the cold start that is expected.
  starter_.next_result = WithReason(absl::DeadlineExceededError("never listened"), reason::kFunctionNeverListened);
  EXPECT_EQ(starts_.RunAll(), 2);
  EXPECT_FALSE(second->has_value()) << "an instance of the version serves";
  EXPECT_FALSE(third->has_value());

  // Not again at once, but in time.
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(starts_.RunAll(), 0);
  starter_.next_result = absl::OkStatus();
  clock_.Advance(absl::Seconds(5));
  EXPECT_EQ(starts_.RunAll(), 2) << "one for each that waits behind a call of nine seconds";
  ASSERT_EQ(starter_.functions.size(), 3u);
  for (const auto& function : starter_.functions) function->AnswerOk();
  for (const auto& call : {first, second, third}) EXPECT_TRUE(Succeeded(call));
}

TEST_F(VersionPoolTest, LastOfSeveralStartsThatFailTellsAllThatWaited) {
  starter_.next_result = WithReason(absl::FailedPreconditionError("no image"), reason::kImageUnavailable);
  InvokeAndStart();
  const auto call = Invoke();
  starts_.RunAll();
  ASSERT_TRUE(call->has_value());
  // A version of which nothing serves is not held back by an earlier failure.
  starter_.next_result = absl::OkStatus();
  EXPECT_FALSE(InvokeAndStart()->has_value());
  EXPECT_EQ(starter_.functions.size(), 1u);
}

TEST_F(VersionPoolTest, BrokenCallIsNotSentAgainAndItsInstanceIsReplaced) {
  const auto call = InvokeAndStart();
  BreakCall(*starter_.functions[0]);
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
  InvokeAndStart();
  EXPECT_TRUE(starter_.had_slot);
  EXPECT_EQ(slots_.created(), 1);
}

TEST_F(VersionPoolTest, OutOfMemoryIsNamed) {
  const auto call = InvokeAndStart();
  BreakCall(*starter_.functions[0]);
  InitEvent exit;
  exit.signal = "SIGKILL";
  exit.out_of_memory = true;
  slots_.control(0)->Tell(exit);
  clock_.Advance(absl::Milliseconds(200));
  ASSERT_TRUE(call->has_value());
  EXPECT_EQ(ReasonOf((*call)->status()), reason::kFunctionOutOfMemory);
}

TEST_F(VersionPoolTest, CallThatNeverReachedItsInstanceGoesToAnother) {
  const auto call = InvokeAndStart();
  starter_.functions[0]->Answer(absl::UnavailableError("connection refused"));
  EXPECT_FALSE(call->has_value());
  EXPECT_EQ(starts_.RunAll(), 1);
  starter_.functions[1]->AnswerOk("second");
  ASSERT_TRUE(Succeeded(call));
  EXPECT_EQ((**call)->reply.body, "second");
}

TEST_F(VersionPoolTest, StatusThatTheContractForbidsEndsTheInstance) {
  const auto call = InvokeAndStart();
  starter_.functions[0]->Answer(FunctionReply{302, {}, ""});
  ASSERT_TRUE(call->has_value());
  EXPECT_EQ(ReasonOf((*call)->status()), reason::kFunctionBadAnswer);
  EXPECT_EQ(pool_->Load().instances, 0u);
}

TEST_F(VersionPoolTest, FunctionThatFailsByItsOwnAccountStaysInService) {
  const auto call = InvokeAndStart();
  starter_.functions[0]->Answer(FunctionReply{502, {}, ""});
  ASSERT_TRUE(Succeeded(call));
  EXPECT_EQ((**call)->reply.status, 502);
  EXPECT_EQ(pool_->Load().idle, 1u);
}

TEST_F(VersionPoolTest, IdleInstanceIsStoppedAndLeavesItsSlot) {
  InstanceAfterCalls(1);
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
  FakeFunction& function = InstanceAfterCalls(1);
  clock_.Advance(kIdleTimeout / 2);
  Warm(function);
  clock_.Advance(kIdleTimeout - absl::Milliseconds(1));
  EXPECT_EQ(pool_->Load().idle, 1u);
}

TEST_F(VersionPoolTest, RestoredInstanceGoesOnCountingWhereItWasFrozen) {
  VersionState state = WithSnapshot("snap1", MakeState());
  state.mutable_snapshot()->set_invocations(5);
  Make(state);
  const auto call = InvokeAndStart();
  starter_.functions[0]->AnswerOk();
  ASSERT_TRUE(Succeeded(call));
  EXPECT_EQ((**call)->start.kind, StartKind::kRestored);
  EXPECT_TRUE(wanted_.empty()) << "there is a snapshot already";
}

TEST_F(VersionPoolTest, WantedSlotsAreMadeAheadAndTakenByTheNextStart) {
  VersionState state = MakeState();
  state.set_desired_slots(1);
  pool_->Update(state);
  EXPECT_EQ(starts_.RunAll(), 1);
  EXPECT_EQ(pool_->Load().empty_slots, 1u);
  InvokeAndStart();
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
  EXPECT_TRUE(Succeeded(call));
}

TEST_F(VersionPoolTest, CancelledCallsGiveTheirPlacesInTheQueueBackAtOnce) {
  options_.max_waiting_calls = 2;
  options_.max_instances_per_version = 1;
  Make(MakeState());
  const auto running = InvokeAndStart();
  std::vector<std::shared_ptr<Cancellation>> callers;
  std::vector<PendingCall> gone;
  const std::size_t timers = clock_.pending_timers();
  for (int i = 0; i < 2; ++i) {
    callers.push_back(std::make_shared<Cancellation>());
    gone.push_back(Invoke(absl::Seconds(60), callers.back()));
  }
  const auto refused = Invoke();
  ASSERT_TRUE(refused->has_value());
  EXPECT_EQ(ReasonOf((*refused)->status()), reason::kQueueFull);
  for (const auto& caller : callers) caller->Cancel();
  for (const auto& call : gone) {
    ASSERT_TRUE(call->has_value());
    EXPECT_TRUE(absl::IsCancelled((*call)->status()));
  }
  EXPECT_EQ(pool_->Load().waiting, 0u);
  EXPECT_LE(clock_.pending_timers(), timers + 1) << "their deadlines are forgotten; at most the reconsideration is left";
  const auto third = Invoke();
  EXPECT_FALSE(third->has_value()) << "it is queued";
  FakeFunction& function = *starter_.functions.at(0);
  function.AnswerOk();
  EXPECT_EQ(function.calls, 2) << "the cancelled ones were never sent";
  function.AnswerOk();
  EXPECT_TRUE(Succeeded(running) && Succeeded(third));
}

TEST_F(VersionPoolTest, NoInstanceIsStartedForCallersWhoHaveGone) {
  options_.max_instances_per_version = 8;
  Make(MakeState());
  const auto running = InvokeAndStart();
  auto caller = std::make_shared<Cancellation>();
  caller->Cancel();
  const auto late = Invoke(absl::Seconds(60), caller);
  ASSERT_TRUE(late->has_value());
  EXPECT_TRUE(absl::IsCancelled((*late)->status()));
  // The second waits as the only instance has just begun; long before that would take too long, its caller
  // goes.
  caller = std::make_shared<Cancellation>();
  const auto second = Invoke(absl::Seconds(60), caller);
  EXPECT_FALSE(second->has_value());
  const std::size_t starting = pool_->Load().starting;
  caller->Cancel();
  EXPECT_TRUE(second->has_value());
  clock_.Advance(absl::Seconds(20));
  EXPECT_EQ(pool_->Load().starting, starting) << "nobody waits";
}

TEST_F(VersionPoolTest, ACallThatIsQueuedAgainStillHearsThatItsCallerHasGone) {
  options_.max_instances_per_version = 1;
  Make(MakeState());
  auto caller = std::make_shared<Cancellation>();
  InvokeAndStart();
  starter_.functions.at(0)->AnswerOk();
  const auto call = Invoke(absl::Seconds(60), caller);
  starter_.functions.at(0)->Answer(absl::UnavailableError("closed before a byte had left"));
  EXPECT_EQ(pool_->Load().waiting, 1u);
  caller->Cancel();
  ASSERT_TRUE(call->has_value());
  EXPECT_TRUE(absl::IsCancelled((*call)->status()));
  EXPECT_EQ(pool_->Load().waiting, 0u);
}

TEST_F(VersionPoolTest, ACallThatHasReachedItsFunctionGoesOnWithoutItsCaller) {
  auto caller = std::make_shared<Cancellation>();
  const auto call = Invoke(absl::Seconds(60), caller);
  starts_.RunAll();
  caller->Cancel();
  EXPECT_FALSE(call->has_value());
  starter_.functions.at(0)->AnswerOk();
  EXPECT_TRUE(Succeeded(call));
}

TEST_F(VersionPoolTest, RetirementLetsCallsEndAndLeavesNothing) {
  const auto running = InvokeAndStart();
  const auto waiting = Invoke();
  bool drained = false;
  pool_->Retire([&drained] { drained = true; });
  ASSERT_TRUE(waiting->has_value());
  EXPECT_TRUE(absl::IsUnavailable((*waiting)->status()));
  EXPECT_EQ(ReasonOf((*waiting)->status()), reason::kVersionReplaced) << "a reason tells the gateway that it may retry";
  EXPECT_FALSE(drained);
  starter_.functions[0]->AnswerOk();
  EXPECT_TRUE(Succeeded(running));
  EXPECT_TRUE(drained);
  EXPECT_EQ(slots_.alive(), 0);
  EXPECT_EQ(memory_.reserved(), 0u);
}

TEST_F(VersionPoolTest, IdleInstanceThatExitsIsNoticed) {
  InstanceAfterCalls(1);
  slots_.control(0)->Tell(InitEvent());
  EXPECT_EQ(pool_->Load().instances, 0u);
}

TEST(InstanceTransitions, OnlyThoseOfTheDrawing) {
  EXPECT_TRUE(IsLegalTransition(InstanceState::kIdle, InstanceState::kCheckpointing));
  EXPECT_FALSE(IsLegalTransition(InstanceState::kBusy, InstanceState::kCheckpointing));
  EXPECT_FALSE(IsLegalTransition(InstanceState::kGone, InstanceState::kIdle));
  Instance instance("i");
  EXPECT_DEATH(instance.Transition(InstanceState::kBusy), "illegal transition starting -> busy");
}

}  // namespace
}  // namespace thaw::agent
