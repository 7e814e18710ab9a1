#include "cli/gateway/grpc_client.h"

#include <gmock/gmock.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "thaw/gateway/v1/gateway.grpc.pb.h"

namespace thaw::cli {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Le;

class Invoker final : public gatewaypb::Invoker::Service {
 public:
  grpc::Status Invoke(grpc::ServerContext* context, const gatewaypb::InvokeRequest* request,
                      gatewaypb::InvokeResponse* response) override {
    const auto it = context->client_metadata().find("thaw-node");
    node = it == context->client_metadata().end() ? "" : std::string(it->second.data(), it->second.size());
    left = absl::FromChrono(context->deadline()) - absl::Now();
    if (request->function().path() == "app/missing") {
      return ToGrpcStatus(WithReason(absl::NotFoundError("no such function"), reason::kFunctionNotFound));
    }
    if (request->function().path() == "app/hang") {
      hanging.Notify();
      while (!context->IsCancelled()) absl::SleepFor(absl::Milliseconds(5));
      return grpc::Status::CANCELLED;
    }
    response->set_body(request->body());
    return grpc::Status::OK;
  }

  grpc::Status InvokeStream(grpc::ServerContext*,
                            grpc::ServerReaderWriter<gatewaypb::InvokeStreamResponse,
                                                     gatewaypb::InvokeStreamRequest>* stream) override {
    gatewaypb::InvokeStreamRequest request;
    gatewaypb::InvokeStreamResponse response;
    while (stream->Read(&request)) {
      if (request.has_start()) {
        start_body = request.start().body().size();
        response.mutable_start()->set_call_id("call");
      } else {
        parts.push_back(request.chunk().size());
        *response.mutable_chunk() = request.chunk();
      }
      if (last_seen) after_last = true;
      if (request.last()) last_seen = true;
      // As it comes: a client that only writes would hang.
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

  std::string node;
  absl::Duration left;
  std::size_t start_body = 0;
  std::vector<std::size_t> parts;
  std::atomic<bool> last_seen = false;
  std::atomic<bool> after_last = false;
  absl::Notification hanging;
};

class Admin final : public gatewaypb::Admin::Service {
 public:
  grpc::Status ListApps(grpc::ServerContext*, const commonpb::ListAppsRequest* request,
                        commonpb::ListAppsResponse* response) override {
    const int page = request->page_token().empty() ? 0 : std::stoi(request->page_token());
    response->add_apps()->set_name(absl::StrCat("app", page));
    if (page < 2) response->set_next_page_token(absl::StrCat(page + 1));
    return grpc::Status::OK;
  }
  grpc::Status ListFunctions(grpc::ServerContext*, const commonpb::ListFunctionsRequest*,
                             commonpb::ListFunctionsResponse* response) override {
    response->set_next_page_token("same");
    return grpc::Status::OK;
  }
  grpc::Status PushImage(grpc::ServerContext*, grpc::ServerReader<gatewaypb::PushImageRequest>* reader,
                         gatewaypb::PushImageResponse* response) override {
    gatewaypb::PushImageRequest request;
    while (reader->Read(&request)) {
      if (request.has_header()) {
        response->set_image_id(request.header().image_id());
        if (request.header().image() == "full") {
          return ToGrpcStatus(WithReason(absl::ResourceExhaustedError("no space left"), reason::kDiskFull));
        }
      } else {
        parts.push_back(request.chunk().size());
      }
    }
    cut = false;
    response->set_node_id("a");
    return grpc::Status::OK;
  }
  grpc::Status ReadLogs(grpc::ServerContext* context, const gatewaypb::ReadLogsRequest* request,
                        grpc::ServerWriter<gatewaypb::LogLine>* writer) override {
    has_deadline = absl::FromChrono(context->deadline()) < absl::Now() + absl::Hours(24);
    gatewaypb::LogLine line;
    for (int i = 0; i < 3; ++i) {
      line.set_line(absl::StrCat("line", i));
      writer->Write(line);
    }
    while (request->follow() && !context->IsCancelled()) absl::SleepFor(absl::Milliseconds(5));
    return grpc::Status::OK;
  }

  std::vector<std::size_t> parts;
  std::atomic<bool> cut = true;
  std::atomic<bool> has_deadline = false;
};

class GrpcClientTest : public ::testing::Test {
 protected:
  GrpcClientTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&invoker_);
    builder.RegisterService(&admin_);
    server_ = builder.BuildAndStart();
    address_ = absl::StrCat("127.0.0.1:", port);
    client_ = *MakeGrpcGatewayClient({.server = address_, .tls_ca_file = ""});
  }
  ~GrpcClientTest() override { server_->Shutdown(std::chrono::system_clock::now()); }

  Invoker invoker_;
  Admin admin_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::unique_ptr<GatewayClient> client_;
};

gatewaypb::InvokeRequest CallTo(const std::string& path) {
  gatewaypb::InvokeRequest request;
  request.mutable_function()->set_path(path);
  request.set_body("body");
  return request;
}

TEST_F(GrpcClientTest, InvokePassesNodeAndDeadline) {
  const auto response = client_->Invoke(CallTo("app/echo"), {.node = "b", .timeout = absl::Seconds(9)});
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->body(), "body");
  EXPECT_EQ(invoker_.node, "b");
  EXPECT_GT(invoker_.left, absl::Seconds(5));
  EXPECT_LE(invoker_.left, absl::Seconds(9));
}

TEST_F(GrpcClientTest, ErrorsKeepTheirReason) {
  const auto response = client_->Invoke(CallTo("app/missing"), {});
  EXPECT_EQ(response.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(response.status()), reason::kFunctionNotFound);
}

TEST_F(GrpcClientTest, TimeIsUpAsAsked) {
  const auto response = client_->Invoke(CallTo("app/hang"), {.node = "", .timeout = absl::Milliseconds(200)});
  EXPECT_EQ(response.status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(GrpcClientTest, CancelAllEndsWhatIsInFlightAndNothingLater) {
  std::thread canceller([this] {
    invoker_.hanging.WaitForNotification();
    client_->CancelAll();
  });
  EXPECT_EQ(client_->Invoke(CallTo("app/hang"), {}).status().code(), absl::StatusCode::kCancelled);
  canceller.join();
  EXPECT_TRUE(client_->Invoke(CallTo("app/echo"), {}).ok());
}

TEST_F(GrpcClientTest, NobodyThereIsUnavailableAndNamesTheAddress) {
  server_->Shutdown(std::chrono::system_clock::now());
  const auto client = *MakeGrpcGatewayClient({.server = address_, .tls_ca_file = ""});
  const auto apps = client->ListApps();
  EXPECT_EQ(apps.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(apps.status().message()),
              HasSubstr(absl::StrCat("can't reach the gateway at ", address_)));
}

TEST_F(GrpcClientTest, StreamsBothWaysInPartsOfAtMostOneMebibyte) {
  std::string answer;
  std::string call_id;
  const std::string body(9'000'000, 'x');
  const absl::Status status = client_->InvokeStream(
      CallTo("app/echo"), {}, [&body](ChunkSink sink) { return sink(body); },
      [&call_id](const gatewaypb::InvokeResponse& start) { call_id = start.call_id(); },
      [&answer](absl::string_view data) {
        answer.append(data.data(), data.size());
        return absl::OkStatus();
      });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(answer, body);
  EXPECT_EQ(call_id, "call");
  EXPECT_EQ(invoker_.start_body, 0u);
  EXPECT_THAT(invoker_.parts, Each(Le(kMaxChunk)));
  // The last message, and no other, says that the body is whole.
  EXPECT_TRUE(invoker_.last_seen);
  EXPECT_FALSE(invoker_.after_last);
}

TEST_F(GrpcClientTest, StreamEndsWithTheErrorOfWhoeverGivesUp) {
  const auto nothing = [](const gatewaypb::InvokeResponse&) {};
  EXPECT_EQ(client_
                ->InvokeStream(
                    CallTo("app/echo"), {}, [](ChunkSink) { return absl::DataLossError("input broke"); },
                    nothing, [](absl::string_view) { return absl::OkStatus(); })
                .code(),
            absl::StatusCode::kDataLoss);
  EXPECT_FALSE(invoker_.last_seen) << "half a body was said to be whole";
  EXPECT_EQ(client_
                ->InvokeStream(
                    CallTo("app/echo"), {}, [](ChunkSink sink) { return sink("x"); }, nothing,
                    [](absl::string_view) { return absl::ResourceExhaustedError("disk full"); })
                .code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(GrpcClientTest, ListsReadAllPages) {
  const auto apps = client_->ListApps();
  ASSERT_TRUE(apps.ok()) << apps.status();
  std::vector<std::string> names;
  for (const auto& app : *apps) names.push_back(app.name());
  EXPECT_THAT(names, ElementsAre("app0", "app1", "app2"));
}

TEST_F(GrpcClientTest, PagesThatRepeatAreAnErrorInsteadOfALoop) {
  EXPECT_EQ(client_->ListFunctions("").status().code(), absl::StatusCode::kInternal);
}

TEST_F(GrpcClientTest, ImageIsPushedInParts) {
  gatewaypb::PushImageRequest::Header header;
  header.set_image_id("sha256:1");
  const auto pushed =
      client_->PushImage(header, [](ChunkSink sink) { return sink(std::string(2'500'000, 'x')); });
  ASSERT_TRUE(pushed.ok()) << pushed.status();
  EXPECT_EQ(pushed->node_id(), "a");
  EXPECT_THAT(admin_.parts, ElementsAre(kMaxChunk, kMaxChunk, 2'500'000 - 2 * kMaxChunk));
}

TEST_F(GrpcClientTest, PushThatTheClusterRefusesHasItsReason) {
  gatewaypb::PushImageRequest::Header header;
  header.set_image("full");
  const auto pushed = client_->PushImage(header, [](ChunkSink sink) {
    for (int i = 0; i < 1000; ++i) {
      const absl::Status status = sink(std::string(1 << 20, 'x'));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  });
  EXPECT_EQ(ReasonOf(pushed.status()), reason::kDiskFull);
}

TEST_F(GrpcClientTest, PushWhoseImageCanNotBeReadIsCutOff) {
  gatewaypb::PushImageRequest::Header header;
  const auto pushed =
      client_->PushImage(header, [](ChunkSink) { return absl::DataLossError("docker save failed"); });
  EXPECT_EQ(pushed.status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(GrpcClientTest, LogsHaveADeadlineUnlessTheyAreFollowed) {
  std::vector<std::string> lines;
  ASSERT_TRUE(client_
                  ->ReadLogs({},
                             [&lines](const gatewaypb::LogLine& line) {
                               lines.push_back(line.line());
                               return absl::OkStatus();
                             })
                  .ok());
  EXPECT_THAT(lines, ElementsAre("line0", "line1", "line2"));
  EXPECT_TRUE(admin_.has_deadline);
  gatewaypb::ReadLogsRequest follow;
  follow.set_follow(true);
  EXPECT_EQ(client_
                ->ReadLogs(follow,
                           [](const gatewaypb::LogLine& line) {
                             return line.line() == "line2" ? absl::OutOfRangeError("enough")
                                                           : absl::OkStatus();
                           })
                .code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_FALSE(admin_.has_deadline);
}

TEST(GrpcClient, UnreadableCaFileIsALocalError) {
  EXPECT_EQ(MakeGrpcGatewayClient({.server = "x:1", .tls_ca_file = "/nonexistent"}).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace thaw::cli
