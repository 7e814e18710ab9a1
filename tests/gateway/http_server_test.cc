// The HTTP listener against a client that sends what it likes.
#include "gateway/http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/executor/timer_thread.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/status/reasons.h"
#include "gateway/errors.h"
#include "tests/fakes/fake_agent_client.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_scheduler_client.h"
#include "tests/gateway/raw_http_client.h"

namespace thaw::gateway {
namespace {

using ::testing::HasSubstr;
using ::thaw::testing::FakeAgentClient;
using ::thaw::testing::FakeClock;
using ::thaw::testing::FakeSchedulerClient;
using ::thaw::testing::MakeLease;
using ::thaw::testing::RawHttpClient;
using ::thaw::testing::WarmAnswer;

class HttpServerTest : public ::testing::Test {
 protected:
  HttpServerTest() {
    scheduler_.set_on_acquire([](const auto& request) {
      return MakeLease("l1", "a", request.function.id.empty() ? "fn" : request.function.id, 100);
    });
    agents_.set_on_invoke([](const AgentRequest& request) { return WarmAnswer(request.call->body); });
    options_.listen_address = "127.0.0.1:0";
    invoker_options_.max_body_bytes = 100'000;
    invoker_options_.max_header_bytes = 4096;
  }
  ~HttpServerTest() override { server_.reset(); }

  void Start() {
    leases_ = LeaseTable::Create({}, {.scheduler = &scheduler_,
                                      .clock = &clock_,
                                      .timers = &clock_,
                                      .metrics = &metrics_,
                                      .log = NullLogger()});
    invoker_ = std::make_unique<Invoker>(invoker_options_, Invoker::Deps{.leases = leases_,
                                                                         .agents = &agents_,
                                                                         .admission = &admission_,
                                                                         .clock = &clock_,
                                                                         .metrics = &metrics_,
                                                                         .log = NullLogger()});
    auto server = HttpServer::Start(options_, *Security::ForTesting("a-token-for-tests"),
                                    {.invoker = invoker_.get(),
                                     .admission = &admission_,
                                     .metrics = &metrics_,
                                     .readiness = [] { return absl::OkStatus(); },
                                     .render_metrics = [this] { return RenderMetrics(registry_); },
                                     .log = NullLogger()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
  }

  prometheus::Registry registry_;
  GatewayMetrics metrics_{registry_};
  FakeClock clock_;
  FakeSchedulerClient scheduler_;
  FakeAgentClient agents_;
  Admission admission_{1000, 1'000'000};
  std::shared_ptr<LeaseTable> leases_;
  Invoker::Options invoker_options_;
  std::unique_ptr<Invoker> invoker_;
  HttpServer::Options options_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, ConnectionIsKeptForTheNextRequest) {
  Start();
  RawHttpClient client(server_->port());
  for (int i = 0; i < 5; ++i) {
    const auto response = client.Post("/invoke/fn", absl::StrCat("body ", i));
    ASSERT_EQ(response.status, 200);
    EXPECT_EQ(response.body, absl::StrCat("body ", i));
    EXPECT_EQ(response.header("Connection"), "");
  }
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrder) {
  Start();
  RawHttpClient client(server_->port());
  client.Send(
      "POST /invoke/fn HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none"
      "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
      "POST /invoke/fn HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nthree");
  EXPECT_EQ(client.Read().body, "one");
  EXPECT_EQ(client.Read().body, "ok\n");
  EXPECT_EQ(client.Read().body, "three");
}

TEST_F(HttpServerTest, RequestThatDripsInIsPutTogether) {
  Start();
  RawHttpClient client(server_->port());
  for (const char c : std::string("POST /invoke/fn HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")) {
    ASSERT_TRUE(client.Send(absl::string_view(&c, 1)));
  }
  EXPECT_EQ(client.Read().body, "hi");
}

TEST_F(HttpServerTest, ChunkedBodyIsTaken) {
  Start();
  RawHttpClient client(server_->port());
  client.Send(
      "POST /invoke/fn HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n");
  EXPECT_EQ(client.Read().body, "hello world");
  EXPECT_EQ(client.Get("/healthz").status, 200);
}

TEST_F(HttpServerTest, ContinueIsSaidBeforeTheBodyIsWaitedFor) {
  Start();
  RawHttpClient client(server_->port());
  client.Send("POST /invoke/fn HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.Read().status, 100);
  client.Send("hi");
  EXPECT_EQ(client.Read().body, "hi");
}

TEST_F(HttpServerTest, Http10ClientIsServed) {
  Start();
  RawHttpClient client(server_->port());
  client.Send("POST /invoke/fn HTTP/1.0\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi");
  const auto kept = client.Read();
  EXPECT_EQ(kept.body, "hi");
  EXPECT_EQ(kept.header("Connection"), "keep-alive");
  client.Send("POST /invoke/fn HTTP/1.0\r\nContent-Length: 2\r\n\r\nho");
  EXPECT_EQ(client.Read().body, "ho");
  EXPECT_TRUE(client.AwaitClose());
}

TEST_F(HttpServerTest, ClientThatAsksForCloseGetsIt) {
  Start();
  RawHttpClient client(server_->port());
  const auto response = client.Post("/invoke/fn", "hi", "Connection: close\r\n");
  EXPECT_EQ(response.body, "hi");
  EXPECT_EQ(response.header("Connection"), "close");
  EXPECT_TRUE(client.AwaitClose());
}

TEST_F(HttpServerTest, AnnouncedBodyBeyondTheLimitIsRefusedBeforeItIsSent) {
  Start();
  RawHttpClient client(server_->port());
  client.Send("POST /invoke/fn HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n");
  const auto response = client.Read();
  EXPECT_EQ(response.status, 413);
  EXPECT_THAT(response.body, HasSubstr("BODY_TOO_LARGE"));
  EXPECT_THAT(response.body, HasSubstr("100000"));
  EXPECT_EQ(response.header("Connection"), "close");
}

TEST_F(HttpServerTest, ClientThatSendsALargeBodyAllTheSameReadsTheRefusal) {
  Start();
  RawHttpClient client(server_->port());
  client.Send("POST /invoke/fn HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n");
  client.Send(std::string(300000, 'x'));
  EXPECT_EQ(client.Read().status, 413);
}

TEST_F(HttpServerTest, ChunkedBodyBeyondTheLimitIsRefused) {
  Start();
  RawHttpClient client(server_->port());
  client.Send("POST /invoke/fn HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 11; ++i) client.Send("2710\r\n" + std::string(10000, 'x') + "\r\n");
  EXPECT_EQ(client.Read().status, 413);
  EXPECT_TRUE(agents_.nodes().empty());
}

TEST_F(HttpServerTest, BodyOfTheVeryLimitIsTaken) {
  Start();
  RawHttpClient client(server_->port());
  EXPECT_EQ(client.Post("/invoke/fn", std::string(100000, 'x')).body.size(), 100000u);
}

TEST_F(HttpServerTest, HeadersBeyondTheLimitAreRefused) {
  Start();
  RawHttpClient client(server_->port());
  const auto response = client.Post("/invoke/fn", "x", absl::StrCat("X-Long: ", std::string(5000, 'y'), "\r\n"));
  EXPECT_EQ(response.status, 431);
  EXPECT_THAT(response.body, HasSubstr("HEADERS_TOO_LARGE"));
}

TEST_F(HttpServerTest, EndlessHeaderIsCutOff) {
  Start();
  RawHttpClient client(server_->port());
  client.Send("GET /healthz HTTP/1.1\r\nX-Endless: ");
  for (int i = 0; i < 100 && client.Send(std::string(1000, 'y')); ++i) {
  }
  EXPECT_EQ(client.Read().status, 431);
}

TEST_F(HttpServerTest, EndlessTargetIsCutOff) {
  Start();
  RawHttpClient client(server_->port());
  client.Send("GET /");
  for (int i = 0; i < 100 && client.Send(std::string(1000, 'y')); ++i) {
  }
  EXPECT_EQ(client.Read().status, 431);
}

TEST_F(HttpServerTest, WhatIsNotHttpIsABadRequest) {
  Start();
  for (const char* bytes : {"hello there\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
                            "GET /healthz HTTP/9.9\r\n\r\n", "POST /invoke/fn HTTP/1.1\r\nContent-Length: many\r\n\r\n",
                            "POST /invoke/fn HTTP/1.1\r\nBad Header: x\r\n\r\n",
                            "POST /invoke/fn HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
                            "POST /invoke/fn HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    RawHttpClient client(server_->port());
    client.Send(bytes);
    const auto response = client.Read();
    EXPECT_EQ(response.status, 400) << bytes;
    EXPECT_THAT(response.header("Content-Type"), HasSubstr("application/json")) << bytes;
  }
}

TEST_F(HttpServerTest, ContentLengthBesideChunkedIsNotSmuggled) {
  Start();
  RawHttpClient client(server_->port());
  client.Send(
      "POST /invoke/fn HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
      "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.Read().status, 400);
}

TEST_F(HttpServerTest, UnknownPathIsNotFoundInJson) {
  Start();
  RawHttpClient client(server_->port());
  const auto response = client.Get("/v2/apps");
  EXPECT_EQ(response.status, 404);
  EXPECT_THAT(response.body, HasSubstr("{\"message\":\""));
  EXPECT_EQ(response.header("Fn-Call-Id"), "");
  EXPECT_EQ(client.Get("/healthz").status, 200) << "the connection goes on";
}

TEST_F(HttpServerTest, WrongMethodIsNotAllowedInJson) {
  Start();
  RawHttpClient client(server_->port());
  const auto get = client.Get("/invoke/fn");
  EXPECT_EQ(get.status, 405);
  EXPECT_EQ(get.header("Allow"), "POST");
  EXPECT_THAT(get.body, HasSubstr("{\"message\":\""));
  const auto post = client.Post("/healthz", "x");
  EXPECT_EQ(post.status, 405);
  EXPECT_EQ(post.header("Allow"), "GET, HEAD");
}

TEST_F(HttpServerTest, HeadHasNoBody) {
  Start();
  RawHttpClient client(server_->port());
  client.set_head_request(true);
  client.Send("HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto response = client.Read();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.header("Content-Length"), "3");
  client.set_head_request(false);
  EXPECT_EQ(client.Get("/healthz").body, "ok\n");
}

TEST_F(HttpServerTest, ImpossibleFunctionNameIsABadRequest) {
  Start();
  RawHttpClient client(server_->port());
  EXPECT_EQ(client.Post("/invoke/..%2f..", "x").status, 400);
  EXPECT_EQ(client.Post("/invoke/a/b/c", "x").status, 400);
  EXPECT_EQ(client.Post("/invoke/app/some%20name", "x").status, 200);
}

TEST_F(HttpServerTest, SlowHeadersAreCutOffAndToldWhy) {
  options_.read_limit = absl::Milliseconds(200);
  Start();
  RawHttpClient client(server_->port());
  client.Send("POST /invoke/fn HTTP/1.1\r\nHost:");
  EXPECT_EQ(client.Read().status, 408);
  EXPECT_TRUE(client.AwaitClose());
}

TEST_F(HttpServerTest, SilenceWithinABodyIsCutOffAndToldWhy) {
  options_.read_limit = absl::Milliseconds(200);
  Start();
  RawHttpClient client(server_->port());
  client.Send("POST /invoke/fn HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhi");
  EXPECT_EQ(client.Read().status, 408);
  EXPECT_TRUE(agents_.nodes().empty());
}

TEST_F(HttpServerTest, BodyThatDripsInForEverIsCutOff) {
  options_.read_limit = absl::Milliseconds(300);
  Start();
  RawHttpClient client(server_->port());
  client.Send("POST /invoke/fn HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
  const absl::Time began = absl::Now();
  // Never silent for as long as the limit, and far below the least pace.
  while (absl::Now() - began < absl::Seconds(5) && client.Send("x")) absl::SleepFor(absl::Milliseconds(50));
  EXPECT_LT(absl::Now() - began, absl::Seconds(4));
}

TEST_F(HttpServerTest, IdleConnectionIsClosed) {
  options_.idle_limit = absl::Milliseconds(200);
  Start();
  RawHttpClient client(server_->port());
  EXPECT_EQ(client.Get("/healthz").status, 200);
  EXPECT_TRUE(client.AwaitClose());
}

TEST_F(HttpServerTest, SlowReaderDoesNotHoldItsConnectionForEver) {
  options_.read_limit = absl::Milliseconds(200);
  options_.min_bytes_per_second = 64u << 20;
  invoker_options_.max_body_bytes = 64u << 20;
  agents_.set_on_invoke([](const AgentRequest&) { return WarmAnswer(std::string(32u << 20, 'x')); });
  Start();
  RawHttpClient client(server_->port());
  client.Send("POST /invoke/fn HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  const absl::Time began = absl::Now();
  // Reads nothing.
  const auto connections = [this] {
    return RenderMetrics(registry_).find("thaw_gateway_http_connections 0") != std::string::npos;
  };
  while (!connections() && absl::Now() - began < absl::Seconds(8)) absl::SleepFor(absl::Milliseconds(20));
  EXPECT_LT(absl::Now() - began, absl::Seconds(7));
}

TEST_F(HttpServerTest, ConnectionsBeyondTheLimitAreToldSo) {
  options_.max_connections = 1;
  Start();
  RawHttpClient first(server_->port());
  ASSERT_EQ(first.Get("/healthz").status, 200);
  {
    RawHttpClient second(server_->port());
    const auto response = second.Read();
    EXPECT_EQ(response.status, 503);
    EXPECT_EQ(response.header("Retry-After"), "1");
  }
  EXPECT_EQ(first.Get("/healthz").status, 200);
}

TEST_F(HttpServerTest, BodiesInFlightAreBoundedTogether) {
  invoker_options_.max_body_bytes = 2'000'000;
  Start();
  RawHttpClient first(server_->port());
  first.Send("POST /invoke/fn HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n");
  first.Send(std::string(1000, 'x'));
  const absl::Time end = absl::Now() + absl::Seconds(5);
  while (admission_.bytes() < 900000 && absl::Now() < end) absl::SleepFor(absl::Milliseconds(2));
  ASSERT_EQ(admission_.bytes(), 900000u);
  RawHttpClient second(server_->port());
  second.Send("POST /invoke/fn HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n");
  const auto response = second.Read();
  EXPECT_EQ(response.status, 503);
  EXPECT_THAT(response.body, HasSubstr("QUEUE_FULL"));
  first.Close();
  while (admission_.bytes() > 0 && absl::Now() < end) absl::SleepFor(absl::Milliseconds(2));
  EXPECT_EQ(admission_.bytes(), 0u) << "a client that goes away gives its bytes back";
}

TEST_F(HttpServerTest, ClientThatHalfClosesBeforeTheAnswerCancelsItsCall) {
  agents_.set_on_invoke(nullptr);
  Start();
  {
    RawHttpClient client(server_->port());
    client.Send("POST /invoke/fn HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    const absl::Time end = absl::Now() + absl::Seconds(5);
    while (agents_.nodes().empty() && absl::Now() < end) absl::SleepFor(absl::Milliseconds(2));
    ASSERT_EQ(agents_.nodes().size(), 1u);
  }
  const absl::Time end = absl::Now() + absl::Seconds(5);
  while (agents_.cancels() == 0 && absl::Now() < end) absl::SleepFor(absl::Milliseconds(2));
  EXPECT_EQ(agents_.cancels(), 1);
  agents_.Answer(thaw::testing::Failed(absl::CancelledError("x"), Delivery::kMaybeSent));
}

TEST_F(HttpServerTest, AddressThatCannotBeIsSaid) {
  for (const char* address : {"nowhere", "127.0.0.1:99999", ":80", "127.0.0.1:x"}) {
    options_.listen_address = address;
    const auto server = HttpServer::Start(options_, *Security::ForTesting("a-token-for-tests"),
                                          {.invoker = nullptr,
                                           .admission = &admission_,
                                           .metrics = &metrics_,
                                           .readiness = nullptr,
                                           .render_metrics = nullptr,
                                           .log = NullLogger()});
    EXPECT_FALSE(server.ok()) << address;
  }
}

}  // namespace
}  // namespace thaw::gateway
