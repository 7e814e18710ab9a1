#include <algorithm>

#include "gateway/invoke/invoker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/status/reasons.h"
#include "tests/fakes/fake_agent_client.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_scheduler_client.h"

namespace thaw::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::thaw::testing::Failed;
using ::thaw::testing::FakeAgentClient;
using ::thaw::testing::FakeClock;
using ::thaw::testing::FakeSchedulerClient;
using ::thaw::testing::MakeLease;
using ::thaw::testing::WarmAnswer;

class InvokerTest : public ::testing::Test {
 protected:
  InvokerTest() { Make(Invoker::Options()); }
  // A call and its caller hold each other until it has ended.
  ~InvokerTest() override {
    while (!agents_.waiting.empty()) {
      agents_.Answer(Failed(absl::UnknownError("the test is over"), Delivery::kMaybeSent));
    }
  }

  void Make(Invoker::Options options, int max_calls = 100, std::size_t max_bytes = 1 << 20,
            LeaseTable::Options routing = {}) {
    admission_ = std::make_unique<Admission>(max_calls, max_bytes);
    leases_ = LeaseTable::Create(routing, {.scheduler = &scheduler_,
                                      .clock = &clock_,
                                      .timers = &clock_,
                                      .metrics = &metrics_,
                                      .log = NullLogger()});
    invoker_ = std::make_unique<Invoker>(options, Invoker::Deps{.leases = leases_,
                                                                .agents = &agents_,
                                                                .admission = admission_.get(),
                                                                .clock = &clock_,
                                                                .metrics = &metrics_,
                                                                .log = NullLogger()});
  }

  // Gives each request the first node of `nodes` that it does not exclude.
  void Nodes(std::vector<std::string> nodes) {
    scheduler_.set_on_acquire([nodes, n = 0](const SchedulerClient::AcquireRequest& request) mutable
                              -> absl::StatusOr<Lease> {
      for (const std::string& node : nodes) {
        if (!request.pinned_node.empty() && node != request.pinned_node) continue;
        if (std::count(request.excluded_nodes.begin(), request.excluded_nodes.end(), node) > 0) continue;
        return MakeLease(absl::StrCat("lease-", ++n), node);
      }
      return WithReason(absl::UnavailableError("no node is ready"), reason::kNoNodeReady);
    });
  }

  struct Ended {
    std::optional<Outcome> outcome;
    std::shared_ptr<Invocation> invocation;
    const absl::Status& status() const { return outcome->status; }
  };
  static Call MakeCall() {
    Call call;
    call.function.id = "fn";
    call.body = "ping";
    return call;
  }
  std::shared_ptr<Ended> Start(Call call) {
    auto ended = std::make_shared<Ended>();
    ended->invocation = invoker_->Start(std::move(call), [ended](Outcome outcome) {
      EXPECT_FALSE(ended->outcome.has_value()) << "the call ended twice";
      ended->outcome = std::move(outcome);
    });
    return ended;
  }

  prometheus::Registry registry_;
  GatewayMetrics metrics_{registry_};
  FakeClock clock_;
  FakeSchedulerClient scheduler_;
  FakeAgentClient agents_;
  std::unique_ptr<Admission> admission_;
  std::shared_ptr<LeaseTable> leases_;
  std::unique_ptr<Invoker> invoker_;
};

const absl::Status kRefused = absl::UnavailableError("failed to connect to all addresses");

TEST_F(InvokerTest, AnswersWithWhatTheFunctionSaid) {
  Nodes({"a"});
  agents_.set_on_invoke([](const AgentRequest& request) {
    EXPECT_EQ(request.call->body, "ping");
    EXPECT_EQ(request.lease.version_id, "version-1");
    EXPECT_FALSE(request.stream);
    return WarmAnswer("pong");
  });
  auto ended = Start(MakeCall());
  ASSERT_TRUE(ended->outcome.has_value());
  EXPECT_TRUE(ended->status().ok());
  EXPECT_EQ(ended->outcome->answer.body, "pong");
  EXPECT_THAT(ended->outcome->call_id, SizeIs(26));
  EXPECT_EQ(ended->outcome->node_id, "a");
  EXPECT_EQ(admission_->calls(), 0);
  EXPECT_EQ(admission_->bytes(), 0u);
}

TEST_F(InvokerTest, DeadNodeIsPassedByWithinTheSameCall) {
  Nodes({"a", "b"});
  agents_.set_on_invoke([](const AgentRequest& request) {
    return request.lease.node_id == "a" ? Failed(kRefused, Delivery::kNotSent) : WarmAnswer("pong");
  });
  auto ended = Start(MakeCall());
  ASSERT_TRUE(ended->outcome.has_value());
  EXPECT_TRUE(ended->status().ok()) << ended->status();
  EXPECT_THAT(agents_.nodes(), ElementsAre("a", "b"));
  EXPECT_EQ(ended->outcome->node_id, "b");
  EXPECT_THAT(scheduler_.released(), ElementsAre("lease-1"));
  EXPECT_THAT(RenderMetrics(registry_), HasSubstr("thaw_gateway_retries_total{cause=\"unreachable\"} 1"));
}

TEST_F(InvokerTest, SameCallIdGoesToEveryNode) {
  Nodes({"a", "b"});
  std::vector<std::string> ids;
  agents_.set_on_invoke([&ids](const AgentRequest& request) {
    ids.push_back(request.call_id);
    return ids.size() == 1 ? Failed(kRefused, Delivery::kNotSent) : WarmAnswer("pong");
  });
  Start(MakeCall());
  ASSERT_THAT(ids, SizeIs(2));
  EXPECT_EQ(ids[0], ids[1]);
}

TEST_F(InvokerTest, LostAnswerIsNotSentAgain) {
  Nodes({"a", "b"});
  agents_.set_on_invoke(
      [](const AgentRequest&) { return Failed(absl::UnavailableError("Socket closed"), Delivery::kMaybeSent); });
  auto ended = Start(MakeCall());
  ASSERT_TRUE(ended->outcome.has_value());
  EXPECT_TRUE(absl::IsAborted(ended->status()));
  EXPECT_EQ(ReasonOf(ended->status()), reason::kAnswerLost);
  EXPECT_THAT(agents_.nodes(), ElementsAre("a"));
}

TEST_F(InvokerTest, GivesUpAfterThreeNodes) {
  Nodes({"a", "b", "c", "d"});
  agents_.set_on_invoke([](const AgentRequest&) { return Failed(kRefused, Delivery::kNotSent); });
  auto ended = Start(MakeCall());
  ASSERT_TRUE(ended->outcome.has_value());
  EXPECT_TRUE(absl::IsUnavailable(ended->status()));
  EXPECT_THAT(agents_.nodes(), ElementsAre("a", "b", "c"));
}

TEST_F(InvokerTest, LastNodesOwnErrorIsToldWhenThereIsNoOther) {
  Nodes({"a"});
  agents_.set_on_invoke([](const AgentRequest&) {
    return Failed(WithReason(absl::FailedPreconditionError("no such image"), reason::kImageUnavailable),
                  Delivery::kAnswered);
  });
  auto ended = Start(MakeCall());
  ASSERT_TRUE(ended->outcome.has_value());
  EXPECT_TRUE(absl::IsFailedPrecondition(ended->status()));
  EXPECT_EQ(ReasonOf(ended->status()), reason::kImageUnavailable);
}

TEST_F(InvokerTest, FunctionThatIsGoneMeanwhileIsNotFound) {
  scheduler_.set_on_acquire([n = 0](const auto&) mutable -> absl::StatusOr<Lease> {
    if (n++ == 0) return MakeLease("l1", "a");
    return absl::NotFoundError("no such function");
  });
  agents_.set_on_invoke([](const AgentRequest&) {
    return Failed(WithReason(absl::NotFoundError("no such version"), reason::kFunctionNotFound), Delivery::kAnswered);
  });
  auto ended = Start(MakeCall());
  ASSERT_TRUE(ended->outcome.has_value());
  EXPECT_TRUE(absl::IsNotFound(ended->status()));
  EXPECT_EQ(ended->status().message(), "no such function");
}

TEST_F(InvokerTest, PinnedCallIsNotTakenElsewhere) {
  Invoker::Options options;
  options.allow_node_pinning = true;
  Make(options);
  Nodes({"a", "b"});
  agents_.set_on_invoke([](const AgentRequest&) { return Failed(kRefused, Delivery::kNotSent); });
  Call call = MakeCall();
  call.pinned_node = "b";
  auto ended = Start(std::move(call));
  ASSERT_TRUE(ended->outcome.has_value());
  EXPECT_TRUE(absl::IsUnavailable(ended->status()));
  EXPECT_THAT(agents_.nodes(), ElementsAre("b"));
}

TEST_F(InvokerTest, PinningIsForbiddenUnlessAllowed) {
  Nodes({"a"});
  Call call = MakeCall();
  call.pinned_node = "a";
  auto ended = Start(std::move(call));
  ASSERT_TRUE(ended->outcome.has_value());
  EXPECT_TRUE(absl::IsPermissionDenied(ended->status()));
  EXPECT_EQ(ReasonOf(ended->status()), reason::kNodePinningForbidden);
  EXPECT_THAT(agents_.nodes(), IsEmpty());
}

TEST_F(InvokerTest, AgentsDeadlineIsTheFunctionsTimeoutAndTheAllowance) {
  Nodes({"a"});
  const absl::Time now = clock_.Now();
  Start(MakeCall());
  ASSERT_THAT(agents_.waiting, SizeIs(1));
  EXPECT_EQ(agents_.waiting[0].request.deadline, now + absl::Seconds(30) + absl::Seconds(60));
}

TEST_F(InvokerTest, CallersEarlierDeadlineIsTheAgents) {
  Nodes({"a"});
  Call call = MakeCall();
  call.deadline = clock_.Now() + absl::Seconds(5);
  const absl::Time deadline = call.deadline;
  Start(std::move(call));
  ASSERT_THAT(agents_.waiting, SizeIs(1));
  EXPECT_EQ(agents_.waiting[0].request.deadline, deadline);
}

TEST_F(InvokerTest, NextNodeGetsWhatIsLeftOfTheSameDeadline) {
  Nodes({"a", "b"});
  Call call = MakeCall();
  call.deadline = clock_.Now() + absl::Seconds(5);
  const absl::Time deadline = call.deadline;
  Start(std::move(call));
  clock_.Advance(absl::Seconds(2));
  agents_.Answer(Failed(kRefused, Delivery::kNotSent));
  ASSERT_THAT(agents_.waiting, SizeIs(1));
  EXPECT_EQ(agents_.waiting[0].request.deadline, deadline);
}

TEST_F(InvokerTest, CallWhoseTimeIsUpIsNotSentToTheNextNode) {
  Nodes({"a", "b"});
  Call call = MakeCall();
  call.deadline = clock_.Now() + absl::Seconds(5);
  auto ended = Start(std::move(call));
  clock_.Advance(absl::Seconds(6));
  agents_.Answer(Failed(kRefused, Delivery::kNotSent));
  ASSERT_TRUE(ended->outcome.has_value());
  EXPECT_TRUE(absl::IsDeadlineExceeded(ended->status()));
  EXPECT_THAT(agents_.nodes(), ElementsAre("a"));
}

TEST_F(InvokerTest, LargeBodyIsStreamed) {
  Nodes({"a"});
  Make(Invoker::Options(), 100, 16u << 20);
  Call call = MakeCall();
  call.body.assign((2u << 20) + 1, 'x');
  Start(std::move(call));
  ASSERT_THAT(agents_.waiting, SizeIs(1));
  EXPECT_TRUE(agents_.waiting[0].request.stream);
}

TEST_F(InvokerTest, FunctionWithAnAnswerTooLargeForUnaryIsStreamedFromThenOn) {
  Nodes({"a"});
  Start(MakeCall());
  EXPECT_FALSE(agents_.waiting[0].request.stream);
  agents_.Answer(Failed(MarkSent(WithReason(absl::InternalError("too large"), reason::kFunctionAnswerTooLarge)),
                        Delivery::kAnswered));
  Start(MakeCall());
  EXPECT_TRUE(agents_.waiting[0].request.stream);
}

TEST_F(InvokerTest, BodyAndHeadersAreLimited) {
  Invoker::Options options;
  options.max_body_bytes = 10;
  options.max_header_bytes = 20;
  Make(options);
  Call large = MakeCall();
  large.body = "eleven bytes";
  EXPECT_EQ(ReasonOf(Start(std::move(large))->status()), reason::kBodyTooLarge);
  Call wordy = MakeCall();
  wordy.headers = {{"a-long-header", "and its value"}};
  EXPECT_EQ(ReasonOf(Start(std::move(wordy))->status()), reason::kHeadersTooLarge);
  EXPECT_THAT(scheduler_.requests(), IsEmpty());
}

TEST_F(InvokerTest, CallsInFlightAreBoundedAndRoomComesBack) {
  Make(Invoker::Options(), /*max_calls=*/1);
  Nodes({"a"});
  auto first = Start(MakeCall());
  auto second = Start(MakeCall());
  ASSERT_TRUE(second->outcome.has_value());
  EXPECT_TRUE(absl::IsResourceExhausted(second->status()));
  EXPECT_EQ(ReasonOf(second->status()), reason::kQueueFull);
  EXPECT_TRUE(RetryAfterOf(second->status()).has_value());
  agents_.Answer(WarmAnswer("pong"));
  EXPECT_TRUE(first->status().ok());
  auto third = Start(MakeCall());
  EXPECT_FALSE(third->outcome.has_value());
}

TEST_F(InvokerTest, BodyBytesInFlightAreBounded) {
  Make(Invoker::Options(), 100, /*max_bytes=*/6);
  Nodes({"a"});
  auto first = Start(MakeCall());
  auto second = Start(MakeCall());
  ASSERT_TRUE(second->outcome.has_value());
  EXPECT_TRUE(absl::IsResourceExhausted(second->status()));
  EXPECT_EQ(admission_->calls(), 1);
}

TEST_F(InvokerTest, FunctionsOwnFailuresBecomeErrorsWithTheirAnswer) {
  Nodes({"a"});
  const std::vector<std::pair<int, const char*>> cases = {
      {502, reason::kFunctionFailed}, {504, reason::kFunctionTimeout}, {418, reason::kFunctionBadAnswer}};
  for (const auto& [status, why] : cases) {
    auto ended = Start(MakeCall());
    AgentResult result = WarmAnswer("sorry");
    result.answer.status = status;
    agents_.Answer(std::move(result));
    ASSERT_TRUE(ended->outcome.has_value());
    EXPECT_EQ(ReasonOf(ended->status()), why);
    EXPECT_TRUE(WasSent(ended->status()));
    EXPECT_EQ(ended->outcome->answer.start.kind, StartKind::kWarm);
  }
}

TEST_F(InvokerTest, AnswerTooLargeForItsWayBackSaysWhichWayToTake) {
  Nodes({"a"});
  Call call = MakeCall();
  call.max_answer_bytes = 3;
  auto ended = Start(std::move(call));
  agents_.Answer(WarmAnswer("pong"));
  ASSERT_TRUE(ended->outcome.has_value());
  EXPECT_EQ(ReasonOf(ended->status()), reason::kFunctionAnswerTooLarge);
  EXPECT_THAT(std::string(ended->status().message()), HasSubstr("InvokeStream"));
}

TEST_F(InvokerTest, CancelReachesTheAgentAndEndsTheCallWithItsWord) {
  Nodes({"a"});
  auto ended = Start(MakeCall());
  ended->invocation->Cancel();
  EXPECT_EQ(agents_.cancels(), 1);
  EXPECT_FALSE(ended->outcome.has_value()) << "the agent may still be at work";
  agents_.Answer(Failed(absl::CancelledError("cancelled"), Delivery::kMaybeSent));
  ASSERT_TRUE(ended->outcome.has_value());
  EXPECT_TRUE(absl::IsCancelled(ended->status()));
}

TEST_F(InvokerTest, CancelWhileWaitingForALeaseEndsAtOnceAndNothingIsSent) {
  auto ended = Start(MakeCall());
  EXPECT_FALSE(ended->outcome.has_value());
  ended->invocation->Cancel();
  ASSERT_TRUE(ended->outcome.has_value());
  EXPECT_TRUE(absl::IsCancelled(ended->status()));
  scheduler_.Answer(MakeLease("l1", "a"));
  EXPECT_THAT(agents_.nodes(), IsEmpty());
  EXPECT_EQ(admission_->calls(), 0);
}

TEST_F(InvokerTest, CancelledCallsGiveTheirPlacesAndTheirBodiesMemoryBackAtOnce) {
  LeaseTable::Options routing;
  routing.max_waiting = 2;
  Make(Invoker::Options(), 100, 1 << 20, routing);
  // Both are still held by who asked for them, as by a connection that is not closed yet.
  auto one = Start(MakeCall());
  auto two = Start(MakeCall());
  one->invocation->Cancel();
  two->invocation->Cancel();
  EXPECT_TRUE(absl::IsCancelled(one->status()));
  EXPECT_EQ(admission_->bytes(), 0u);
  auto third = Start(MakeCall());
  EXPECT_FALSE(third->outcome.has_value()) << third->status();
  scheduler_.Answer(MakeLease("l1", "a"));
  EXPECT_THAT(agents_.nodes(), ElementsAre("a"));
}

TEST_F(InvokerTest, BodyIsCountedUntilNothingHoldsItAnyMore) {
  Nodes({"a"});
  auto ended = Start(MakeCall());
  ASSERT_THAT(agents_.waiting, SizeIs(1));
  // As an RPC that was cancelled and has not let go yet.
  std::shared_ptr<const Call> sent = agents_.waiting[0].request.call;
  agents_.Answer(WarmAnswer("pong"));
  ASSERT_TRUE(ended->outcome.has_value());
  EXPECT_EQ(admission_->calls(), 0);
  EXPECT_EQ(admission_->bytes(), sent->body.size());
  sent.reset();
  EXPECT_EQ(admission_->bytes(), 0u);
}

TEST_F(InvokerTest, MetricsTellProtocolOutcomeAndStart) {
  Nodes({"a"});
  agents_.set_on_invoke([](const AgentRequest&) { return WarmAnswer("pong"); });
  Call call = MakeCall();
  call.protocol = Protocol::kHttp;
  Start(std::move(call));
  agents_.set_on_invoke(
      [](const AgentRequest&) { return Failed(absl::UnavailableError("Socket closed"), Delivery::kMaybeSent); });
  Start(MakeCall());
  const std::string text = RenderMetrics(registry_);
  EXPECT_THAT(text, HasSubstr("thaw_gateway_invocations_total{outcome=\"ok\",protocol=\"http\",start=\"warm\"} 1"));
  EXPECT_THAT(text,
              HasSubstr("thaw_gateway_invocations_total{outcome=\"answer_lost\",protocol=\"grpc\",start=\"none\"} 1"));
  EXPECT_THAT(text, HasSubstr("thaw_gateway_invocation_duration_seconds_count{start=\"warm\"} 1"));
  EXPECT_THAT(text, HasSubstr("thaw_gateway_invocations_in_flight 0"));
}

}  // namespace
}  // namespace thaw::gateway
