// VersionPool::Ask(): a question of the agent's own on the connection that is the calls'.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/pool/version_pool.h"
#include "tests/agent/core/version_pool_fixture.h"

namespace thaw::agent {
namespace {

using testing::FakeFunction;

class VersionPoolAskTest : public VersionPoolTest {
 protected:
  using Reply = std::shared_ptr<std::optional<absl::StatusOr<FunctionReply>>>;

  Reply Ask(const std::string& instance_id) {
    auto reply = std::make_shared<std::optional<absl::StatusOr<FunctionReply>>>();
    FunctionRequest question;
    question.method = "GET";
    question.target = "/thaw/descriptors";
    question.deadline = clock_.Now() + absl::Seconds(1);
    pool_->Ask(instance_id, std::move(question),
               [reply](absl::StatusOr<FunctionReply> answer) { reply->emplace(std::move(answer)); });
    return reply;
  }

  // Starts an instance by a call and answers that; its id.
  std::string StartOne() {
    const auto call = InvokeAndStart();
    starter_.functions.back()->AnswerOk();
    EXPECT_TRUE(Succeeded(call));
    return (**call)->instance_id;
  }
  FakeFunction& function() { return *starter_.functions[0]; }
  double CountedCalls() const {
    double calls = 0;
    for (const auto& family : registry_.Collect()) {
      if (family.name != "thaw_agent_invocations_total") continue;
      for (const auto& metric : family.metric) calls += metric.counter.value;
    }
    return calls;
  }
};

TEST_F(VersionPoolAskTest, AnIdleInstanceIsAskedAndIsIdleAgain) {
  const std::string id = StartOne();
  const Reply reply = Ask(id);
  ASSERT_EQ(function().pending.size(), 1u);
  EXPECT_EQ(function().pending[0].request.target, "/thaw/descriptors");
  EXPECT_EQ(pool_->Load().busy, 1u);
  EXPECT_FALSE(pool_->EvictIdle()) << "not while it is asked";
  function().AnswerOk("stacks");
  ASSERT_TRUE(reply->has_value() && (*reply)->ok());
  EXPECT_EQ((**reply)->body, "stacks");
  EXPECT_EQ(pool_->Load().idle, 1u);
  Warm(function());
}

TEST_F(VersionPoolAskTest, ABusyInstanceIsNotAskedAndNeitherIsOneThatIsNotHere) {
  const std::string id = StartOne();
  const auto call = Invoke();
  const Reply busy = Ask(id);
  ASSERT_TRUE(busy->has_value());
  EXPECT_TRUE(absl::IsFailedPrecondition((*busy)->status())) << (*busy)->status();
  EXPECT_EQ(function().pending.size(), 1u) << "only the call";
  function().AnswerOk();
  EXPECT_TRUE((*call)->ok());
  const Reply gone = Ask("nobody");
  ASSERT_TRUE(gone->has_value());
  EXPECT_TRUE(absl::IsNotFound((*gone)->status()));
}

TEST_F(VersionPoolAskTest, AQuestionIsNoCallAndItsInstanceRestsOn) {
  const std::string id = StartOne();
  for (int i = 0; i < 3; ++i) Warm(function());
  EXPECT_EQ(CountedCalls(), 4);
  clock_.Advance(kIdleTimeout - absl::Seconds(2));
  for (int i = 0; i < 5; ++i) {
    const Reply reply = Ask(id);
    function().AnswerOk();
    ASSERT_TRUE((*reply)->ok());
  }
  EXPECT_TRUE(wanted_.empty()) << "four calls were answered, and no fifth";
  EXPECT_EQ(CountedCalls(), 4);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(pool_->Load().idle, 1u);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(pool_->Load().instances, 0u) << "its idle time did not start anew";
}

TEST_F(VersionPoolAskTest, AQuestionDuringWhichTheRestEndsEndsItAfterwards) {
  const std::string id = StartOne();
  clock_.Advance(kIdleTimeout - absl::Milliseconds(1));
  const Reply reply = Ask(id);
  clock_.Advance(absl::Milliseconds(2));
  EXPECT_EQ(pool_->Load().busy, 1u);
  function().AnswerOk();
  ASSERT_TRUE(reply->has_value());
  clock_.Advance(absl::ZeroDuration());
  EXPECT_EQ(pool_->Load().instances, 0u);
}

TEST_F(VersionPoolAskTest, ACallWaitsForTheQuestionAndNoLonger) {
  const std::string id = StartOne();
  Ask(id);
  const auto call = Invoke();
  EXPECT_EQ(function().pending.size(), 1u) << "one at a time";
  function().AnswerOk();
  ASSERT_EQ(function().pending.size(), 1u) << "and now the call";
  EXPECT_EQ(function().pending[0].request.target, "/call");
  function().AnswerOk("called");
  ASSERT_TRUE(call->has_value() && (*call)->ok());
  EXPECT_EQ((**call)->reply.body, "called");
  EXPECT_EQ((**call)->start.kind, StartKind::kWarm);
  EXPECT_EQ(starter_.starts, 1);
}

TEST_F(VersionPoolAskTest, AQuestionWithoutAnAnswerLeavesTheInstanceToItsNextCall) {
  const std::string id = StartOne();
  const Reply reply = Ask(id);
  function().Answer(absl::DeadlineExceededError("no answer"));
  ASSERT_TRUE(reply->has_value());
  EXPECT_TRUE(absl::IsDeadlineExceeded((*reply)->status()));
  EXPECT_EQ(pool_->Load().idle, 1u);
  Warm(function());
}

TEST_F(VersionPoolAskTest, TheOneThatIsUsedNextAndTheOneThatIsStoppedFirstStayTheSame) {
  const auto first = InvokeAndStart();
  const auto second = Invoke();
  clock_.Advance(absl::Seconds(3));
  starts_.RunAll();
  ASSERT_EQ(starter_.functions.size(), 2u);
  starter_.functions[0]->AnswerOk();
  clock_.Advance(absl::Seconds(1));
  starter_.functions[1]->AnswerOk();
  const absl::Time oldest = pool_->oldest_idle();
  // The one that has rested longer.
  Ask((**first)->instance_id);
  starter_.functions[0]->AnswerOk();
  EXPECT_EQ(pool_->oldest_idle(), oldest);
  Invoke();
  EXPECT_EQ(starter_.functions[1]->pending.size(), 1u) << "the one that was called last";
}

TEST_F(VersionPoolAskTest, AnInstanceThatEndsWhileItIsAskedIsStopped) {
  const std::string id = StartOne();
  const Reply reply = Ask(id);
  InitEvent exit;
  exit.code = 3;
  slots_.control(0)->Tell(exit);
  EXPECT_EQ(pool_->Load().instances, 1u) << "its question is under way";
  function().Answer(absl::InternalError("eof"));
  ASSERT_TRUE(reply->has_value());
  EXPECT_EQ(pool_->Load().instances, 0u);
  EXPECT_EQ(memory_.reserved(), 0u);
}

TEST_F(VersionPoolAskTest, RetirementWaitsForTheQuestion) {
  const std::string id = StartOne();
  const Reply reply = Ask(id);
  bool drained = false;
  pool_->Retire([&] { drained = true; });
  EXPECT_FALSE(drained);
  function().AnswerOk();
  ASSERT_TRUE(reply->has_value());
  EXPECT_TRUE(drained);
  EXPECT_EQ(slots_.alive(), 0);
}

TEST_F(VersionPoolAskTest, ACheckpointThatIsGrantedDuringAQuestionBeginsAfterIt) {
  const std::string id = StartOne();
  for (int i = 0; i < 4; ++i) Warm(function());
  ASSERT_EQ(wanted_, std::vector<std::string>{id});
  Ask(id);
  pool_->OnCheckpointGrant(id, true, absl::ZeroDuration());
  EXPECT_EQ(checkpoints_.RunAll(), 0) << "the connection is lent";
  function().AnswerOk();
  EXPECT_EQ(pool_->Load().checkpointing, 1u);
  const Reply frozen = Ask(id);
  ASSERT_TRUE(frozen->has_value());
  EXPECT_TRUE(absl::IsFailedPrecondition((*frozen)->status())) << "the connection is the checkpoint's";
  EXPECT_EQ(checkpoints_.RunAll(), 1);
  EXPECT_EQ(checkpointer_.freezes, 1);
  EXPECT_EQ(finished_.size(), 1u);
}

}  // namespace
}  // namespace thaw::agent
