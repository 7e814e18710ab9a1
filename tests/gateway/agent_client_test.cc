// What gRPC itself says of calls that fail: the ground that "never sent twice" stands on. Real servers, real kills.
#include "gateway/service/grpc_agent_client.h"

#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/status/reasons.h"
#include "tests/fakes/fake_agent_server.h"
#include "tests/gateway/agent_process.h"

namespace thaw::gateway {
namespace {

using ::testing::HasSubstr;
using ::thaw::testing::AgentProcess;
using ::thaw::testing::FakeAgentServer;

constexpr char kToken[] = "a-token-for-tests";

class GrpcAgentClientTest : public ::testing::Test {
 protected:
  struct Running {
    absl::Notification done;
    AgentResult result;
    std::shared_ptr<AgentCall> call;
  };

  static AgentRequest Request(const std::string& address, bool stream, std::string body = "ping",
                              absl::Duration limit = absl::Seconds(20)) {
    auto call = std::make_shared<Call>();
    call->function.id = "fn";
    call->body = std::move(body);
    call->content_type = "text/plain";
    call->headers = {{"X-One", "1"}};
    AgentRequest request;
    request.lease.id = "lease-1";
    request.lease.version_id = "version-1";
    request.lease.node_address = address;
    request.call_id = "call-1";
    request.call = call;
    request.stream = stream;
    request.deadline = absl::Now() + limit;
    return request;
  }
  std::shared_ptr<Running> Begin(const std::string& address, bool stream = false, std::string body = "ping",
                                 absl::Duration limit = absl::Seconds(20)) {
    AgentRequest request = Request(address, stream, std::move(body), limit);
    auto running = std::make_shared<Running>();
    running->call = client_.Invoke(std::move(request), [running](AgentResult result) {
      running->result = std::move(result);
      running->done.Notify();
    });
    return running;
  }
  AgentResult Call1(const std::string& address, bool stream = false, std::string body = "ping",
                    absl::Duration limit = absl::Seconds(20)) {
    auto running = Begin(address, stream, std::move(body), limit);
    running->done.WaitForNotification();
    return std::move(running->result);
  }

  ChannelPool channels_{Security::ForTesting(kToken)};
  GrpcAgentClient client_{{.max_answer_bytes = 8 << 20}, channels_};
};

// Its connections are accepted by the kernel and never served: no HTTP/2 settings come, as from a host that hangs.
class SilentHost {
 public:
  SilentHost() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 8), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~SilentHost() { close(listener_); }
  SilentHost(const SilentHost&) = delete;
  SilentHost& operator=(const SilentHost&) = delete;

  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

 private:
  const int listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int port_ = 0;
};

class UnaryAndStream : public GrpcAgentClientTest, public ::testing::WithParamInterface<bool> {
 protected:
  bool stream() const { return GetParam(); }
};
INSTANTIATE_TEST_SUITE_P(Ways, UnaryAndStream, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Stream" : "Unary"; });

TEST_P(UnaryAndStream, CarriesTheCallAndTheAnswer) {
  FakeAgentServer agent(kToken);
  agent.Start();
  const AgentResult result = Call1(agent.address(), stream());
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.answer.status, 200);
  EXPECT_EQ(result.answer.body, "ping");
  EXPECT_EQ(result.answer.start.kind, StartKind::kWarm);
  EXPECT_EQ(result.answer.start.instance_id, "instance-1");
  EXPECT_EQ(result.answer.start.function, absl::Microseconds(300));
  ASSERT_EQ(agent.seen().size(), 1u);
  const auto seen = agent.seen()[0];
  EXPECT_EQ(seen.streamed, stream());
  EXPECT_EQ(seen.request.version_id(), "version-1");
  EXPECT_EQ(seen.request.lease_id(), "lease-1");
  EXPECT_EQ(seen.request.call_id(), "call-1");
  EXPECT_EQ(seen.request.content_type(), "text/plain");
  ASSERT_EQ(seen.request.headers_size(), 1);
  EXPECT_EQ(seen.request.headers(0).name(), "X-One");
  EXPECT_EQ(agent.refused(), 0) << "the call carries the cluster token";
}

TEST_P(UnaryAndStream, DeadlineGoesThrough) {
  FakeAgentServer agent(kToken);
  agent.Start();
  Call1(agent.address(), stream(), "ping", absl::Seconds(7));
  ASSERT_EQ(agent.seen().size(), 1u);
  // gRPC rounds up what it sends.
  EXPECT_LE(agent.seen()[0].time_left, absl::Milliseconds(7100));
  EXPECT_GE(agent.seen()[0].time_left, absl::Seconds(5));
}

TEST_P(UnaryAndStream, DeadlineThatRunsOutAfterTheSendingMayHaveReachedIt) {
  FakeAgentServer agent(kToken);
  agent.Start();
  // The connection is there, so that the deadline is the call's alone.
  ASSERT_TRUE(Call1(agent.address(), stream()).status.ok());
  agent.set_on_invoke(&FakeAgentServer::Hang);
  const AgentResult result = Call1(agent.address(), stream(), "ping", absl::Seconds(1));
  EXPECT_TRUE(absl::IsDeadlineExceeded(result.status)) << result.status;
  EXPECT_EQ(result.delivery, Delivery::kMaybeSent);
  EXPECT_TRUE(agent.AwaitCancelled(1)) << "the agent was told";
}

TEST_P(UnaryAndStream, AgentsOwnErrorIsItsWord) {
  FakeAgentServer agent(kToken);
  agent.set_on_invoke([](const agent::v1::InvokeRequest&) {
    return FakeAgentServer::Reply{
        .status = MarkSent(WithReason(absl::InternalError("it exited"), reason::kFunctionExited)), .response = {}};
  });
  agent.Start();
  const AgentResult result = Call1(agent.address(), stream());
  EXPECT_EQ(result.delivery, Delivery::kAnswered);
  EXPECT_EQ(ReasonOf(result.status), reason::kFunctionExited);
  EXPECT_TRUE(WasSent(result.status));
}

TEST_P(UnaryAndStream, ServerThatWasNeverThereGotNothing) {
  int port;
  {
    FakeAgentServer agent(kToken);
    agent.Start();
    port = agent.port();
  }
  const AgentResult result = Call1(absl::StrCat("127.0.0.1:", port), stream());
  EXPECT_TRUE(absl::IsUnavailable(result.status)) << result.status;
  EXPECT_EQ(result.delivery, Delivery::kNotSent) << result.status;
}

TEST_P(UnaryAndStream, ServerThatDiedWhileIdleGotNothing) {
  AgentProcess agent(kToken, "echo");
  ASSERT_NE(agent.port(), 0);
  ASSERT_TRUE(Call1(agent.address(), stream()).status.ok());
  agent.Kill();
  // The kernel tells the client at once; gRPC reads it within moments. What is sent before that is not certain, and
  // must then not be called so.
  const auto channel = channels_.Get(agent.address());
  const absl::Time end = absl::Now() + absl::Seconds(10);
  while (channel->GetState(false) == GRPC_CHANNEL_READY && absl::Now() < end) absl::SleepFor(absl::Milliseconds(5));
  ASSERT_NE(channel->GetState(false), GRPC_CHANNEL_READY);
  const AgentResult result = Call1(agent.address(), stream());
  EXPECT_TRUE(absl::IsUnavailable(result.status)) << result.status;
  EXPECT_EQ(result.delivery, Delivery::kNotSent) << result.status;
}

TEST_P(UnaryAndStream, ServerKilledWhileItExecutesMayHaveRunIt) {
  AgentProcess agent(kToken, "hang");
  ASSERT_NE(agent.port(), 0);
  auto running = Begin(agent.address(), stream());
  ASSERT_TRUE(agent.AwaitCall());
  agent.Kill();
  running->done.WaitForNotification();
  EXPECT_TRUE(absl::IsUnavailable(running->result.status)) << running->result.status;
  EXPECT_EQ(running->result.delivery, Delivery::kMaybeSent) << running->result.status;
}

TEST_P(UnaryAndStream, ServerThatStoppedInGoodOrderGotNothing) {
  FakeAgentServer agent(kToken);
  agent.Start();
  ASSERT_TRUE(Call1(agent.address(), stream()).status.ok());
  agent.Stop();
  const AgentResult result = Call1(agent.address(), stream());
  EXPECT_EQ(result.delivery, Delivery::kNotSent) << result.status;
  EXPECT_EQ(agent.calls(), 1);
}

TEST_P(UnaryAndStream, ServerThatComesBackIsFoundWithinASecondOrTwo) {
  FakeAgentServer agent(kToken);
  agent.Start();
  ASSERT_TRUE(Call1(agent.address(), stream()).status.ok());
  agent.Stop();
  ASSERT_FALSE(Call1(agent.address(), stream()).status.ok());
  agent.Start();
  const absl::Time give_up = absl::Now() + absl::Seconds(5);
  bool answered = false;
  while (!answered && absl::Now() < give_up) {
    answered = Call1(agent.address(), stream()).status.ok();
    if (!answered) absl::SleepFor(absl::Milliseconds(50));
  }
  EXPECT_TRUE(answered);
}

TEST_P(UnaryAndStream, HostThatNeverAnswersIsGivenUpSoonAndGotNothing) {
  const SilentHost host;
  const absl::Time began = absl::Now();
  const AgentResult result = Call1(host.address(), stream());
  EXPECT_EQ(result.delivery, Delivery::kNotSent) << result.status;
  EXPECT_TRUE(absl::IsUnavailable(result.status)) << result.status;
  EXPECT_LT(absl::Now() - began, absl::Seconds(4));
}

TEST_P(UnaryAndStream, SlowFirstCallOnAFreshConnectionIsNotGivenUp) {
  FakeAgentServer agent(kToken);
  // Longer than the connect limit: as a cold start is.
  agent.set_on_invoke([](const agent::v1::InvokeRequest& request) {
    absl::SleepFor(absl::Milliseconds(2200));
    return FakeAgentServer::Echo(request);
  });
  agent.Start();
  EXPECT_TRUE(Call1(agent.address(), stream()).status.ok());
  EXPECT_EQ(agent.calls(), 1);
}

TEST_P(UnaryAndStream, CancelBeforeTheConnectionEndsAtOnceAndSendsNothing) {
  const SilentHost host;
  const absl::Time began = absl::Now();
  auto running = Begin(host.address(), stream());
  running->call->Cancel();
  running->done.WaitForNotification();
  EXPECT_TRUE(absl::IsCancelled(running->result.status));
  EXPECT_EQ(running->result.delivery, Delivery::kNotSent);
  EXPECT_LT(absl::Now() - began, absl::Seconds(1));
}

TEST_P(UnaryAndStream, CancelWhileItConnectsNeverSaysOfASentCallThatItWasNotSent) {
  FakeAgentServer agent(kToken);
  agent.Start();
  std::mt19937 random(20261123);
  std::uniform_real_distribution<double> share(0, 1);
  std::set<std::string> not_sent;
  absl::Duration longest = absl::Milliseconds(1);
  for (int i = 0; i < 400; ++i) {
    // A client of its own, so that its connection is not there yet; destroyed at once, so that an RPC which nobody
    // counts any more would use what is gone.
    ChannelPool channels(Security::ForTesting(kToken));
    auto client = std::make_unique<GrpcAgentClient>(GrpcAgentClient::Options(), channels);
    AgentRequest request = Request(agent.address(), stream());
    request.call_id = absl::StrCat("cancelled-", i);
    absl::Notification done;
    AgentResult result;
    const absl::Time began = absl::Now();
    absl::Time ended;
    auto call = client->Invoke(std::move(request), [&](AgentResult got) {
      result = std::move(got);
      ended = absl::Now();
      done.Notify();
    });
    const absl::Time when = began + longest * share(random);
    while (absl::Now() < when) {
    }
    call->Cancel();
    done.WaitForNotification();
    client.reset();
    if (result.status.ok()) {
      // Around the time that a call takes lies the moment in which it is sent.
      longest = (longest * 7 + (ended - began)) / 8;
    } else if (result.delivery == Delivery::kNotSent) {
      EXPECT_TRUE(absl::IsCancelled(result.status)) << result.status;
      not_sent.insert(absl::StrCat("cancelled-", i));
    }
  }
  // What was on its way is there once a later call is answered.
  ASSERT_TRUE(Call1(agent.address(), stream()).status.ok());
  for (const auto& seen : agent.seen()) {
    EXPECT_EQ(not_sent.count(seen.request.call_id()), 0u) << seen.request.call_id() << " was said not to be sent";
  }
}

TEST_P(UnaryAndStream, NameThatDoesNotResolveGotNothing) {
  const AgentResult result = Call1("no-such-host.invalid:1", stream());
  EXPECT_EQ(result.delivery, Delivery::kNotSent) << result.status;
}

TEST_P(UnaryAndStream, AgentThatIsBackIsReachedAtOnceAndNotAfterThePauseBetweenAttempts) {
  FakeAgentServer agent(kToken);
  agent.Start();
  ASSERT_TRUE(Call1(agent.address(), stream()).status.ok());
  agent.Stop();
  // Several refusals in a row make gRPC wait for up to a second before it tries again.
  for (int i = 0; i < 4; ++i) {
    const AgentResult refused = Call1(agent.address(), stream());
    EXPECT_TRUE(absl::IsUnavailable(refused.status)) << refused.status;
    EXPECT_EQ(refused.delivery, Delivery::kNotSent);
  }
  agent.Start();
  const AgentResult result = Call1(agent.address(), stream());
  EXPECT_TRUE(result.status.ok()) << result.status;
}

TEST_P(UnaryAndStream, CancelEndsTheCallAndTellsTheAgent) {
  FakeAgentServer agent(kToken);
  agent.set_on_invoke(&FakeAgentServer::Hang);
  agent.Start();
  auto running = Begin(agent.address(), stream());
  ASSERT_TRUE(agent.AwaitCalls(1));
  running->call->Cancel();
  running->done.WaitForNotification();
  EXPECT_TRUE(absl::IsCancelled(running->result.status));
  EXPECT_TRUE(agent.AwaitCancelled(1));
}

TEST_P(UnaryAndStream, WrongTokenIsTheAgentsWord) {
  FakeAgentServer agent("another-token-than-ours");
  agent.Start();
  const AgentResult result = Call1(agent.address(), stream());
  EXPECT_TRUE(absl::IsUnauthenticated(result.status));
  EXPECT_EQ(agent.refused(), 1);
  EXPECT_EQ(agent.calls(), 0);
}

TEST_F(GrpcAgentClientTest, LargeBodiesGoInPartsBothWays) {
  FakeAgentServer agent(kToken);
  agent.Start();
  std::string body((5u << 20) + 123, 'x');
  body[3u << 20] = 'y';
  const AgentResult result = Call1(agent.address(), /*stream=*/true, body);
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_TRUE(result.answer.body == body);
}

TEST_F(GrpcAgentClientTest, EmptyBodyCanBeStreamed) {
  FakeAgentServer agent(kToken);
  agent.Start();
  const AgentResult result = Call1(agent.address(), /*stream=*/true, "");
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.answer.body, "");
}

TEST_F(GrpcAgentClientTest, StreamedAnswerBeyondTheLimitIsCutOff) {
  FakeAgentServer agent(kToken);
  agent.Start();
  const AgentResult result = Call1(agent.address(), /*stream=*/true, std::string(9u << 20, 'x'));
  EXPECT_EQ(ReasonOf(result.status), reason::kFunctionAnswerTooLarge);
  EXPECT_TRUE(WasSent(result.status));
}

}  // namespace
}  // namespace thaw::gateway
