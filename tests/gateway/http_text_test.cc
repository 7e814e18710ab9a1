#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status/reasons.h"
#include "gateway/errors.h"
#include "gateway/http/response.h"
#include "gateway/http/target.h"
#include "gateway/invoke/headers.h"

namespace thaw::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Kind = HttpTarget::Kind;

TEST(ParseTargetTest, FunctionById) {
  const auto target = ParseTarget("/invoke/01HZX0000000000000000000AB");
  ASSERT_TRUE(target.ok());
  EXPECT_EQ(target->kind, Kind::kInvoke);
  EXPECT_EQ(target->function.id, "01HZX0000000000000000000AB");
}

TEST(ParseTargetTest, FunctionByPathWithEscapes) {
  const auto target = ParseTarget("/invoke/my-app/some%20name");
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_EQ(target->function.path, "my-app/some name");
}

TEST(ParseTargetTest, QueryIsIgnored) {
  EXPECT_EQ(ParseTarget("/invoke/abc?x=1/2")->function.id, "abc");
  EXPECT_EQ(ParseTarget("/healthz?verbose")->kind, Kind::kHealth);
}

TEST(ParseTargetTest, WellKnownPaths) {
  EXPECT_EQ(ParseTarget("/healthz")->kind, Kind::kHealth);
  EXPECT_EQ(ParseTarget("/readyz")->kind, Kind::kReady);
  EXPECT_EQ(ParseTarget("/metrics")->kind, Kind::kMetrics);
}

TEST(ParseTargetTest, NothingElseIsThere) {
  for (const char* target : {"/", "", "/invoke", "/Invoke/abc", "/healthz/", "/v2/apps", "*", "invoke/abc"}) {
    EXPECT_TRUE(absl::IsNotFound(ParseTarget(target).status())) << target;
  }
}

TEST(ParseTargetTest, NamesThatCannotBe) {
  for (const char* target : {"/invoke/", "/invoke/..%2f..%2fetc", "/invoke/a%zz", "/invoke/a%2", "/invoke/a/b/c",
                             "/invoke/a/", "/invoke//b", "/invoke/a/b%0a"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseTarget(target).status())) << target;
  }
}

TEST(HttpStatusTest, FollowsTheFunctionContract) {
  const auto of = [](absl::StatusCode code, const char* why) { return HttpStatusOf(WithReason(absl::Status(code, "x"), why)); };
  using Code = absl::StatusCode;
  EXPECT_EQ(of(Code::kInternal, reason::kFunctionFailed), 502);
  EXPECT_EQ(of(Code::kInternal, reason::kFunctionExited), 502);
  EXPECT_EQ(of(Code::kInternal, reason::kFunctionBadAnswer), 502);
  EXPECT_EQ(of(Code::kInternal, reason::kFunctionOutOfMemory), 502);
  EXPECT_EQ(of(Code::kInternal, reason::kFunctionNeverListened), 504);
  EXPECT_EQ(of(Code::kInternal, reason::kInternal), 500);
  EXPECT_EQ(of(Code::kDeadlineExceeded, reason::kFunctionTimeout), 504);
  EXPECT_EQ(of(Code::kResourceExhausted, reason::kQueueFull), 503);
  EXPECT_EQ(of(Code::kResourceExhausted, reason::kNoMemory), 503);
  EXPECT_EQ(of(Code::kResourceExhausted, reason::kBodyTooLarge), 413);
  EXPECT_EQ(of(Code::kResourceExhausted, reason::kHeadersTooLarge), 431);
  EXPECT_EQ(of(Code::kResourceExhausted, reason::kFunctionAnswerTooLarge), 502);
  EXPECT_EQ(of(Code::kUnavailable, reason::kNoNodeReady), 503);
  EXPECT_EQ(of(Code::kNotFound, reason::kFunctionNotFound), 404);
  EXPECT_EQ(of(Code::kPermissionDenied, reason::kNodePinningForbidden), 403);
  EXPECT_EQ(of(Code::kFailedPrecondition, reason::kImageUnavailable), 502);
  EXPECT_EQ(of(Code::kFailedPrecondition, reason::kNodeNotFound), 404);
  EXPECT_EQ(of(Code::kAborted, reason::kAnswerLost), 502);
  EXPECT_EQ(of(Code::kInvalidArgument, reason::kInvalidField), 400);
}

TEST(ErrorResponseTest, SaysMessageAndReasonInJson) {
  const HttpResponse response = ErrorResponse(
      WithReason(absl::NotFoundError("no function \"x\\y\"\n\x01\xff caf\xc3\xa9"), reason::kFunctionNotFound));
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.body,
            "{\"message\":\"no function \\\"x\\\\y\\\"\\u000a\\u0001\xef\xbf\xbd caf\xc3\xa9\","
            "\"reason\":\"FUNCTION_NOT_FOUND\"}\n");
  EXPECT_THAT(response.headers, HasSubstr("Content-Type: application/json"));
  EXPECT_THAT(response.headers, Not(HasSubstr("Retry-After")));
}

TEST(ErrorResponseTest, SaysWhenToComeAgain) {
  EXPECT_THAT(ErrorResponse(TooManyCalls(1)).headers, HasSubstr("Retry-After: 1\r\n"));
  EXPECT_THAT(ErrorResponse(WithRetryAfter(absl::UnavailableError("x"), absl::Milliseconds(2100))).headers,
              HasSubstr("Retry-After: 3\r\n"));
  EXPECT_THAT(ErrorResponse(absl::UnavailableError("x")).headers, HasSubstr("Retry-After: 15\r\n"));
}

Outcome Answered() {
  Outcome outcome;
  outcome.call_id = "01HZX0000000000000000000AB";
  outcome.node_id = "a";
  outcome.answer.status = 200;
  outcome.answer.content_type = "text/plain";
  outcome.answer.body = "pong";
  outcome.answer.headers = {{"X-Own", "1"}, {"Connection", "X-Hop"}, {"X-Hop", "2"}, {"Fn-Call-Id", "forged"}};
  outcome.answer.start.kind = StartKind::kRestoredRemote;
  outcome.answer.start.instance_id = "i1";
  outcome.answer.start.queue = absl::Microseconds(120);
  outcome.answer.start.fetch = absl::Milliseconds(42);
  return outcome;
}

TEST(CallResponseTest, PassesTheAnswerOnWithWhereItCameFrom) {
  const HttpResponse response = CallResponse(Answered());
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "pong");
  EXPECT_THAT(response.headers, HasSubstr("X-Own: 1\r\n"));
  EXPECT_THAT(response.headers, HasSubstr("Content-Type: text/plain\r\n"));
  EXPECT_THAT(response.headers, HasSubstr("Fn-Call-Id: 01HZX0000000000000000000AB\r\n"));
  EXPECT_THAT(response.headers, HasSubstr("Thaw-Start: restored-remote\r\n"));
  EXPECT_THAT(response.headers, HasSubstr("Thaw-Node: a\r\n"));
  EXPECT_THAT(response.headers, HasSubstr("Thaw-Instance: i1\r\n"));
  EXPECT_THAT(response.headers, HasSubstr("Server-Timing: queue;dur=0.120, container;dur=0.000, fetch;dur=42.000, "
                                          "restore;dur=0.000, function;dur=0.000\r\n"));
  EXPECT_THAT(response.headers, Not(HasSubstr("Thaw-Fallback")));
  EXPECT_THAT(response.headers, Not(HasSubstr("X-Hop")));
  EXPECT_THAT(response.headers, Not(HasSubstr("forged")));
}

TEST(CallResponseTest, FallbackIsToldOnOneLine) {
  Outcome outcome = Answered();
  outcome.answer.start.kind = StartKind::kCold;
  outcome.answer.start.fallback_reason = "criu failed\r\nSet-Cookie: x";
  EXPECT_THAT(CallResponse(std::move(outcome)).headers, HasSubstr("Thaw-Fallback: criu failed  Set-Cookie: x\r\n"));
}

TEST(CallResponseTest, FailedFunctionsBodyIsDroppedAndItsCallNamed) {
  Outcome outcome = Answered();
  outcome.status = FunctionFailed();
  const HttpResponse response = CallResponse(std::move(outcome));
  EXPECT_EQ(response.status, 502);
  EXPECT_EQ(response.body, "{\"message\":\"function failed\",\"reason\":\"FUNCTION_FAILED\"}\n");
  EXPECT_THAT(response.headers, HasSubstr("Fn-Call-Id: "));
  EXPECT_THAT(response.headers, HasSubstr("Thaw-Start: "));
}

TEST(ResponseHeadTest, SaysWhatTheConnectionDoesNext) {
  const HttpResponse response = TextResponse(200, "text/plain", "ok\n");
  const absl::Time now = absl::FromUnixSeconds(784111777);
  const std::string head = ResponseHead(response, true, false, now);
  EXPECT_THAT(head, ::testing::StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(head, HasSubstr("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
  EXPECT_THAT(head, HasSubstr("Content-Length: 3\r\n"));
  EXPECT_THAT(head, Not(HasSubstr("Connection")));
  EXPECT_THAT(ResponseHead(response, false, false, now), HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(ResponseHead(response, true, true, now), HasSubstr("Connection: keep-alive\r\n"));
}

TEST(FunctionHeadersTest, LeavesOutWhatBelongsToTheConnectionAndToThaw) {
  const std::vector<Header> headers = FunctionHeaders({{"Connection", "close, X-Named"},
                                                       {"x-named", "1"},
                                                       {"Keep-Alive", "5"},
                                                       {"Transfer-Encoding", "chunked"},
                                                       {"Host", "h"},
                                                       {"Content-Length", "4"},
                                                       {"content-type", "t"},
                                                       {"Thaw-Node", "a"},
                                                       {"thaw-cluster-token", "secret"},
                                                       {"X-Bad", "a\r\nb: c"},
                                                       {"Bad Name", "x"},
                                                       {"Fn-Intent", "kept"},
                                                       {"Authorization", "kept, too"}});
  ASSERT_EQ(headers.size(), 2u);
  EXPECT_EQ(headers[0].name, "Fn-Intent");
  EXPECT_EQ(headers[1].name, "Authorization");
}

}  // namespace
}  // namespace thaw::gateway
