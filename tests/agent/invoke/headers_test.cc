#include "agent/invoke/headers.h"

#include "common/status/reasons.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace thaw::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

const absl::Time kDeadline = absl::FromUnixMillis(1'790'000'000'999);

TEST(FunctionHeadersTest, CallersHeadersWithoutTheHopByHopOnes) {
  const Headers caller = {{"Accept", "a"},
                          {"Connection", "close, X-Private"},
                          {"x-private", "p"},
                          {"proxy-connection", "x"},
                          {"Keep-Alive", "x"},
                          {"Proxy-Authenticate", "x"},
                          {"PROXY-AUTHORIZATION", "x"},
                          {"TE", "gzip"},
                          {"Trailer", "x"},
                          {"Transfer-Encoding", "chunked"},
                          {"Upgrade", "h2c"},
                          {"Expect", "100-continue"},
                          {"Host", "gateway"},
                          {"Content-Length", "7"},
                          {"Cookie", "c"},
                          {"Accept", "b"}};
  EXPECT_THAT(FunctionHeaders(caller, "01CALL", kDeadline, ""),
              ElementsAre(Pair("Accept", "a"), Pair("Cookie", "c"), Pair("Accept", "b"), Pair("Fn-Call-Id", "01CALL"),
                          Pair("Fn-Deadline", "2026-09-21T14:13:20Z")));
}

TEST(FunctionHeadersTest, TeTrailersStays) {
  EXPECT_THAT(FunctionHeaders({{"te", "trailers"}}, "c", kDeadline, ""),
              ElementsAre(Pair("te", "trailers"), Pair("Fn-Call-Id", "c"), ::testing::_));
}

TEST(FunctionHeadersTest, CallerDoesNotSayTheCallIdOrTheDeadline) {
  const auto headers = FunctionHeaders({{"fn-call-id", "forged"}, {"FN-DEADLINE", "forged"}}, "c", kDeadline, "");
  EXPECT_EQ(headers.size(), 2u);
  EXPECT_EQ(FindHeader(headers, "Fn-Call-Id"), "c");
  EXPECT_EQ(FindHeader(headers, "Fn-Deadline"), "2026-09-21T14:13:20Z");
}

TEST(FunctionHeadersTest, ContentTypeOfTheCallWins) {
  EXPECT_THAT(FunctionHeaders({{"content-type", "text/plain"}}, "c", kDeadline, "application/json"),
              ElementsAre(::testing::_, ::testing::_, Pair("Content-Type", "application/json")));
  EXPECT_EQ(FindHeader(FunctionHeaders({{"content-type", "text/plain"}}, "c", kDeadline, ""), "Content-Type"),
            "text/plain");
}

TEST(FunctionHeadersTest, WhatHttpCantCarryIsLeftOut) {
  EXPECT_EQ(FunctionHeaders({{"X", "a\r\nEvil: b"}, {"Y\n", "a"}, {"", "a"}, {"Z", std::string("a\0b", 3)}}, "c",
                            kDeadline, "text/plain\r\nEvil: b")
                .size(),
            2u);
}

TEST(AnswerHeadersTest, AllButHopByHopAndLength) {
  FunctionReply reply;
  reply.headers = {{"Content-Type", "text/plain"}, {"content-length", "5"}, {"Connection", "X-Mine"}, {"X-Mine", "1"},
                   {"Transfer-Encoding", "chunked"}, {"Fn-Fdk-Version", "v"}};
  EXPECT_THAT(AnswerHeaders(reply), ElementsAre(Pair("Content-Type", "text/plain"), Pair("Fn-Fdk-Version", "v")));
}

TEST(KindOfTest, ContractKnowsThreeStatuses) {
  const auto kind = [](int status) {
    FunctionReply reply;
    reply.status = status;
    return KindOf(reply);
  };
  EXPECT_EQ(kind(200), ReplyKind::kOk);
  EXPECT_EQ(kind(502), ReplyKind::kFunctionFailed);
  EXPECT_EQ(kind(504), ReplyKind::kFunctionTimedOut);
  for (const int status : {201, 202, 204, 301, 400, 404, 500, 503}) {
    EXPECT_EQ(kind(status), ReplyKind::kBadStatus) << status;
  }
  EXPECT_TRUE(InstanceGoesOn(ReplyKind::kOk));
  EXPECT_TRUE(InstanceGoesOn(ReplyKind::kFunctionFailed));
  EXPECT_TRUE(InstanceGoesOn(ReplyKind::kFunctionTimedOut));
  EXPECT_FALSE(InstanceGoesOn(ReplyKind::kBadStatus));
}

TEST(StatusOfTest, ErrorsAreMarkedAsSent) {
  FunctionReply reply;
  reply.status = 200;
  EXPECT_TRUE(StatusOf(reply).ok());
  const struct {
    int status;
    absl::StatusCode code;
    const char* reason;
  } cases[] = {{502, absl::StatusCode::kInternal, reason::kFunctionFailed},
               {504, absl::StatusCode::kDeadlineExceeded, reason::kFunctionTimeout},
               {500, absl::StatusCode::kInternal, reason::kFunctionBadAnswer}};
  for (const auto& each : cases) {
    reply.status = each.status;
    const absl::Status status = StatusOf(reply);
    EXPECT_EQ(status.code(), each.code);
    EXPECT_EQ(ReasonOf(status), each.reason);
    EXPECT_TRUE(WasSent(status));
  }
}

}  // namespace
}  // namespace thaw::agent
