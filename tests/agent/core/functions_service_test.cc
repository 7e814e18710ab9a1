// The service over real gRPC, and a pool of fakes: callers who go, and a server that stops.
#include "agent/service/functions_service.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/executor/timer_thread.h"
#include "common/rpc/server.h"
#include "tests/agent/core/version_pool_fixture.h"
#include "thaw/agent/v1/agent.grpc.pb.h"

namespace thaw::agent {
namespace {

// For what takes a moment where it works, and minutes where it does not.
constexpr absl::Duration kSoon = absl::Seconds(2);
constexpr absl::Duration kGrace = absl::Milliseconds(100);

class FunctionsServiceTest : public VersionPoolTest {
 protected:
  FunctionsServiceTest() {
    // gRPC's deadlines are in real time.
    clock_.Advance(absl::Now() - clock_.Now());
    pools_ = std::make_unique<Pool>(options_, Deps());
    pool_ = pools_->Apply(MakeState());
    service_ = std::make_unique<FunctionsService>(
        FunctionsService::Options(), security_, *pools_,
        [this](const std::string&, absl::Time, absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<VersionPool>>)> done) {
          done(pool_);
          arrived_.Notify();
        },
        starts_, timers_);
    RpcServer::Options options;
    options.listen_address = "127.0.0.1:0";
    server_ = *RpcServer::Start(options, *security_, {service_.get()});
    stub_ = v1::Functions::NewStub(channels_->Get(absl::StrCat("127.0.0.1:", server_->port())));
    PrepareCall(context_, channels_->security(), absl::Now() + absl::Seconds(30));
  }
  ~FunctionsServiceTest() override {
    if (caller_.joinable()) caller_.join();
  }

  void CallUnary() {
    caller_ = std::thread([this] {
      v1::InvokeRequest request;
      request.set_version_id("v1");
      v1::InvokeResponse response;
      status_ = stub_->Invoke(&context_, request, &response);
    });
    arrived_.WaitForNotification();
  }
  void CallStreamed() {
    caller_ = std::thread([this] {
      const auto stream = stub_->InvokeStream(&context_);
      v1::InvokeStreamRequest request;
      request.mutable_start()->set_version_id("v1");
      request.set_last(true);
      stream->Write(request);
      stream->WritesDone();
      v1::InvokeStreamResponse response;
      while (stream->Read(&response)) continue;
      status_ = stream->Finish();
    });
    arrived_.WaitForNotification();
  }
  void Freeze() {
    caller_ = std::thread([this] {
      v1::FreezeRequest request;
      request.set_version_id("v1");
      thaw::common::v1::SnapshotInfo response;
      status_ = stub_->Freeze(&context_, request, &response);
    });
    arrived_.WaitForNotification();
  }

  // Stops the server; how long that took.
  absl::Duration StopServer() {
    const absl::Time begun = absl::Now();
    server_->Shutdown(kGrace);
    const absl::Duration took = absl::Now() - begun;
    caller_.join();
    EXPECT_FALSE(status_.ok());
    return took;
  }

  const std::shared_ptr<const Security> security_ = Security::ForTesting("token");
  const std::shared_ptr<ChannelPool> channels_ = std::make_shared<ChannelPool>(security_);
  TimerThread timers_;
  std::unique_ptr<Pool> pools_;
  std::unique_ptr<FunctionsService> service_;
  std::unique_ptr<RpcServer> server_;
  std::unique_ptr<v1::Functions::Stub> stub_;
  grpc::ClientContext context_;
  absl::Notification arrived_;
  std::thread caller_;
  grpc::Status status_;
};

TEST_F(FunctionsServiceTest, AStopDoesNotWaitForAFunctionThatHangs) {
  CallUnary();
  starts_.RunAll();
  ASSERT_EQ(starter_.functions.at(0)->pending.size(), 1u);
  EXPECT_LT(StopServer(), kSoon);
  // Its answer comes when nobody is left to have it.
  starter_.functions.at(0)->AnswerOk();
  EXPECT_EQ(pool_->Load().idle, 1u);
}

TEST_F(FunctionsServiceTest, AStopDoesNotWaitForAStreamedCallOfAFunctionThatHangs) {
  CallStreamed();
  starts_.RunAll();
  ASSERT_EQ(starter_.functions.at(0)->pending.size(), 1u);
  EXPECT_LT(StopServer(), kSoon);
  starter_.functions.at(0)->AnswerOk();
  EXPECT_EQ(pool_->Load().idle, 1u);
}

TEST_F(FunctionsServiceTest, AStopDoesNotWaitForAFreeze) {
  Freeze();
  ASSERT_EQ(wanted_.size(), 1u);
  EXPECT_LT(StopServer(), kSoon);
  Deny(kForEver, "too late");
}

TEST_F(FunctionsServiceTest, ACancelledCallLeavesThePoolsQueue) {
  CallUnary();
  EXPECT_EQ(pool_->Load().waiting, 1u);
  context_.TryCancel();
  caller_.join();
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::CANCELLED);
  server_->Shutdown(absl::Seconds(20));
  EXPECT_EQ(pool_->Load().waiting, 0u);
}

TEST_F(FunctionsServiceTest, ACancelledStreamedCallLeavesThePoolsQueue) {
  CallStreamed();
  EXPECT_EQ(pool_->Load().waiting, 1u);
  context_.TryCancel();
  caller_.join();
  server_->Shutdown(absl::Seconds(20));
  EXPECT_EQ(pool_->Load().waiting, 0u);
}

}  // namespace
}  // namespace thaw::agent
