#include "gateway/invoke/retry.h"

#include <gtest/gtest.h>

#include "common/status/reasons.h"
#include "tests/fakes/fake_agent_client.h"

namespace thaw::gateway {
namespace {

using ::thaw::testing::Failed;
using Next = Verdict::Next;
using Drop = Verdict::Drop;

const Try kTry = {.function = "fn", .node_id = "a", .elapsed = absl::Seconds(2), .cancelled = false};

absl::Status FromAgent(absl::StatusCode code, const char* why) {
  return WithReason(absl::Status(code, "as the agent says"), why);
}

TEST(JudgeTest, ConnectionThatWasNeverThereGoesToAnotherNode) {
  const Verdict verdict =
      Judge(Failed(absl::UnavailableError("failed to connect to all addresses"), Delivery::kNotSent), kTry);
  EXPECT_EQ(verdict.next, Next::kOtherNode);
  EXPECT_EQ(verdict.drop, Drop::kNode);
  EXPECT_TRUE(verdict.exclude_node);
  EXPECT_TRUE(absl::IsUnavailable(verdict.status));
  EXPECT_EQ(ReasonOf(verdict.status), reason::kNoNodeReady);
  EXPECT_FALSE(WasSent(verdict.status));
}

TEST(JudgeTest, ConnectionThatBrokeUnderTheCallIsAnswerLost) {
  const Verdict verdict = Judge(Failed(absl::UnavailableError("Socket closed"), Delivery::kMaybeSent), kTry);
  EXPECT_EQ(verdict.next, Next::kEnd);
  EXPECT_TRUE(absl::IsAborted(verdict.status));
  EXPECT_EQ(ReasonOf(verdict.status), reason::kAnswerLost);
  EXPECT_TRUE(WasSent(verdict.status));
  EXPECT_EQ(verdict.drop, Drop::kNode);
}

TEST(JudgeTest, WhateverElseTheTransportSaysIsAnswerLost) {
  for (const auto code : {absl::StatusCode::kCancelled, absl::StatusCode::kUnknown, absl::StatusCode::kInternal,
                          absl::StatusCode::kResourceExhausted, absl::StatusCode::kDataLoss}) {
    const Verdict verdict = Judge(Failed(absl::Status(code, "?"), Delivery::kMaybeSent), kTry);
    EXPECT_EQ(verdict.next, Next::kEnd) << absl::StatusCodeToString(code);
    EXPECT_TRUE(absl::IsAborted(verdict.status)) << absl::StatusCodeToString(code);
  }
}

TEST(JudgeTest, AgentThatIsUnavailableIsPassedByAndItsLeaseDropped) {
  const Verdict verdict =
      Judge(Failed(FromAgent(absl::StatusCode::kUnavailable, reason::kNoNodeReady), Delivery::kAnswered), kTry);
  EXPECT_EQ(verdict.next, Next::kOtherNode);
  EXPECT_EQ(verdict.drop, Drop::kLease);
}

TEST(JudgeTest, UnavailableThatWasSentIsTheEnd) {
  const Verdict verdict = Judge(
      Failed(MarkSent(FromAgent(absl::StatusCode::kUnavailable, reason::kAnswerLost)), Delivery::kAnswered), kTry);
  EXPECT_EQ(verdict.next, Next::kEnd);
  EXPECT_TRUE(WasSent(verdict.status));
}

TEST(JudgeTest, NodeThatCannotRunItIsPassedByWithItsReasonKept) {
  const Verdict verdict = Judge(
      Failed(FromAgent(absl::StatusCode::kFailedPrecondition, reason::kImageUnavailable), Delivery::kAnswered), kTry);
  EXPECT_EQ(verdict.next, Next::kOtherNode);
  EXPECT_EQ(ReasonOf(verdict.status), reason::kImageUnavailable);
}

TEST(JudgeTest, FullNodeIsPassedByAndKeepsItsLease) {
  const Verdict verdict =
      Judge(Failed(FromAgent(absl::StatusCode::kResourceExhausted, reason::kQueueFull), Delivery::kAnswered), kTry);
  EXPECT_EQ(verdict.next, Next::kOtherNode);
  EXPECT_EQ(verdict.drop, Drop::kNothing);
}

TEST(JudgeTest, VersionThatTheNodeDoesNotKnowIsAskedForAnewAndMayBeThere) {
  const Verdict verdict =
      Judge(Failed(FromAgent(absl::StatusCode::kNotFound, reason::kFunctionNotFound), Delivery::kAnswered), kTry);
  EXPECT_EQ(verdict.next, Next::kOtherNode);
  EXPECT_FALSE(verdict.exclude_node);
  EXPECT_EQ(verdict.drop, Drop::kLease);
  EXPECT_TRUE(absl::IsUnavailable(verdict.status)) << "that the function is gone is the scheduler's to say";
}

TEST(JudgeTest, FunctionThatBrokeItsContractIsTheEnd) {
  for (const char* why : {reason::kFunctionExited, reason::kFunctionBadAnswer, reason::kFunctionOutOfMemory}) {
    const Verdict verdict =
        Judge(Failed(MarkSent(FromAgent(absl::StatusCode::kInternal, why)), Delivery::kAnswered), kTry);
    EXPECT_EQ(verdict.next, Next::kEnd) << why;
    EXPECT_EQ(ReasonOf(verdict.status), why);
  }
}

TEST(JudgeTest, InternalErrorThatWasNotSentIsStillTheEnd) {
  EXPECT_EQ(
      Judge(Failed(FromAgent(absl::StatusCode::kInternal, reason::kFunctionNeverListened), Delivery::kAnswered), kTry)
          .next,
      Next::kEnd);
}

TEST(JudgeTest, RefusedClusterTokenIsNotTheCallersFault) {
  const Verdict verdict = Judge(
      Failed(FromAgent(absl::StatusCode::kUnauthenticated, reason::kUnauthenticated), Delivery::kAnswered), kTry);
  EXPECT_EQ(verdict.next, Next::kOtherNode);
  EXPECT_TRUE(absl::IsUnavailable(verdict.status));
}

TEST(JudgeTest, DeadlineIsTheEndWhetherSentOrNot) {
  const Verdict unsent = Judge(Failed(absl::DeadlineExceededError("x"), Delivery::kNotSent), kTry);
  EXPECT_EQ(unsent.next, Next::kEnd);
  EXPECT_TRUE(absl::IsDeadlineExceeded(unsent.status));
  EXPECT_FALSE(WasSent(unsent.status));
  const Verdict sent = Judge(Failed(absl::DeadlineExceededError("x"), Delivery::kMaybeSent), kTry);
  EXPECT_EQ(sent.next, Next::kEnd);
  EXPECT_TRUE(absl::IsDeadlineExceeded(sent.status));
  EXPECT_TRUE(WasSent(sent.status));
}

TEST(JudgeTest, CallWhoseCallerIsGoneIsNeverSentAgain) {
  Try gone = kTry;
  gone.cancelled = true;
  const Verdict verdict = Judge(Failed(absl::UnavailableError("x"), Delivery::kNotSent), gone);
  EXPECT_EQ(verdict.next, Next::kEnd);
  EXPECT_TRUE(absl::IsCancelled(verdict.status));
}

}  // namespace
}  // namespace thaw::gateway
