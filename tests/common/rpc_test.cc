#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>
#include <grpcpp/support/status.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "absl/synchronization/notification.h"
#include "common/rpc/client.h"
#include "common/rpc/security.h"
#include "common/rpc/server.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "tests/support/standard_services.h"

namespace thaw {
namespace {

using testing::Answers;
using ::testing::Contains;
using ::testing::ElementsAre;

TEST(Reasons, DetailsSurviveTheWire) {
  absl::Status status = WithRetryAfter(
      WithReason(absl::ResourceExhaustedError("full"), reason::kQueueFull, {{"limit", "7"}}), absl::Milliseconds(1500));
  status = FromGrpcStatus(ToGrpcStatus(status));
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_EQ(status.message(), "full");
  EXPECT_EQ(ReasonOf(status), reason::kQueueFull);
  EXPECT_EQ(ReasonMetadata(status, "limit"), "7");
  EXPECT_EQ(RetryAfterOf(status), absl::Milliseconds(1500));
  EXPECT_FALSE(WasSent(status));
}

TEST(Reasons, SentIsAddedToAReasonAndSurvivesTheWire) {
  const absl::Status status =
      FromGrpcStatus(ToGrpcStatus(MarkSent(WithReason(absl::InternalError("x"), reason::kFunctionExited))));
  EXPECT_TRUE(WasSent(status));
  EXPECT_EQ(ReasonOf(status), reason::kFunctionExited);
  EXPECT_TRUE(WasSent(MarkSent(absl::InternalError("no reason yet"))));
  EXPECT_TRUE(MarkSent(absl::OkStatus()).ok());
}

TEST(Reasons, AStrangersStatusHasNone) {
  const absl::Status status = FromGrpcStatus(grpc::Status(grpc::StatusCode::UNAVAILABLE, "x", "not a google.rpc.Status"));
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(ReasonOf(status), "");
}

TEST(Times, SurviveTheWire) {
  const absl::Time time = absl::FromUnixNanos(1'790'000'000'123'456'789);
  EXPECT_EQ(FromProto(ToProto(time)), time);
  EXPECT_EQ(FromProto(ToProto(absl::Milliseconds(2500))), absl::Milliseconds(2500));
}

TEST(RpcServer, HealthIsAskedOverTheWireAndTurnsWithTheServer) {
  const auto security = Security::ForTesting("a token of this test");
  const auto server = RpcServer::Start({.listen_address = "127.0.0.1:0"}, *security, {});
  ASSERT_TRUE(server.ok()) << server.status();
  const auto channel = testing::PlainChannel((*server)->port());
  EXPECT_THAT(testing::AskHealth(channel), Answers("SERVING"));
  (*server)->SetServing(false);
  EXPECT_THAT(testing::AskHealth(channel), Answers("NOT_SERVING"));
  (*server)->SetServing(true);
  EXPECT_THAT(testing::AskHealth(channel), Answers("SERVING"));
}

TEST(RpcServer, ReflectionCanDescribeTheHealthService) {
  const auto security = Security::ForTesting("a token of this test");
  const auto server = RpcServer::Start({.listen_address = "127.0.0.1:0"}, *security, {});
  ASSERT_TRUE(server.ok()) << server.status();
  const auto channel = testing::PlainChannel((*server)->port());
  EXPECT_THAT(testing::ListServices(channel), Answers(Contains("grpc.health.v1.Health")));
  EXPECT_THAT(testing::DescribeService(channel, "grpc.health.v1.Health"), Answers(ElementsAre("Check", "Watch")));
}

class SecurityTest : public ::testing::Test {
 protected:
  SecurityTest() {
    char pattern[] = "/tmp/thaw-token-XXXXXX";
    const int fd = mkstemp(pattern);
    close(fd);
    path_ = pattern;
  }
  ~SecurityTest() override { unlink(path_.c_str()); }
  void Write(const std::string& token) { std::ofstream(path_) << token; }

  SecurityOptions Options() const {
    SecurityOptions options;
    options.cluster_token_file = path_;
    return options;
  }

  std::string path_;
};

TEST_F(SecurityTest, RefusesToListenBeyondLoopbackWithoutTls) {
  Write("0123456789abcdef\n");
  const auto security = Security::Load(Options());
  ASSERT_TRUE(security.ok()) << security.status();
  EXPECT_TRUE((*security)->CheckListenAddress("127.0.0.1:7000").ok());
  EXPECT_TRUE((*security)->CheckListenAddress("[::1]:7000").ok());
  const absl::Status refused = (*security)->CheckListenAddress("0.0.0.0:7000");
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_NE(refused.message().find("--tls-cert"), absl::string_view::npos);
}

TEST_F(SecurityTest, TrustedNetworkIsTheOperatorsWord) {
  Write("0123456789abcdef");
  SecurityOptions options = Options();
  options.trusted_network = true;
  const auto security = Security::Load(options);
  ASSERT_TRUE(security.ok());
  EXPECT_TRUE((*security)->CheckListenAddress("0.0.0.0:7000").ok());
  EXPECT_TRUE((*security)->CheckPlainListenAddress("0.0.0.0:7000").ok());
}

TEST_F(SecurityTest, CertificateDoesNotHelpAListenerWithoutTls) {
  Write("0123456789abcdef");
  SecurityOptions options = Options();
  // What is in them is gRPC's business, at the first connection.
  options.tls_cert_file = options.tls_key_file = options.tls_ca_file = path_;
  const auto security = Security::Load(options);
  ASSERT_TRUE(security.ok()) << security.status();
  EXPECT_TRUE((*security)->CheckListenAddress("0.0.0.0:7000").ok());
  EXPECT_TRUE((*security)->CheckPlainListenAddress("127.0.0.1:7000").ok());
  const absl::Status refused = (*security)->CheckPlainListenAddress("0.0.0.0:7000");
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_NE(refused.message().find("--trusted-network"), absl::string_view::npos);
}

TEST_F(SecurityTest, BadTokensAndHalfATlsAreRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(Security::Load(SecurityOptions()).status()));
  SecurityOptions options = Options();
  options.cluster_token_file = "/nowhere";
  EXPECT_TRUE(absl::IsNotFound(Security::Load(options).status()));
  Write("short");
  EXPECT_TRUE(absl::IsInvalidArgument(Security::Load(Options()).status()));
  Write("0123456789abcdef");
  options = Options();
  options.tls_cert_file = path_;
  EXPECT_TRUE(absl::IsInvalidArgument(Security::Load(options).status()));
}

// A call that owns the only reference to its channel, as one does whose peer has been forgotten meanwhile.
struct LastCall {
  explicit LastCall(std::shared_ptr<grpc::Channel> to) : channel(std::move(to)) {}
  std::shared_ptr<grpc::Channel> channel;
  grpc::ClientContext context;
  grpc::Slice nothing;
  grpc::ByteBuffer request{&nothing, 1};
  grpc::ByteBuffer response;
};

TEST(CallbackThreads, ACallbackMayLetGoOfTheLastChannel) {
  const auto security = Security::ForTesting("0123456789abcdef");
  for (int i = 0; i < 500; ++i) {
    absl::Notification over;
    auto call = std::make_unique<LastCall>(security->NewChannel("unix:/nonexistent/peer"));
    LastCall* const raw = call.get();
    grpc::GenericStub(raw->channel)
        .UnaryCall(&raw->context, "/thaw/none", grpc::StubOptions(), &raw->request, &raw->response,
                   [&over, call = std::shared_ptr<LastCall>(std::move(call))](const grpc::Status&) {
                     call->channel.reset();
                     over.Notify();
                   });
    over.WaitForNotification();
  }
}

}  // namespace
}  // namespace thaw
