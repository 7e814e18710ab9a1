// One whole gateway between real ports: fake scheduler and fake agents, calls by HTTP and gRPC.
#include "gateway/gateway.h"

#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <deque>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ids/ids.h"
#include "common/log/log.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "gateway/routing/lease_table.h"
#include "tests/fakes/fake_agent_server.h"
#include "tests/fakes/fake_scheduler_server.h"
#include "tests/gateway/agent_process.h"
#include "tests/gateway/raw_http_client.h"
#include "tests/support/standard_services.h"
#include "thaw/gateway/v1/gateway.grpc.pb.h"

namespace thaw::gateway {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::thaw::testing::Answers;
using ::thaw::testing::AgentProcess;
using ::thaw::testing::AskHealth;
using ::thaw::testing::DescribeService;
using ::thaw::testing::FakeAgentServer;
using ::thaw::testing::FakeSchedulerServer;
using ::thaw::testing::ListServices;
using ::thaw::testing::RawHttpClient;

constexpr char kToken[] = "a-token-for-tests";
constexpr char kFunction[] = "01HZX0000000000000000000AB";

class GatewayTest : public ::testing::Test {
 protected:
  GatewayTest() {
    scheduler_.Start();
    a_.Start();
    b_.Start();
    scheduler_.AddFunction(kFunction, "app", "hello");
    options_.listen = "127.0.0.1:0";
    options_.http_listen = "127.0.0.1:0";
    options_.scheduler = scheduler_.address();
    options_.drain_limit = absl::Seconds(2);
  }
  ~GatewayTest() override {
    gateway_.reset();
    a_.Stop();
    b_.Stop();
    scheduler_.Stop();
  }

  // After it the gateway has reached the scheduler.
  void Start() {
    StartAlone();
    ASSERT_TRUE(AwaitReady());
  }
  void StartAlone() {
    auto gateway = Gateway::Create(options_, Security::ForTesting(kToken), NullLogger());
    ASSERT_TRUE(gateway.ok()) << gateway.status();
    gateway_ = std::move(*gateway);
    channel_ = grpc::CreateChannel(absl::StrCat("127.0.0.1:", gateway_->grpc_port()), grpc::InsecureChannelCredentials());
    invoker_ = v1::Invoker::NewStub(channel_);
  }
  bool AwaitReady() {
    return Eventually([this] { return gateway_->Readiness().ok(); });
  }
  template <typename Condition>
  static bool Eventually(Condition condition, absl::Duration limit = absl::Seconds(10)) {
    const absl::Time end = absl::Now() + limit;
    while (!condition()) {
      if (absl::Now() > end) return false;
      absl::SleepFor(absl::Milliseconds(5));
    }
    return true;
  }

  struct GrpcAnswer {
    absl::Status status;
    v1::InvokeResponse response;
    std::string call_id_of_error;
  };
  GrpcAnswer Invoke(v1::InvokeRequest request, const std::string& node = "",
                    absl::Duration limit = absl::Seconds(20)) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + limit));
    if (!node.empty()) context.AddMetadata("thaw-node", node);
    GrpcAnswer answer;
    answer.status = FromGrpcStatus(invoker_->Invoke(&context, request, &answer.response));
    const auto id = context.GetServerTrailingMetadata().find("fn-call-id");
    if (id != context.GetServerTrailingMetadata().end()) {
      answer.call_id_of_error.assign(id->second.data(), id->second.size());
    }
    return answer;
  }
  GrpcAnswer Invoke(const std::string& body = "ping") {
    v1::InvokeRequest request;
    request.mutable_function()->set_id(kFunction);
    request.set_body(body);
    return Invoke(std::move(request));
  }
  RawHttpClient::Response Post(const std::string& body = "ping", const std::string& headers = "") {
    RawHttpClient client(gateway_->http_port());
    return client.Post(absl::StrCat("/invoke/", kFunction), body, headers);
  }

  Options options_;
  FakeSchedulerServer scheduler_{kToken};
  FakeAgentServer a_{kToken};
  FakeAgentServer b_{kToken};
  std::unique_ptr<Gateway> gateway_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Invoker::Stub> invoker_;
};

TEST_F(GatewayTest, CallGoesThroughByGrpc) {
  scheduler_.AddNode("a", a_.address());
  Start();
  v1::InvokeRequest request;
  request.mutable_function()->set_path("app/hello");
  request.set_body("ping");
  request.set_content_type("text/plain");
  auto* header = request.add_headers();
  header->set_name("X-One");
  header->set_value("1");
  const GrpcAnswer answer = Invoke(request);
  ASSERT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_EQ(answer.response.body(), "ping");
  EXPECT_EQ(answer.response.content_type(), "text/plain");
  EXPECT_THAT(answer.response.call_id(), SizeIs(26));
  EXPECT_EQ(answer.response.start().kind(), v1::START_KIND_WARM);
  EXPECT_EQ(answer.response.start().node_id(), "a");
  EXPECT_EQ(answer.response.start().instance_id(), "instance-1");
  EXPECT_EQ(FromProto(answer.response.start().phases().function()), absl::Microseconds(300));
  EXPECT_GT(FromProto(answer.response.start().total()), absl::ZeroDuration());
  ASSERT_THAT(a_.seen(), SizeIs(1));
  EXPECT_EQ(a_.seen()[0].request.call_id(), answer.response.call_id());
  EXPECT_EQ(a_.seen()[0].request.headers(0).name(), "X-One");
}

TEST_F(GatewayTest, CallGoesThroughByHttp) {
  scheduler_.AddNode("a", a_.address());
  Start();
  const auto response = Post("ping", "Content-Type: text/plain\r\nX-One: 1\r\nThaw-Cluster-Token: forged\r\n");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "ping");
  EXPECT_EQ(response.header("Content-Type"), "text/plain");
  EXPECT_THAT(response.header("Fn-Call-Id"), SizeIs(26));
  EXPECT_EQ(response.header("Thaw-Start"), "warm");
  EXPECT_EQ(response.header("Thaw-Node"), "a");
  EXPECT_EQ(response.header("Thaw-Instance"), "instance-1");
  EXPECT_THAT(response.header("Server-Timing"), HasSubstr("function;dur=0.300"));
  ASSERT_THAT(a_.seen(), SizeIs(1));
  ASSERT_EQ(a_.seen()[0].request.headers_size(), 1);
  EXPECT_EQ(a_.seen()[0].request.headers(0).name(), "X-One");
}

TEST_F(GatewayTest, WarmCallsAskTheSchedulerNothing) {
  scheduler_.AddNode("a", a_.address());
  Start();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Invoke().status.ok());
  EXPECT_EQ(scheduler_.acquired(), 1);
  EXPECT_EQ(a_.calls(), 20);
}

TEST_F(GatewayTest, UnknownFunctionIsNotFoundBothWays) {
  scheduler_.AddNode("a", a_.address());
  Start();
  v1::InvokeRequest request;
  request.mutable_function()->set_path("app/nothing");
  const GrpcAnswer answer = Invoke(request);
  EXPECT_TRUE(absl::IsNotFound(answer.status));
  EXPECT_EQ(ReasonOf(answer.status), reason::kFunctionNotFound);
  RawHttpClient client(gateway_->http_port());
  const auto response = client.Post("/invoke/app/nothing", "x");
  EXPECT_EQ(response.status, 404);
  EXPECT_THAT(response.body, HasSubstr("FUNCTION_NOT_FOUND"));
}

TEST_F(GatewayTest, DeadServerBeforeTheCallIsPassedByAndTheCallAnswered) {
  int dead_port;
  {
    FakeAgentServer dead(kToken);
    dead.Start();
    dead_port = dead.port();
  }
  scheduler_.AddNode("a", absl::StrCat("127.0.0.1:", dead_port));
  scheduler_.AddNode("b", b_.address());
  Start();
  const GrpcAnswer answer = Invoke();
  ASSERT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_EQ(answer.response.start().node_id(), "b");
}

TEST_F(GatewayTest, NodeKilledBetweenCallsIsPassedByWithinSeconds) {
  AgentProcess doomed(kToken, "echo");
  ASSERT_NE(doomed.port(), 0);
  scheduler_.AddNode("a", doomed.address());
  scheduler_.AddNode("b", b_.address());
  Start();
  ASSERT_EQ(Invoke().response.start().node_id(), "a");
  doomed.Kill();
  // Until gRPC has read that the connection is gone, a call is not certain to be unsent, and ends as ABORTED.
  absl::SleepFor(absl::Milliseconds(500));
  const absl::Time began = absl::Now();
  const GrpcAnswer answer = Invoke();
  ASSERT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_EQ(answer.response.start().node_id(), "b");
  EXPECT_LT(absl::Now() - began, absl::Seconds(5));
  EXPECT_EQ(b_.calls(), 1);
}

TEST_F(GatewayTest, ServerKilledWhileItExecutesLosesTheAnswerAndTheCallIsNotSentAgain) {
  AgentProcess doomed(kToken, "hang");
  ASSERT_NE(doomed.port(), 0);
  scheduler_.AddNode("a", doomed.address());
  scheduler_.AddNode("b", b_.address());
  Start();
  GrpcAnswer answer;
  std::thread caller([&] { answer = Invoke(); });
  const bool arrived = doomed.AwaitCall();
  doomed.Kill();
  caller.join();
  ASSERT_TRUE(arrived);
  EXPECT_TRUE(absl::IsAborted(answer.status)) << answer.status;
  EXPECT_EQ(ReasonOf(answer.status), reason::kAnswerLost);
  EXPECT_TRUE(WasSent(answer.status));
  EXPECT_THAT(answer.call_id_of_error, SizeIs(26));
  EXPECT_EQ(b_.calls(), 0);
  // And the next one does not go to the dead node.
  EXPECT_EQ(Invoke().response.start().node_id(), "b");
}

TEST_F(GatewayTest, LostAnswerIsABadGatewayByHttp) {
  AgentProcess doomed(kToken, "hang");
  ASSERT_NE(doomed.port(), 0);
  scheduler_.AddNode("a", doomed.address());
  Start();
  RawHttpClient client(gateway_->http_port());
  client.Send(absl::StrCat("POST /invoke/", kFunction, " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
  ASSERT_TRUE(doomed.AwaitCall());
  doomed.Kill();
  const auto response = client.Read();
  EXPECT_EQ(response.status, 502);
  EXPECT_THAT(response.body, HasSubstr("ANSWER_LOST"));
  EXPECT_THAT(response.header("Fn-Call-Id"), SizeIs(26));
}

TEST_F(GatewayTest, CallersDeadlineGoesThroughToTheAgent) {
  scheduler_.AddNode("a", a_.address());
  Start();
  v1::InvokeRequest request;
  request.mutable_function()->set_id(kFunction);
  Invoke(request, "", absl::Seconds(7));
  ASSERT_THAT(a_.seen(), SizeIs(1));
  EXPECT_LE(a_.seen()[0].time_left, absl::Milliseconds(7100));
  EXPECT_GE(a_.seen()[0].time_left, absl::Seconds(4));
}

TEST_F(GatewayTest, FunctionsTimeoutAndTheAllowanceBoundACallWithoutDeadline) {
  scheduler_.AddFunction("quick", "app", "quick", absl::Seconds(2));
  scheduler_.AddNode("a", a_.address());
  options_.start_allowance = absl::Seconds(10);
  Start();
  RawHttpClient client(gateway_->http_port());
  EXPECT_EQ(client.Post("/invoke/quick", "x").status, 200);
  ASSERT_THAT(a_.seen(), SizeIs(1));
  EXPECT_LE(a_.seen()[0].time_left, absl::Milliseconds(12100));
  EXPECT_GE(a_.seen()[0].time_left, absl::Seconds(9));
}

TEST_F(GatewayTest, CallThatTakesTooLongIsAGatewayTimeoutAndTheAgentIsTold) {
  scheduler_.AddFunction("quick", "app", "quick", absl::Seconds(1));
  scheduler_.AddNode("a", a_.address());
  a_.set_on_invoke(&FakeAgentServer::Hang);
  options_.start_allowance = absl::Seconds(1);
  Start();
  RawHttpClient client(gateway_->http_port());
  const auto response = client.Post("/invoke/quick", "x");
  EXPECT_EQ(response.status, 504);
  EXPECT_THAT(response.body, HasSubstr("FUNCTION_TIMEOUT"));
  EXPECT_TRUE(a_.AwaitCancelled(1));
}

TEST_F(GatewayTest, CancelledGrpcCallReachesTheAgent) {
  scheduler_.AddNode("a", a_.address());
  a_.set_on_invoke(&FakeAgentServer::Hang);
  Start();
  v1::InvokeRequest request;
  request.mutable_function()->set_id(kFunction);
  const GrpcAnswer answer = Invoke(request, "", absl::Milliseconds(500));
  EXPECT_TRUE(absl::IsDeadlineExceeded(answer.status));
  EXPECT_TRUE(a_.AwaitCancelled(1));
}

TEST_F(GatewayTest, HttpClientThatGoesAwayCancelsItsCall) {
  scheduler_.AddNode("a", a_.address());
  a_.set_on_invoke(&FakeAgentServer::Hang);
  Start();
  {
    RawHttpClient client(gateway_->http_port());
    client.Send(absl::StrCat("POST /invoke/", kFunction, " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"));
    ASSERT_TRUE(a_.AwaitCalls(1));
  }
  EXPECT_TRUE(a_.AwaitCancelled(1));
}

TEST_F(GatewayTest, PinningIsRefusedUnlessTheOperatorAllowsIt) {
  scheduler_.AddNode("a", a_.address());
  scheduler_.AddNode("b", b_.address());
  Start();
  v1::InvokeRequest request;
  request.mutable_function()->set_id(kFunction);
  const GrpcAnswer answer = Invoke(request, "b");
  EXPECT_TRUE(absl::IsPermissionDenied(answer.status));
  EXPECT_EQ(ReasonOf(answer.status), reason::kNodePinningForbidden);
  const auto response = Post("x", "Thaw-Node: b\r\n");
  EXPECT_EQ(response.status, 403);
  EXPECT_THAT(response.body, HasSubstr("NODE_PINNING_FORBIDDEN"));
  EXPECT_EQ(a_.calls() + b_.calls(), 0);
}

TEST_F(GatewayTest, PinnedCallsGoToTheirNode) {
  scheduler_.AddNode("a", a_.address());
  scheduler_.AddNode("b", b_.address());
  options_.allow_node_pinning = true;
  Start();
  v1::InvokeRequest request;
  request.mutable_function()->set_id(kFunction);
  EXPECT_EQ(Invoke(request, "b").response.start().node_id(), "b");
  EXPECT_EQ(Invoke(request, "a").response.start().node_id(), "a");
  EXPECT_EQ(Post("x", "Thaw-Node: b\r\n").header("Thaw-Node"), "b");
  const GrpcAnswer answer = Invoke(request, "nowhere");
  EXPECT_TRUE(absl::IsFailedPrecondition(answer.status));
  EXPECT_EQ(ReasonOf(answer.status), reason::kNodeNotFound);
}

TEST_F(GatewayTest, TokenIsCarriedToSchedulerAndAgents) {
  scheduler_.AddNode("a", a_.address());
  Start();
  ASSERT_TRUE(Invoke().status.ok());
  EXPECT_EQ(scheduler_.refused(), 0);
  EXPECT_EQ(a_.refused(), 0);
}

TEST_F(GatewayTest, AgentOfAnotherClusterIsPassedByAndIsNotTheCallersFault) {
  FakeAgentServer stranger("the-token-of-another-cluster");
  stranger.Start();
  scheduler_.AddNode("a", stranger.address());
  scheduler_.AddNode("b", b_.address());
  Start();
  EXPECT_EQ(Invoke().response.start().node_id(), "b");
  EXPECT_EQ(stranger.refused(), 1);
  scheduler_.LoseNode("b");
  ASSERT_TRUE(Eventually([this] { return gateway_->leases().lease_count() == 0; }));
  EXPECT_TRUE(absl::IsUnavailable(Invoke().status));
}

TEST_F(GatewayTest, LargeBodiesAreStreamedByGrpcAndByHttp) {
  scheduler_.AddNode("a", a_.address());
  Start();
  std::string body((5u << 20) + 7, 'x');
  body[4u << 20] = 'y';
  const auto response = Post(body);
  EXPECT_EQ(response.status, 200);
  EXPECT_TRUE(response.body == body);

  grpc::ClientContext context;
  auto stream = invoker_->InvokeStream(&context);
  v1::InvokeStreamRequest part;
  part.mutable_start()->mutable_function()->set_id(kFunction);
  ASSERT_TRUE(stream->Write(part));
  for (std::size_t at = 0; at < body.size(); at += 1u << 20) {
    part.set_chunk(body.substr(at, 1u << 20));
    ASSERT_TRUE(stream->Write(part));
  }
  stream->WritesDone();
  v1::InvokeStreamResponse answer;
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_EQ(answer.start().start().kind(), v1::START_KIND_WARM);
  std::string echoed;
  while (stream->Read(&answer)) {
    EXPECT_LE(answer.chunk().size(), 1u << 20);
    echoed += answer.chunk();
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_TRUE(echoed == body);
  ASSERT_THAT(a_.seen(), SizeIs(2));
  EXPECT_TRUE(a_.seen()[0].streamed);
  EXPECT_TRUE(a_.seen()[1].streamed);
}

// HTTP allows bytes in a header that a protobuf string does not: they cost neither the call nor its answer.
TEST_F(GatewayTest, HeadersThatAreNoUtf8LoseNothing) {
  scheduler_.AddNode("a", a_.address());
  a_.set_on_invoke([](const agent::v1::InvokeRequest& request) {
    FakeAgentServer::Reply reply = FakeAgentServer::Echo(request);
    auto* header = reply.response.add_headers();
    header->set_name("X-Place");
    header->set_value("caf\xe9");
    reply.response.set_content_type("text/caf\xe9");
    return reply;
  });
  Start();
  const auto http = Post("ping", "X-From: na\xefve\r\n");
  EXPECT_EQ(http.status, 200);
  EXPECT_EQ(http.body, "ping");
  EXPECT_THAT(http.head, HasSubstr("X-Place: caf\xe9\r\n"));
  ASSERT_THAT(a_.seen(), SizeIs(1));
  bool passed_on = false;
  const auto sent = a_.seen()[0].request;
  for (const auto& header : sent.headers()) passed_on |= header.value() == "na\xefve";
  EXPECT_TRUE(passed_on);

  const GrpcAnswer grpc = Invoke();
  ASSERT_TRUE(grpc.status.ok()) << grpc.status;
  EXPECT_EQ(grpc.response.body(), "ping");
  EXPECT_EQ(grpc.response.content_type(), "text/caf\xc3\xa9");
  ASSERT_EQ(grpc.response.headers_size(), 1);
  EXPECT_EQ(grpc.response.headers(0).value(), "caf\xc3\xa9");
}

// To the server the stream of a client that died looks at first like one that ended.
TEST_F(GatewayTest, AClientThatGoesInTheMiddleOfABodyCallsNothing) {
  scheduler_.AddNode("a", a_.address());
  Start();
  ASSERT_TRUE(Invoke().status.ok()) << "there is a lease: nothing else would hold a call back";
  for (int i = 0; i < 300; ++i) {
    grpc::ClientContext context;
    auto stream = invoker_->InvokeStream(&context);
    v1::InvokeStreamRequest part;
    part.mutable_start()->mutable_function()->set_id(kFunction);
    ASSERT_TRUE(stream->Write(part));
    part.set_chunk("half of it");
    ASSERT_TRUE(stream->Write(part));
    context.TryCancel();
    EXPECT_FALSE(stream->Finish().ok());
  }
  gateway_->Shutdown();
  EXPECT_EQ(a_.calls(), 1);
}

// What comes after `last` is a mistake of the client's, whatever it is.
TEST_F(GatewayTest, NothingComesAfterAStreamsLastMessage) {
  scheduler_.AddNode("a", a_.address());
  Start();
  grpc::ClientContext context;
  auto stream = invoker_->InvokeStream(&context);
  v1::InvokeStreamRequest part;
  part.mutable_start()->mutable_function()->set_id(kFunction);
  part.set_last(true);
  ASSERT_TRUE(stream->Write(part));
  part.set_chunk("more");
  stream->Write(part);
  stream->WritesDone();
  EXPECT_EQ(ReasonOf(FromGrpcStatus(stream->Finish())), reason::kInvalidField);
  EXPECT_EQ(a_.calls(), 0);
}

TEST_F(GatewayTest, BodiesBeyondALimitAreRefusedWithTheWayToTake) {
  scheduler_.AddNode("a", a_.address());
  options_.max_body_bytes = 6u << 20;
  Start();
  const GrpcAnswer unary = Invoke(std::string((4u << 20) + 1, 'x'));
  EXPECT_EQ(ReasonOf(unary.status), reason::kBodyTooLarge);
  EXPECT_THAT(std::string(unary.status.message()), HasSubstr("InvokeStream"));

  grpc::ClientContext context;
  auto stream = invoker_->InvokeStream(&context);
  v1::InvokeStreamRequest part;
  part.mutable_start()->mutable_function()->set_id(kFunction);
  stream->Write(part);
  part.set_chunk(std::string(1u << 20, 'x'));
  for (int i = 0; i < 8 && stream->Write(part); ++i) {
  }
  stream->WritesDone();
  EXPECT_EQ(ReasonOf(FromGrpcStatus(stream->Finish())), reason::kBodyTooLarge);
  EXPECT_EQ(a_.calls(), 0);
}

TEST_F(GatewayTest, StreamWithoutAStartIsRefused) {
  Start();
  for (const bool chunk_first : {true, false}) {
    grpc::ClientContext context;
    auto stream = invoker_->InvokeStream(&context);
    v1::InvokeStreamRequest part;
    part.set_chunk("x");
    if (chunk_first) stream->Write(part);
    stream->WritesDone();
    const absl::Status status = FromGrpcStatus(stream->Finish());
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_EQ(ReasonOf(status), reason::kInvalidField);
  }
}

TEST_F(GatewayTest, RequestsThatCannotBeRightAreRefused) {
  Start();
  v1::InvokeRequest nameless;
  EXPECT_EQ(ReasonOf(Invoke(nameless).status), reason::kInvalidField);
  v1::InvokeRequest forged;
  forged.mutable_function()->set_id(kFunction);
  auto* header = forged.add_headers();
  header->set_name("X-One");
  header->set_value("1\r\nX-Two: 2");
  EXPECT_TRUE(absl::IsInvalidArgument(Invoke(forged).status));
}

TEST_F(GatewayTest, FunctionsFailureIsAnErrorWithTheCallsId) {
  scheduler_.AddNode("a", a_.address());
  a_.set_on_invoke([](const agent::v1::InvokeRequest& request) {
    auto reply = FakeAgentServer::Echo(request);
    reply.response.set_status(502);
    return reply;
  });
  Start();
  const GrpcAnswer answer = Invoke();
  EXPECT_TRUE(absl::IsInternal(answer.status));
  EXPECT_EQ(ReasonOf(answer.status), reason::kFunctionFailed);
  EXPECT_THAT(answer.call_id_of_error, SizeIs(26));
  const auto response = Post();
  EXPECT_EQ(response.status, 502);
  EXPECT_EQ(response.body, "{\"message\":\"function failed\",\"reason\":\"FUNCTION_FAILED\"}\n");
  EXPECT_EQ(response.header("Thaw-Start"), "warm");
}

TEST_F(GatewayTest, DeadSchedulerDoesNotStopWarmCallsAndNewFunctionsAreUnavailable) {
  scheduler_.AddNode("a", a_.address());
  scheduler_.AddFunction("other", "app", "other");
  scheduler_.set_time_to_live(absl::Seconds(2));
  Start();
  ASSERT_TRUE(Invoke().status.ok());
  scheduler_.Stop();
  const absl::Time end = absl::Now() + absl::Seconds(4);
  while (absl::Now() < end) {
    ASSERT_TRUE(Invoke().status.ok());
    absl::SleepFor(absl::Milliseconds(100));
  }
  v1::InvokeRequest request;
  request.mutable_function()->set_id("other");
  const GrpcAnswer answer = Invoke(request);
  EXPECT_TRUE(absl::IsUnavailable(answer.status)) << answer.status;
  EXPECT_EQ(ReasonOf(answer.status), reason::kSchedulerUnavailable);
  EXPECT_TRUE(RetryAfterOf(answer.status).has_value());
  // It comes back without its leases: warm calls never notice, and new functions work again.
  scheduler_.Start();
  ASSERT_TRUE(Eventually([&] {
    EXPECT_TRUE(Invoke().status.ok());
    return Invoke(request).status.ok();
  }));
}

TEST_F(GatewayTest, ChangedFunctionRunsItsNewVersionAtOnce) {
  scheduler_.AddNode("a", a_.address());
  Start();
  ASSERT_TRUE(Invoke().status.ok());
  const std::string old_version = a_.seen().back().request.version_id();
  scheduler_.ChangeFunction(kFunction);
  EXPECT_TRUE(Eventually([&] {
    EXPECT_TRUE(Invoke().status.ok());
    return a_.seen().back().request.version_id() != old_version;
  }));
}

TEST_F(GatewayTest, LostNodesLeasesEndAndItIsNotCalledAgain) {
  scheduler_.AddNode("a", a_.address());
  scheduler_.AddNode("b", b_.address());
  Start();
  ASSERT_EQ(Invoke().response.start().node_id(), "a");
  scheduler_.LoseNode("a");
  ASSERT_TRUE(Eventually([this] { return gateway_->leases().lease_count() == 0; }));
  EXPECT_EQ(Invoke().response.start().node_id(), "b");
}

TEST_F(GatewayTest, TooManyCallsAreToldWhenToComeAgain) {
  scheduler_.AddNode("a", a_.address());
  a_.set_on_invoke(&FakeAgentServer::Hang);
  options_.max_concurrent_calls = 1;
  Start();
  RawHttpClient first(gateway_->http_port());
  first.Send(absl::StrCat("POST /invoke/", kFunction, " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
  ASSERT_TRUE(a_.AwaitCalls(1));
  const auto response = Post();
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.header("Retry-After"), "1");
  EXPECT_THAT(response.body, HasSubstr("QUEUE_FULL"));
  const GrpcAnswer answer = Invoke();
  EXPECT_TRUE(absl::IsResourceExhausted(answer.status));
  EXPECT_TRUE(RetryAfterOf(answer.status).has_value());
}

TEST_F(GatewayTest, HealthAndReadiness) {
  scheduler_.Stop();
  StartAlone();
  RawHttpClient client(gateway_->http_port());
  EXPECT_EQ(client.Get("/healthz").status, 200);
  const auto unready = client.Get("/readyz");
  EXPECT_EQ(unready.status, 503);
  EXPECT_THAT(unready.body, HasSubstr("SCHEDULER_UNAVAILABLE"));
  scheduler_.Start();
  ASSERT_TRUE(AwaitReady());
  EXPECT_EQ(client.Get("/readyz").status, 200);
  // Warm traffic goes on without it, so it stays ready.
  scheduler_.Stop();
  EXPECT_EQ(client.Get("/readyz").status, 200);
}

TEST_F(GatewayTest, TheHealthServiceTurnsWithReadiness) {
  scheduler_.Stop();
  StartAlone();
  EXPECT_THAT(AskHealth(channel_), Answers("NOT_SERVING"));
  scheduler_.Start();
  ASSERT_TRUE(AwaitReady());
  // It is told a moment later than /readyz, which asks.
  EXPECT_TRUE(Eventually([this] { return AskHealth(channel_).value_or("") == "SERVING"; }));
}

TEST_F(GatewayTest, ReflectionListsAndDescribesItsServices) {
  Start();
  const auto services = ListServices(channel_);
  EXPECT_THAT(services, Answers(Contains("thaw.gateway.v1.Invoker")));
  EXPECT_THAT(services, Answers(Contains("thaw.gateway.v1.Admin")));
  EXPECT_THAT(services, Answers(Contains("grpc.health.v1.Health")));
  EXPECT_THAT(DescribeService(channel_, "thaw.gateway.v1.Invoker"), Answers(Contains("Invoke")));
  EXPECT_THAT(DescribeService(channel_, "thaw.gateway.v1.Admin"), Answers(Contains("ListNodes")));
}

TEST_F(GatewayTest, MetricsAgreeWithWhatHappened) {
  scheduler_.AddNode("a", a_.address());
  Start();
  Invoke();
  Post();
  Post();
  RawHttpClient client(gateway_->http_port());
  const auto metrics = client.Get("/metrics");
  EXPECT_EQ(metrics.status, 200);
  EXPECT_THAT(metrics.header("Content-Type"), HasSubstr("version=0.0.4"));
  EXPECT_THAT(metrics.body,
              HasSubstr("thaw_gateway_invocations_total{outcome=\"ok\",protocol=\"http\",start=\"warm\"} 2"));
  EXPECT_THAT(metrics.body,
              HasSubstr("thaw_gateway_invocations_total{outcome=\"ok\",protocol=\"grpc\",start=\"warm\"} 1"));
  EXPECT_THAT(metrics.body, HasSubstr("thaw_gateway_leases 1\n"));
  EXPECT_THAT(metrics.body, HasSubstr("thaw_gateway_lease_acquisitions_total{outcome=\"granted\"} 1"));
  EXPECT_THAT(metrics.body, HasSubstr("thaw_gateway_scheduler_connected 1\n"));
}

TEST_F(GatewayTest, PortFileIsWrittenWhole) {
  options_.port_file = ::testing::TempDir() + "gateway-ports-" + NewHexId();
  Start();
  std::ifstream file(options_.port_file);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), absl::StrCat("grpc=", gateway_->grpc_port(), "\nhttp=", gateway_->http_port(), "\n"));
  (void)std::remove(options_.port_file.c_str());
}

TEST_F(GatewayTest, ShutdownLetsCallsEndGivesLeasesBackAndRefusesNewOnes) {
  scheduler_.AddNode("a", a_.address());
  a_.set_on_invoke([](const agent::v1::InvokeRequest& request) {
    absl::SleepFor(absl::Milliseconds(300));
    return FakeAgentServer::Echo(request);
  });
  Start();
  RawHttpClient idle(gateway_->http_port());
  ASSERT_TRUE(idle.Get("/healthz").status == 200);
  RawHttpClient busy(gateway_->http_port());
  busy.Send(absl::StrCat("POST /invoke/", kFunction, " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"));
  ASSERT_TRUE(a_.AwaitCalls(1));
  const int port = gateway_->http_port();
  gateway_->Shutdown();
  const auto response = busy.Read();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.header("Connection"), "close");
  EXPECT_TRUE(idle.AwaitClose());
  EXPECT_FALSE(RawHttpClient(port).connected());
  EXPECT_THAT(scheduler_.released(), SizeIs(1));
}

TEST_F(GatewayTest, ShutdownCancelsCallsThatOutlastTheGrace) {
  scheduler_.AddNode("a", a_.address());
  a_.set_on_invoke(&FakeAgentServer::Hang);
  options_.drain_limit = absl::Milliseconds(300);
  Start();
  RawHttpClient busy(gateway_->http_port());
  busy.Send(absl::StrCat("POST /invoke/", kFunction, " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"));
  ASSERT_TRUE(a_.AwaitCalls(1));
  const absl::Time began = absl::Now();
  gateway_->Shutdown();
  EXPECT_LT(absl::Now() - began, absl::Seconds(5));
  EXPECT_TRUE(a_.AwaitCancelled(1));
}

TEST_F(GatewayTest, ManyCallersAtOnceAreAllAnsweredOnOneNode) {
  scheduler_.AddNode("a", a_.address());
  scheduler_.set_concurrency(2);
  Start();
  std::atomic<int> answered{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 32; ++i) {
    callers.emplace_back([&] {
      RawHttpClient client(gateway_->http_port());
      for (int n = 0; n < 20; ++n) {
        if (client.Post(absl::StrCat("/invoke/", kFunction), "x").status == 200) ++answered;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(answered.load(), 32 * 20);
  EXPECT_EQ(a_.calls(), 32 * 20);
  EXPECT_EQ(scheduler_.acquired(), 1);
}

TEST(GatewayCreateTest, AddressInUseIsSaid) {
  Options options;
  options.listen = "127.0.0.1:0";
  options.http_listen = "127.0.0.1:0";
  // Not the default one: a cluster may run on this machine.
  options.scheduler = "127.0.0.1:1";
  auto first = Gateway::Create(options, Security::ForTesting(kToken), NullLogger());
  ASSERT_TRUE(first.ok());
  options.http_listen = absl::StrCat("127.0.0.1:", (*first)->http_port());
  const auto second = Gateway::Create(options, Security::ForTesting(kToken), NullLogger());
  EXPECT_TRUE(absl::IsUnavailable(second.status()));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("--http-listen"));
}

TEST(GatewayCreateTest, ManyThatNeverMeetTheirSchedulerComeAndGo) {
  Options options;
  options.listen = "127.0.0.1:0";
  options.http_listen = "127.0.0.1:0";
  // Nobody listens there, so each looks again and again whether it is ready, to its very end.
  options.scheduler = "127.0.0.1:1";
  options.drain_limit = absl::ZeroDuration();
  std::deque<std::unique_ptr<Gateway>> gateways;
  for (int i = 0; i < 100; ++i) {
    auto gateway = Gateway::Create(options, Security::ForTesting(kToken), NullLogger());
    ASSERT_TRUE(gateway.ok()) << gateway.status();
    EXPECT_FALSE((*gateway)->Readiness().ok());
    // Half of them go at once, the others some time later. Whether a look came too late, a thread sanitizer tells.
    if (i % 2 == 0) gateways.push_back(std::move(*gateway));
    if (gateways.size() > 20) gateways.pop_front();
  }
}

TEST(GatewayCreateTest, BeyondLoopbackNeedsTlsOrTheOperatorsWord) {
  Options options;
  options.listen = "127.0.0.1:0";
  options.http_listen = "0.0.0.0:0";
  const auto gateway = Gateway::Create(options, Security::ForTesting(kToken), NullLogger());
  EXPECT_TRUE(absl::IsFailedPrecondition(gateway.status()));
}

TEST(OptionsTest, ValuesOutOfRangeAreNamed) {
  const auto message = [](auto change) {
    Options options;
    change(options);
    const absl::Status status = options.Validate();
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    return std::string(status.message());
  };
  EXPECT_TRUE(Options().Validate().ok());
  EXPECT_THAT(message([](Options& o) { o.max_body_bytes = 1; }), HasSubstr("--max-body-bytes"));
  EXPECT_THAT(message([](Options& o) { o.max_concurrent_calls = 0; }), HasSubstr("--max-concurrent-calls"));
  EXPECT_THAT(message([](Options& o) { o.max_concurrent_calls = -1; }), HasSubstr("--max-concurrent-calls"));
  EXPECT_THAT(message([](Options& o) { o.scheduler = "here"; }), HasSubstr("--scheduler"));
  EXPECT_THAT(message([](Options& o) { o.start_allowance = -absl::Seconds(1); }), HasSubstr("--start-allowance"));
  EXPECT_THAT(message([](Options& o) { o.max_buffered_bytes = 5; }), HasSubstr("--max-buffered-bytes"));
}

}  // namespace
}  // namespace thaw::gateway
