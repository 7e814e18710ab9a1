// Administration through a whole gateway: what is the scheduler's, what is the agents'.
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/log/log.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "common/version/version.h"
#include "gateway/gateway.h"
#include "gateway/routing/lease_table.h"
#include "tests/fakes/fake_agent_server.h"
#include "tests/fakes/fake_scheduler_server.h"
#include "thaw/gateway/v1/gateway.grpc.pb.h"

namespace thaw::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::thaw::testing::FakeAgentServer;
using ::thaw::testing::FakeSchedulerServer;
namespace cat = ::thaw::common::v1;

constexpr char kToken[] = "a-token-for-tests";
constexpr char kImage[] = "sha256:0123456789abcdef";

class AdminTest : public ::testing::Test {
 protected:
  AdminTest() {
    scheduler_.Start();
    a_.Start();
    b_.Start();
    scheduler_.AddFunction("fn", "app", "hello");
    scheduler_.AddNode("a", a_.address());
    scheduler_.AddNode("b", b_.address());
    Options options;
    options.listen = "127.0.0.1:0";
    options.http_listen = "127.0.0.1:0";
    options.scheduler = scheduler_.address();
    options.allow_node_pinning = true;
    options.drain_limit = absl::Milliseconds(500);
    auto gateway = Gateway::Create(options, Security::ForTesting(kToken), NullLogger());
    EXPECT_TRUE(gateway.ok()) << gateway.status();
    gateway_ = std::move(*gateway);
    EXPECT_TRUE(scheduler_.AwaitWatcher());
    const auto channel =
        grpc::CreateChannel(absl::StrCat("127.0.0.1:", gateway_->grpc_port()), grpc::InsecureChannelCredentials());
    admin_ = v1::Admin::NewStub(channel);
    invoker_ = v1::Invoker::NewStub(channel);
  }
  ~AdminTest() override {
    gateway_.reset();
    a_.Stop();
    b_.Stop();
    scheduler_.Stop();
  }

  absl::StatusOr<std::string> VersionThatRuns() {
    grpc::ClientContext context;
    v1::InvokeRequest request;
    request.mutable_function()->set_id("fn");
    v1::InvokeResponse response;
    const absl::Status status = FromGrpcStatus(invoker_->Invoke(&context, request, &response));
    if (!status.ok()) return status;
    return a_.seen().back().request.version_id();
  }

  absl::Status Push(const std::string& archive, std::uint64_t announced, v1::PushImageResponse* response,
                    bool header = true) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    auto writer = admin_->PushImage(&context, response);
    v1::PushImageRequest part;
    if (header) {
      part.mutable_header()->set_image("app/hello:0.0.1");
      part.mutable_header()->set_image_id(kImage);
      part.mutable_header()->set_size_bytes(announced);
      writer->Write(part);
    }
    for (std::size_t at = 0; at < archive.size(); at += 100'000) {
      part.set_chunk(archive.substr(at, 100'000));
      if (!writer->Write(part)) break;
    }
    writer->WritesDone();
    return FromGrpcStatus(writer->Finish());
  }

  FakeSchedulerServer scheduler_{kToken};
  FakeAgentServer a_{kToken};
  FakeAgentServer b_{kToken};
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<v1::Admin::Stub> admin_;
  std::unique_ptr<v1::Invoker::Stub> invoker_;
};

TEST_F(AdminTest, CatalogueIsForwardedWithTheTokenAndItsErrorsPass) {
  {
    grpc::ClientContext context;
    cat::CreateAppRequest request;
    request.mutable_app()->set_name("new");
    cat::App app;
    EXPECT_TRUE(admin_->CreateApp(&context, request, &app).ok());
    EXPECT_EQ(app.name(), "new");
    EXPECT_EQ(app.id(), "app-id");
  }
  grpc::ClientContext context;
  cat::CreateAppRequest request;
  request.mutable_app()->set_name("taken");
  cat::App app;
  const absl::Status status = FromGrpcStatus(admin_->CreateApp(&context, request, &app));
  EXPECT_TRUE(absl::IsAlreadyExists(status));
  EXPECT_EQ(ReasonOf(status), reason::kAlreadyExists);
  EXPECT_EQ(scheduler_.refused(), 0);
}

TEST_F(AdminTest, SecretsAreForwarded) {
  {
    grpc::ClientContext context;
    cat::SetSecretRequest request;
    request.set_app_id("app-id");
    request.set_name("key");
    request.set_value("value");
    cat::Secret secret;
    ASSERT_TRUE(admin_->SetSecret(&context, request, &secret).ok());
    EXPECT_EQ(secret.name(), "key");
    EXPECT_EQ(secret.size_bytes(), 5u);
  }
  {
    grpc::ClientContext context;
    cat::ListSecretsRequest request;
    request.set_app_id("app-id");
    cat::ListSecretsResponse response;
    ASSERT_TRUE(admin_->ListSecrets(&context, request, &response).ok());
    ASSERT_EQ(response.secrets_size(), 1);
    EXPECT_EQ(response.secrets(0).app_id(), "app-id");
  }
  grpc::ClientContext context;
  cat::DeleteSecretRequest request;
  request.set_name("none");
  cat::DeleteSecretResponse response;
  EXPECT_EQ(ReasonOf(FromGrpcStatus(admin_->DeleteSecret(&context, request, &response))), reason::kSecretNotFound);
}

TEST_F(AdminTest, DeadSchedulerIsNamedAndRetryable) {
  scheduler_.Stop();
  grpc::ClientContext context;
  cat::ListNodesResponse nodes;
  const absl::Status status = FromGrpcStatus(admin_->ListNodes(&context, cat::ListNodesRequest(), &nodes));
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(ReasonOf(status), reason::kSchedulerUnavailable);
  EXPECT_TRUE(RetryAfterOf(status).has_value());
}

TEST_F(AdminTest, MethodThatTheSchedulerLacksIsTheOperatorsMatter) {
  grpc::ClientContext context;
  cat::SnapshotInfo snapshot;
  const absl::Status status = FromGrpcStatus(admin_->GetSnapshot(&context, cat::GetSnapshotRequest(), &snapshot));
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("same version"));
}

TEST_F(AdminTest, CallsAfterAnUpdatesAnswerRunTheNewVersion) {
  const auto before = VersionThatRuns();
  ASSERT_TRUE(before.ok()) << before.status();
  grpc::ClientContext context;
  cat::UpdateFunctionRequest request;
  request.mutable_function()->set_id("fn");
  cat::Function function;
  // The fake tells no watcher of it.
  ASSERT_TRUE(admin_->UpdateFunction(&context, request, &function).ok());
  EXPECT_EQ(*VersionThatRuns(), function.version_id());
  EXPECT_NE(function.version_id(), *before);
}

TEST_F(AdminTest, ExplainFreezingMergesAllNodesNewestFirstAndNamesThoseThatFail) {
  const auto diagnosed = [](std::int64_t second, const char* occasion) {
    agent::v1::ExplainResponse response;
    auto* diagnosis = response.add_diagnoses();
    diagnosis->mutable_at()->set_seconds(second);
    diagnosis->set_occasion(occasion);
    diagnosis->add_findings()->set_what("/data/x");
    return response;
  };
  const auto explain = [this](v1::ExplainFreezingResponse& response) {
    grpc::ClientContext context;
    v1::ExplainFreezingRequest request;
    request.mutable_function()->set_id("fn");
    return FromGrpcStatus(admin_->ExplainFreezing(&context, request, &response));
  };
  v1::ExplainFreezingResponse nothing;
  const absl::Status unknown = explain(nothing);
  EXPECT_TRUE(absl::IsFailedPrecondition(unknown)) << unknown;
  EXPECT_EQ(ReasonOf(unknown), "NOTHING_KNOWN");

  a_.set_explanation(diagnosed(100, "checkpoint"));
  b_.set_explanation(diagnosed(200, "look"));
  v1::ExplainFreezingResponse both;
  ASSERT_TRUE(explain(both).ok());
  ASSERT_EQ(both.diagnoses_size(), 2);
  EXPECT_EQ(both.diagnoses(0).node_id(), "b");
  EXPECT_EQ(both.diagnoses(1).node_id(), "a");
  EXPECT_EQ(both.diagnoses(1).findings(0).what(), "/data/x");
  EXPECT_NE(both.version_id(), "");

  b_.set_explanation(absl::InternalError("its disk is full"));
  v1::ExplainFreezingResponse one;
  ASSERT_TRUE(explain(one).ok());
  ASSERT_EQ(one.diagnoses_size(), 2);
  EXPECT_EQ(one.diagnoses(0).node_id(), "b");
  EXPECT_THAT(one.diagnoses(0).error(), HasSubstr("its disk is full"));
}

TEST_F(AdminTest, FindImageAsksAllNodes) {
  const auto find = [this] {
    grpc::ClientContext context;
    v1::FindImageRequest request;
    request.set_image_id(kImage);
    v1::FindImageResponse response;
    EXPECT_TRUE(admin_->FindImage(&context, request, &response).ok());
    return std::vector<std::string>(response.node_ids().begin(), response.node_ids().end());
  };
  EXPECT_THAT(find(), IsEmpty());
  b_.AddImage(kImage, "x");
  EXPECT_THAT(find(), ElementsAre("b"));
  a_.AddImage(kImage, "x");
  EXPECT_THAT(find(), ElementsAre("a", "b"));
  a_.Stop();
  EXPECT_THAT(find(), ElementsAre("b")) << "a node that is gone has none";
}

TEST_F(AdminTest, FindImageWantsAnId) {
  grpc::ClientContext context;
  v1::FindImageRequest request;
  request.set_image_id("app/hello:0.0.1");
  v1::FindImageResponse response;
  EXPECT_EQ(ReasonOf(FromGrpcStatus(admin_->FindImage(&context, request, &response))), reason::kInvalidField);
}

TEST_F(AdminTest, PushedImageArrivesWholeOnOneNode) {
  std::string archive(3'000'017, 'x');
  archive[2'500'000] = 'y';
  v1::PushImageResponse response;
  const absl::Status status = Push(archive, archive.size(), &response);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(response.image_id(), kImage);
  const auto images = response.node_id() == "a" ? a_.images() : b_.images();
  ASSERT_EQ(images.count(kImage), 1u);
  EXPECT_TRUE(images.at(kImage) == archive);
  EXPECT_EQ(a_.images().size() + b_.images().size(), 1u);
}

TEST_F(AdminTest, ArchiveThatIsNotAsLongAsAnnouncedIsRefusedAndNotKept) {
  v1::PushImageResponse response;
  for (const std::uint64_t announced : {999'999u, 1'000'001u}) {
    const absl::Status status = Push(std::string(1'000'000, 'x'), announced, &response);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("app/hello:0.0.1"));
  }
  EXPECT_EQ(a_.images().size() + b_.images().size(), 0u);
}

TEST_F(AdminTest, PushWithoutAHeaderIsRefused) {
  v1::PushImageResponse response;
  EXPECT_TRUE(absl::IsInvalidArgument(Push("data", 4, &response, /*header=*/false)));
  EXPECT_TRUE(absl::IsInvalidArgument(Push("", 0, &response, /*header=*/false)));
}

TEST_F(AdminTest, AgentsRefusalOfAnArchiveIsPassedOn) {
  v1::PushImageResponse response;
  const absl::Status status = Push("this is not an archive" + std::string(2'000'000, 'x'), 0, &response);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("not an image archive"));
}

TEST_F(AdminTest, PushWithoutANodeIsUnavailable) {
  scheduler_.LoseNode("a");
  scheduler_.LoseNode("b");
  v1::PushImageResponse response;
  const absl::Status status = Push("data", 4, &response);
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(ReasonOf(status), reason::kNoNodeReady);
}

TEST_F(AdminTest, ClientThatGoesAwayWhileItPushesLeavesNothing) {
  {
    grpc::ClientContext context;
    v1::PushImageResponse response;
    auto writer = admin_->PushImage(&context, &response);
    v1::PushImageRequest part;
    part.mutable_header()->set_image("app/hello:0.0.1");
    part.mutable_header()->set_image_id(kImage);
    writer->Write(part);
    part.set_chunk(std::string(100'000, 'x'));
    writer->Write(part);
    context.TryCancel();
    EXPECT_FALSE(writer->Finish().ok());
  }
  v1::PushImageResponse response;
  ASSERT_TRUE(Push("data", 4, &response).ok()) << "the gateway goes on";
  EXPECT_EQ(a_.images().size() + b_.images().size(), 1u);
}

class LogsTest : public AdminTest {
 protected:
  std::vector<std::string> Read(const v1::ReadLogsRequest& request, absl::Status* status) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    auto reader = admin_->ReadLogs(&context, request);
    std::vector<std::string> lines;
    v1::LogLine line;
    while (reader->Read(&line)) lines.push_back(absl::StrCat(line.node_id(), " ", line.line()));
    *status = FromGrpcStatus(reader->Finish());
    return lines;
  }
};

TEST_F(LogsTest, LinesOfAllNodesAreMergedByTime) {
  a_.AddLogLine("fn", "2026-01-01T00:00:01.000Z i1 out one");
  a_.AddLogLine("fn", "2026-01-01T00:00:04.000Z i1 out four");
  b_.AddLogLine("fn", "2026-01-01T00:00:02.000Z i2 err two");
  b_.AddLogLine("fn", "2026-01-01T00:00:03.000Z i2 out three");
  v1::ReadLogsRequest request;
  request.mutable_function()->set_path("app/hello");
  absl::Status status;
  EXPECT_THAT(Read(request, &status),
              ElementsAre("a 2026-01-01T00:00:01.000Z i1 out one", "b 2026-01-01T00:00:02.000Z i2 err two",
                          "b 2026-01-01T00:00:03.000Z i2 out three", "a 2026-01-01T00:00:04.000Z i1 out four"));
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(LogsTest, TailIsEachNodes) {
  for (int i = 0; i < 5; ++i) {
    a_.AddLogLine("fn", absl::StrCat("2026-01-01T00:00:0", i, ".000Z i out a", i));
    b_.AddLogLine("fn", absl::StrCat("2026-01-01T00:00:0", i, ".500Z i out b", i));
  }
  v1::ReadLogsRequest request;
  request.mutable_function()->set_id("fn");
  request.set_tail(1);
  absl::Status status;
  EXPECT_EQ(Read(request, &status).size(), 2u);
}

TEST_F(LogsTest, NodeWhoseLogBreaksIsTold) {
  a_.set_log_failure(absl::DataLossError("bad disk"));
  b_.AddLogLine("fn", "2026-01-01T00:00:02.000Z i2 err two");
  v1::ReadLogsRequest request;
  request.mutable_function()->set_id("fn");
  absl::Status status;
  const auto lines = Read(request, &status);
  EXPECT_TRUE(status.ok());
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_THAT(lines[1], HasSubstr("the log of node a can't be read: bad disk"));
}

TEST_F(LogsTest, UnknownFunctionIsNotFound) {
  v1::ReadLogsRequest request;
  request.mutable_function()->set_path("app/nothing");
  absl::Status status;
  EXPECT_THAT(Read(request, &status), IsEmpty());
  EXPECT_TRUE(absl::IsNotFound(status));
  v1::ReadLogsRequest nameless;
  Read(nameless, &status);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
}

TEST_F(LogsTest, FollowGivesLinesAsTheyComeAlsoFromANodeThatJoinsAndEndsWithItsClient) {
  FakeAgentServer c(kToken);
  c.Start();
  a_.AddLogLine("fn", "2026-01-01T00:00:01.000Z i1 out one");
  grpc::ClientContext context;
  v1::ReadLogsRequest request;
  request.mutable_function()->set_id("fn");
  request.set_follow(true);
  auto reader = admin_->ReadLogs(&context, request);
  v1::LogLine line;
  ASSERT_TRUE(reader->Read(&line));
  EXPECT_THAT(line.line(), HasSubstr("one"));
  b_.AddLogLine("fn", "2026-01-01T00:00:02.000Z i2 out two");
  ASSERT_TRUE(reader->Read(&line));
  EXPECT_EQ(line.node_id(), "b");
  c.AddLogLine("fn", "2026-01-01T00:00:03.000Z i3 out three");
  scheduler_.AddNode("c", c.address());
  ASSERT_TRUE(reader->Read(&line));
  EXPECT_EQ(line.node_id(), "c");
  context.TryCancel();
  EXPECT_FALSE(reader->Finish().ok());
  const absl::Time end = absl::Now() + absl::Seconds(5);
  while (a_.log_streams() + b_.log_streams() + c.log_streams() > 0 && absl::Now() < end) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_EQ(a_.log_streams() + b_.log_streams() + c.log_streams(), 0);
}

TEST_F(LogsTest, ManyLinesComeWholeAndInOrder) {
  for (int i = 0; i < 3000; ++i) {
    (i % 2 == 0 ? a_ : b_).AddLogLine("fn", absl::StrFormat("2026-01-01T00:00:00.%06dZ i out %d", i, i));
  }
  v1::ReadLogsRequest request;
  request.mutable_function()->set_id("fn");
  request.set_tail(10000);
  absl::Status status;
  const auto lines = Read(request, &status);
  ASSERT_EQ(lines.size(), 3000u);
  for (int i = 0; i < 3000; ++i) EXPECT_THAT(lines[static_cast<std::size_t>(i)], HasSubstr(absl::StrFormat("out %d", i)));
}

class HeldLogsTest : public LogsTest, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Questions, HeldLogsTest, ::testing::Values("GetFunction", "ListNodes"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(HeldLogsTest, ReaderThatGoesAwayTakesItsQuestionToTheSchedulerAlong) {
  scheduler_.Hold(GetParam());
  grpc::ClientContext context;
  v1::ReadLogsRequest request;
  request.mutable_function()->set_id("fn");
  request.set_follow(true);
  auto reader = admin_->ReadLogs(&context, request);
  ASSERT_TRUE(scheduler_.AwaitHeld(1));
  context.TryCancel();
  EXPECT_FALSE(reader->Finish().ok());
  gateway_.reset();
  EXPECT_TRUE(scheduler_.AwaitHeldCancelled(1));
  // An answer now would find the gateway gone.
  scheduler_.Release();
}

TEST_F(AdminTest, CallsThatAskTheSchedulerDoNotHoldUpTheShutdown) {
  scheduler_.Hold("ListNodes");
  // Of the test: without an end of its own such a call would wait for half a minute, an upload for half an hour.
  const auto deadline = absl::ToChronoTime(absl::Now() + absl::Seconds(20));
  std::thread finder([&] {
    grpc::ClientContext context;
    context.set_deadline(deadline);
    v1::FindImageRequest request;
    request.set_image_id(kImage);
    v1::FindImageResponse response;
    EXPECT_FALSE(admin_->FindImage(&context, request, &response).ok());
  });
  std::thread explainer([&] {
    grpc::ClientContext context;
    context.set_deadline(deadline);
    v1::ExplainFreezingRequest request;
    request.mutable_function()->set_id("fn");
    v1::ExplainFreezingResponse response;
    EXPECT_FALSE(admin_->ExplainFreezing(&context, request, &response).ok());
  });
  std::thread pusher([&] {
    grpc::ClientContext context;
    context.set_deadline(deadline);
    v1::PushImageResponse response;
    auto writer = admin_->PushImage(&context, &response);
    v1::PushImageRequest part;
    part.mutable_header()->set_image("app/hello:0.0.1");
    part.mutable_header()->set_image_id(kImage);
    writer->Write(part);
    EXPECT_FALSE(writer->Finish().ok());
  });
  EXPECT_TRUE(scheduler_.AwaitHeld(3));
  const absl::Time began = absl::Now();
  gateway_->Shutdown();
  EXPECT_LT(absl::Now() - began, absl::Seconds(10));
  finder.join();
  explainer.join();
  pusher.join();
  EXPECT_TRUE(scheduler_.AwaitHeldCancelled(3));
}

TEST_F(AdminTest, FreezeUnderWayDoesNotHoldUpTheShutdownAndAllLeasesAreGivenBack) {
  ASSERT_TRUE(VersionThatRuns().ok());
  a_.set_freeze_hangs(true);
  absl::Status status;
  std::thread creator([&] {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
    v1::CreateSnapshotRequest request;
    request.mutable_function()->set_path("app/hello");
    cat::SnapshotInfo snapshot;
    status = FromGrpcStatus(admin_->CreateSnapshot(&context, request, &snapshot));
  });
  for (int i = 0; i < 500 && a_.frozen().empty(); ++i) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_EQ(a_.frozen().size(), 1u);
  const absl::Time began = absl::Now();
  gateway_->Shutdown();
  EXPECT_LT(absl::Now() - began, absl::Seconds(10));
  creator.join();
  EXPECT_FALSE(status.ok());
  // The freeze's own lease is given back without waiting for the answer.
  for (int i = 0; i < 500 && scheduler_.released().size() < 2; ++i) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_EQ(scheduler_.released().size(), 2u);
}

TEST_F(AdminTest, ServerInfoSaysWhatIsAllowed) {
  grpc::ClientContext context;
  v1::ServerInfo info;
  ASSERT_TRUE(admin_->GetServerInfo(&context, v1::GetServerInfoRequest(), &info).ok());
  EXPECT_EQ(info.version(), kVersion);
  EXPECT_TRUE(info.node_pinning());
  EXPECT_EQ(info.max_body_bytes(), 64u << 20);
}

TEST_F(AdminTest, CreateSnapshotAsksTheNodeOfALeaseAndGivesTheLeaseBack) {
  const auto create = [this](const std::string& path, cat::SnapshotInfo& snapshot) {
    grpc::ClientContext context;
    v1::CreateSnapshotRequest request;
    request.mutable_function()->set_path(path);
    return FromGrpcStatus(admin_->CreateSnapshot(&context, request, &snapshot));
  };
  cat::SnapshotInfo snapshot;
  ASSERT_TRUE(create("app/hello", snapshot).ok());
  EXPECT_EQ(snapshot.id(), "5eed");
  ASSERT_EQ(a_.frozen().size(), 1u);
  EXPECT_EQ(a_.frozen()[0], snapshot.version_id());
  // The release is sent and not waited for.
  for (int i = 0; i < 500 && scheduler_.released().empty(); ++i) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_EQ(scheduler_.released().size(), 1u);

  a_.set_freeze_failure(WithReason(absl::FailedPreconditionError("file /x is open; close it"), reason::kCheckpointRefused));
  const absl::Status refused = create("app/hello", snapshot);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(refused), reason::kCheckpointRefused);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("file /x is open; close it"));

  EXPECT_EQ(create("app/none", snapshot).code(), absl::StatusCode::kNotFound);
  a_.Stop();
  EXPECT_THAT(std::string(create("app/hello", snapshot).message()), HasSubstr("node a can't be reached"));
  a_.Start();
}

}  // namespace
}  // namespace thaw::gateway
