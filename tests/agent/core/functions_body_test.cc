#include "agent/service/functions_service.h"

#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/executor/thread_pool.h"
#include "common/executor/timer_thread.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "tests/agent/core/version_pool_fixture.h"

namespace thaw::agent {
namespace {

using ::testing::HasSubstr;

// The service on a real server; whoever asks for a version is counted and told that it is nowhere.
class StreamedBodyTest : public VersionPoolTest {
 protected:
  StreamedBodyTest() {
    const auto find = [this](const std::string&, absl::Time,
                             absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<VersionPool>>)> done) {
      ++found_;
      done(WithReason(absl::UnavailableError("no such version here"), reason::kFunctionNotFound));
    };
    service_ = std::make_unique<FunctionsService>(FunctionsService::Options(), security_, versions_, find, disk_, timers_);
    auto server = RpcServer::Start({.listen_address = "127.0.0.1:0"}, *security_, {service_.get()});
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = v1::Functions::NewStub(security_->NewChannel(absl::StrCat("127.0.0.1:", server_->port())));
  }

  std::unique_ptr<grpc::ClientContext> Context() const {
    auto context = std::make_unique<grpc::ClientContext>();
    PrepareCall(*context, *security_, absl::Now() + absl::Seconds(20));
    return context;
  }

  static v1::InvokeStreamRequest Start() {
    v1::InvokeStreamRequest part;
    part.mutable_start()->set_version_id("v");
    return part;
  }
  static v1::InvokeStreamRequest Chunk(bool last) {
    v1::InvokeStreamRequest part;
    part.set_chunk("half of it");
    part.set_last(last);
    return part;
  }

  const std::shared_ptr<const Security> security_ = Security::ForTesting("a token of sixteen");
  std::atomic<int> found_ = 0;
  Pool versions_{PoolOptions(), Deps()};
  ThreadPool disk_{ThreadPool::Options{.threads = 1}};
  TimerThread timers_;
  std::unique_ptr<FunctionsService> service_;
  std::unique_ptr<RpcServer> server_;
  std::unique_ptr<v1::Functions::Stub> stub_;
};

TEST_F(StreamedBodyTest, AStreamWhoseLastMessageSaysSoIsCalled) {
  const auto context = Context();
  auto stream = stub_->InvokeStream(context.get());
  ASSERT_TRUE(stream->Write(Start()));
  ASSERT_TRUE(stream->Write(Chunk(/*last=*/true)));
  stream->WritesDone();
  EXPECT_TRUE(absl::IsUnavailable(FromGrpcStatus(stream->Finish())));
  EXPECT_EQ(found_, 1);
}

TEST_F(StreamedBodyTest, AStreamThatEndsBeforeItsLastMessageCallsNothing) {
  const auto context = Context();
  auto stream = stub_->InvokeStream(context.get());
  ASSERT_TRUE(stream->Write(Start()));
  ASSERT_TRUE(stream->Write(Chunk(/*last=*/false)));
  stream->WritesDone();
  const absl::Status status = FromGrpcStatus(stream->Finish());
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("nothing was called"));
  EXPECT_FALSE(WasSent(status));
  EXPECT_EQ(found_, 0);
}

TEST_F(StreamedBodyTest, NothingComesAfterTheLastMessage) {
  const auto context = Context();
  auto stream = stub_->InvokeStream(context.get());
  ASSERT_TRUE(stream->Write(Start()));
  ASSERT_TRUE(stream->Write(Chunk(/*last=*/true)));
  stream->Write(Chunk(/*last=*/true));
  stream->WritesDone();
  EXPECT_TRUE(absl::IsInvalidArgument(FromGrpcStatus(stream->Finish())));
  EXPECT_EQ(found_, 0);
}

// The reading of a stream that was reset ends before the call is known to be cancelled.
TEST_F(StreamedBodyTest, ACallerThatGoesInTheMiddleOfABodyCallsNothing) {
  for (int i = 0; i < 300; ++i) {
    const auto context = Context();
    auto stream = stub_->InvokeStream(context.get());
    ASSERT_TRUE(stream->Write(Start()));
    ASSERT_TRUE(stream->Write(Chunk(/*last=*/false)));
    context->TryCancel();
    EXPECT_FALSE(stream->Finish().ok());
  }
  // Ends what the server still has of them.
  server_->Shutdown(absl::Seconds(5));
  EXPECT_EQ(found_, 0);
}

}  // namespace
}  // namespace thaw::agent
