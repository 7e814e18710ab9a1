// When to freeze: on deploy, on order, and as learned.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "agent/invoke/unix_function_dialer.h"
#include "agent/pool/freeze_rule.h"
#include "agent/pool/version_pool.h"
#include "common/executor/thread_pool.h"
#include "common/rpc/client.h"
#include "common/status/reasons.h"
#include "tests/agent/core/version_pool_fixture.h"
#include "tests/support/scripted_unix_server.h"

namespace thaw::agent {
namespace {

using testing::FakeFunction;

VersionState OnDeployState() {
  VersionState state = WithMode(Policy::MODE_ON_DEPLOY, MakeState());
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

  Grant();
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
  ASSERT_TRUE(Succeeded(first));
  EXPECT_EQ((**first)->start.kind, StartKind::kWarm);
}

TEST_F(VersionPoolTest, ACallThatComesWhileOneIsPrimedIsNotDisturbed) {
  OrderFreeze(OnDeployState());
  FakeFunction& primed = *starter_.functions.at(0);
  const auto call = Invoke();
  ASSERT_EQ(starts_.RunAll(), 1) << "an instance of its own";
  ASSERT_EQ(primed.pending.size(), 1u) << "not between the priming requests";
  starter_.functions.at(1)->AnswerOk();
  ASSERT_TRUE(Succeeded(call));
  primed.AnswerOk();
  primed.AnswerOk();
  checkpoints_.RunAll();
  EXPECT_TRUE(finished_.at(0).ok());
}

TEST_F(VersionPoolTest, APrimingRequestThatFailsIsAFailedCheckpointAndAskedForAgain) {
  OrderFreeze(OnDeployState());
  starter_.functions.at(0)->Answer(FunctionReply{502, {}, "no database"});
  ASSERT_EQ(finished_.size(), 1u);
  EXPECT_THAT(std::string(finished_[0].status().message()), ::testing::HasSubstr("priming request 1 of 2 failed"));
  EXPECT_EQ(pool_->Load().instances, 0u);
  EXPECT_EQ(memory_.reserved(), 0u);
  clock_.Advance(absl::Seconds(1));
  ASSERT_EQ(wanted_.size(), 2u);
  // The scheduler's pause is kept to.
  Deny(absl::Seconds(20), "freezing failed");
  clock_.Advance(absl::Seconds(19));
  EXPECT_EQ(wanted_.size(), 2u);
  clock_.Advance(absl::Seconds(2));
  EXPECT_EQ(wanted_.size(), 3u);
  // Final.
  Deny(kForEver, "given up");
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(wanted_.size(), 3u);
}

TEST_F(VersionPoolTest, AStartForFreezingThatFailsTellsTheScheduler) {
  starter_.next_result = WithReason(absl::FailedPreconditionError("no image"), reason::kImageUnavailable);
  OrderFreeze(OnDeployState());
  ASSERT_EQ(finished_.size(), 1u);
  EXPECT_EQ(finished_[0].status().message(), "no image");
  EXPECT_EQ(memory_.reserved(), 0u);
}

TEST_F(VersionPoolTest, WithManualNoNumberOfCallsAsksAndFreezeNowFreezesTheWarmOne) {
  Make(WithMode(Policy::MODE_MANUAL, MakeState()));
  InstanceAfterCalls(21);
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
  Grant();
  EXPECT_FALSE(made.has_value());
  checkpoints_.RunAll();
  ASSERT_TRUE(made.has_value());
  ASSERT_TRUE(made->ok());
  EXPECT_EQ((*made)->id(), "snap1");
  EXPECT_EQ(finished_.size(), 1u);
  EXPECT_EQ(starter_.starts, 1);
}

TEST_F(VersionPoolTest, FreezeNowWithoutAnInstanceStartsOneFromTheImage) {
  Make(WithSnapshot("old", WithMode(Policy::MODE_MANUAL, OnDeployState())));
  std::optional<absl::StatusOr<thaw::common::v1::SnapshotInfo>> made;
  pool_->FreezeNow([&made](auto result) { made = std::move(result); });
  Grant();
  starts_.RunAll();
  starter_.functions.at(0)->AnswerOk();
  starter_.functions.at(0)->AnswerOk();
  checkpoints_.RunAll();
  ASSERT_TRUE(made.has_value() && made->ok());
  EXPECT_EQ(checkpointer_.answered, 2u) << "nothing of the old snapshot's calls";
  EXPECT_EQ(pool_->state().snapshot().id(), "snap1") << "the new one takes the old one's place";
}

TEST_F(VersionPoolTest, FreezeNowThatIsRefusedSaysWhy) {
  Make(WithMode(Policy::MODE_NEVER, MakeState()));
  std::optional<absl::StatusOr<thaw::common::v1::SnapshotInfo>> made;
  const auto keep = [&made](auto result) { made = std::move(result); };
  pool_->FreezeNow(keep);
  EXPECT_THAT(std::string(made.value().status().message()), ::testing::HasSubstr("--checkpoint manual"));
  Make(MakeState());
  made.reset();
  pool_->FreezeNow(keep);
  Deny(absl::Seconds(1), "instance i9 on node b is being frozen");
  EXPECT_THAT(std::string(made.value().status().message()), ::testing::HasSubstr("instance i9 on node b is being frozen"));
  made.reset();
  clock_.Advance(absl::Seconds(2));
  pool_->FreezeNow(keep);
  pool_->ForgetCheckpointRequest();
  EXPECT_TRUE(absl::IsUnavailable(made.value().status()));
}

VersionState LearnedState() {
  VersionState state = WithMode(Policy::MODE_LEARNED, MakeState());
  for (const int after : {1, 5, 20}) state.add_freeze_after(static_cast<std::uint32_t>(after));
  return state;
}

TEST_F(VersionPoolTest, ALearnedVersionAsksAtEachCountThatIsWanted) {
  Make(LearnedState());
  FakeFunction& function = InstanceAfterCalls(1);
  ASSERT_EQ(wanted_.size(), 1u) << "after the first call";
  EXPECT_EQ(wanted_answered_, 1u);
  Grant();
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

// The agent's order when it stops: a priming request may hang for longer than its executors live.
TEST_F(VersionPoolTest, APrimingRequestThatHangsEndsWithTheDialer) {
  const testing::TempDir dir;
  absl::Notification primed;
  const testing::ScriptedUnixServer server(
      [&](testing::ScriptedUnixServer::Connection& connection) {
        connection.ReadRequest();
        primed.Notify();
        connection.AwaitClose();
      },
      dir.File("real.sock"));
  ASSERT_EQ(symlink("real.sock", dir.File("lsnr.sock").c_str()), 0);
  UnixFunctionDialer dialer;
  starter_.connect = [&] { return dialer.NewConnection(dir.path()); };
  // The fake clock's time is not the dialer's.
  clock_.Advance(absl::Now() - clock_.Now() + absl::Hours(1));
  auto housekeeping = std::make_unique<ThreadPool>(ThreadPool::Options{"housekeeping", 1, 10});
  PoolDeps deps{starter_, checkpointer_, slots_, *this, memory_, metrics_, starts_, checkpoints_, *housekeeping,
                clock_, clock_, NullLogger()};
  VersionState state = OnDeployState();
  state.set_freeze_now(true);
  pool_ = VersionPool::Create(state, options_, deps);
  pool_->Update(state);
  Grant();
  starts_.RunAll();
  primed.WaitForNotification();
  dialer.Close();
  housekeeping->Shutdown();
  dialer.Join();
  housekeeping.reset();
  ASSERT_EQ(finished_.size(), 1u) << "the scheduler is told, once";
  EXPECT_THAT(finished_[0].status().message(), ::testing::HasSubstr("priming request 1 of 2 failed"));
  std::weak_ptr<VersionPool> watch = pool_;
  pool_.reset();
  EXPECT_TRUE(watch.expired()) << "nothing of the call is left to run";
}

}  // namespace
}  // namespace thaw::agent
