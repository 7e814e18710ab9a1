// InvokeStream's clients that stall: a real server and real streams, with time that moves when the test says so.
#include "gateway/service/invoker_service.h"

#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/log/log.h"
#include "common/rpc/server.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "tests/fakes/fake_agent_client.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_scheduler_client.h"

namespace thaw::gateway {
namespace {

using ::testing::HasSubstr;
using ::thaw::testing::FakeAgentClient;
using ::thaw::testing::FakeClock;
using ::thaw::testing::FakeSchedulerClient;
using ::thaw::testing::MakeLease;
using ::thaw::testing::WarmAnswer;

constexpr std::size_t kMiB = 1u << 20;
constexpr std::size_t kMaxBuffered = 4 * kMiB;
constexpr absl::Duration kReadLimit = absl::Seconds(15);

class InvokerServiceTest : public ::testing::Test {
 protected:
  InvokerServiceTest() {
    scheduler_.set_on_acquire([](const auto&) -> absl::StatusOr<Lease> { return MakeLease("l1", "a", "fn", 100); });
    auto server = RpcServer::Start({.listen_address = "127.0.0.1:0", .public_listener = true},
                                   *Security::ForTesting("a-token-for-tests"), {&service_});
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
    invoker_stub_ = v1::Invoker::NewStub(grpc::CreateChannel(absl::StrCat("127.0.0.1:", server_->port()),
                                                             grpc::InsecureChannelCredentials()));
  }

  // A client in the middle of its request.
  struct Stream {
    explicit Stream(v1::Invoker::Stub& stub) {
      // Of the test: a server that forgets the stream must not hold it up.
      context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
      stream = stub.InvokeStream(&context);
    }
    bool Start() {
      v1::InvokeStreamRequest part;
      part.mutable_start()->mutable_function()->set_id("fn");
      return stream->Write(part);
    }
    bool Send(std::size_t bytes, bool last = false) {
      v1::InvokeStreamRequest part;
      part.set_last(last);
      part.set_chunk(std::string(bytes, 'x'));
      return stream->Write(part);
    }
    absl::Status Finish() { return FromGrpcStatus(stream->Finish()); }

    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReaderWriter<v1::InvokeStreamRequest, v1::InvokeStreamResponse>> stream;
  };

  absl::Status Invoke(const std::string& body) {
    grpc::ClientContext context;
    v1::InvokeRequest request;
    request.mutable_function()->set_id("fn");
    request.set_body(body);
    v1::InvokeResponse response;
    return FromGrpcStatus(invoker_stub_->Invoke(&context, request, &response));
  }

  // The server's threads take their time.
  template <typename Condition>
  static bool Eventually(Condition condition) {
    const absl::Time end = absl::Now() + absl::Seconds(10);
    while (!condition()) {
      if (absl::Now() > end) return false;
      absl::SleepFor(absl::Milliseconds(2));
    }
    return true;
  }

  prometheus::Registry registry_;
  GatewayMetrics metrics_{registry_};
  FakeClock clock_;
  FakeSchedulerClient scheduler_;
  Admission admission_{100, kMaxBuffered};
  FakeAgentClient agents_;
  std::shared_ptr<LeaseTable> leases_ = LeaseTable::Create({}, {.scheduler = &scheduler_,
                                                                .clock = &clock_,
                                                                .timers = &clock_,
                                                                .metrics = &metrics_,
                                                                .log = NullLogger()});
  Invoker invoker_{{.max_body_bytes = 16 * kMiB},
                   {.leases = leases_,
                    .agents = &agents_,
                    .admission = &admission_,
                    .clock = &clock_,
                    .metrics = &metrics_,
                    .log = NullLogger()}};
  InvokerService service_{
      {.read_limit = kReadLimit},
      {.invoker = &invoker_, .admission = &admission_, .clock = &clock_, .timers = &clock_}};
  std::unique_ptr<RpcServer> server_;
  std::unique_ptr<v1::Invoker::Stub> invoker_stub_;
};

TEST_F(InvokerServiceTest, StalledStreamsGiveTheirMemoryBackAndAreToldWhy) {
  agents_.set_on_invoke([](const AgentRequest&) { return WarmAnswer("pong"); });
  std::vector<std::unique_ptr<Stream>> stalled;
  for (std::size_t i = 0; i < kMaxBuffered / kMiB; ++i) {
    stalled.push_back(std::make_unique<Stream>(*invoker_stub_));
    ASSERT_TRUE(stalled.back()->Start());
    ASSERT_TRUE(stalled.back()->Send(kMiB));
  }
  ASSERT_TRUE(Eventually([this] { return admission_.bytes() == kMaxBuffered; }));
  EXPECT_EQ(ReasonOf(Invoke("ping")), reason::kQueueFull);

  // Repeated: a message may be counted a moment before the wait for the next one begins.
  EXPECT_TRUE(Eventually([this] {
    clock_.Advance(kReadLimit);
    return admission_.bytes() == 0;
  }));
  EXPECT_TRUE(Invoke("ping").ok());
  for (const auto& stream : stalled) {
    const absl::Status status = stream->Finish();
    EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    EXPECT_EQ(ReasonOf(status), reason::kRequestTooSlow);
    EXPECT_EQ(ReasonMetadata(status, "received_bytes"), absl::StrCat(kMiB));
    EXPECT_THAT(std::string(status.message()), HasSubstr("half-close"));
    EXPECT_FALSE(WasSent(status));
  }
}

TEST_F(InvokerServiceTest, StreamWithoutAnyMessageIsCutOff) {
  Stream silent(*invoker_stub_);
  absl::Status status;
  std::atomic<bool> ended = false;
  std::thread client([&] {
    status = silent.Finish();
    ended = true;
  });
  EXPECT_TRUE(Eventually([&] {
    clock_.Advance(kReadLimit);
    return ended.load();
  }));
  client.join();
  EXPECT_EQ(ReasonOf(status), reason::kRequestTooSlow) << status;
}

TEST_F(InvokerServiceTest, StreamBelowTheLeastPaceIsCutOffThoughItIsNeverSilentForLong) {
  Stream slow(*invoker_stub_);
  ASSERT_TRUE(slow.Start());
  std::size_t sent = 0;
  const absl::Time began = clock_.Now();
  const auto cut_off = [&] { return sent > 1 && admission_.bytes() == 0; };
  while (clock_.Now() - began < 3 * kReadLimit && !cut_off()) {
    slow.Send(1);
    ++sent;
    ASSERT_TRUE(Eventually([&] { return admission_.bytes() == sent || cut_off(); }));
    clock_.Advance(absl::Seconds(10));
  }
  EXPECT_TRUE(Eventually([&] {
    clock_.Advance(absl::Milliseconds(1));
    return cut_off();
  }));
  EXPECT_GE(clock_.Now() - began, 2 * kReadLimit);
  EXPECT_EQ(ReasonOf(slow.Finish()), reason::kRequestTooSlow);
}

TEST_F(InvokerServiceTest, CallThatIsWholeMayTakeLongerThanTheLimit) {
  Stream whole(*invoker_stub_);
  ASSERT_TRUE(whole.Start());
  ASSERT_TRUE(whole.Send(10, /*last=*/true));
  whole.stream->WritesDone();
  ASSERT_TRUE(Eventually([this] { return agents_.nodes().size() == 1; }));
  clock_.Advance(3 * kReadLimit);
  agents_.Answer(WarmAnswer("pong"));
  v1::InvokeStreamResponse part;
  std::string body;
  while (whole.stream->Read(&part)) body += part.chunk();
  const absl::Status status = whole.Finish();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(body, "pong");
}

// A client of before `last`: after the moment in which the end of a connection would have shown.
TEST_F(InvokerServiceTest, StreamThatIsNotMarkedAsWholeIsCalledAMomentLater) {
  Stream unmarked(*invoker_stub_);
  ASSERT_TRUE(unmarked.Start());
  ASSERT_TRUE(unmarked.Send(10));
  unmarked.stream->WritesDone();
  // The server sets its timer on the clock when it has read the end: before that there is nothing to advance to.
  ASSERT_TRUE(Eventually([this] {
    clock_.Advance(absl::Milliseconds(1));
    return agents_.nodes().size() == 1;
  }));
  agents_.Answer(WarmAnswer("pong"));
  v1::InvokeStreamResponse part;
  std::string body;
  while (unmarked.stream->Read(&part)) body += part.chunk();
  EXPECT_TRUE(unmarked.Finish().ok());
  EXPECT_EQ(body, "pong");
}

TEST_F(InvokerServiceTest, CallerThatNeverReadsItsAnswerIsCutOff) {
  constexpr std::size_t kAnswer = 16 * kMiB;
  Stream deaf(*invoker_stub_);
  ASSERT_TRUE(deaf.Start());
  ASSERT_TRUE(deaf.Send(0, /*last=*/true));
  deaf.stream->WritesDone();
  ASSERT_TRUE(Eventually([this] { return agents_.nodes().size() == 1; }));
  agents_.Answer(WarmAnswer(std::string(kAnswer, 'x')));
  clock_.Advance(2 * kReadLimit + absl::Seconds(kAnswer / InvokerService::Options().min_bytes_per_second) +
                 absl::Seconds(1));
  // Only now does it read: what was on the way, and no more.
  v1::InvokeStreamResponse part;
  std::size_t received = 0;
  while (deaf.stream->Read(&part)) received += part.chunk().size();
  EXPECT_LT(received, kAnswer);
  const absl::Status status = deaf.Finish();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
}

}  // namespace
}  // namespace thaw::gateway
