// The scheduler's three services over a real server on a loopback port, and its restart.
#include <gmock/gmock.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/log/log.h"
#include "common/rpc/server.h"
#include "common/status/reasons.h"
#include "scheduler/server.h"
#include "scheduler/service/services.h"
#include "tests/scheduler/support/scheduler_client.h"
#include "tests/scheduler/support/test_scheduler.h"
#include "tests/support/standard_services.h"

namespace thaw::scheduler {
namespace {

using testing::DigestId;
using testing::NodeClient;
using testing::SchedulerClient;
using testing::TestScheduler;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::thaw::testing::Answers;

class ServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/thaw-scheduler-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    directory_ = path;
    options_.listen = "127.0.0.1:0";
    // Its end takes the HTTP library two seconds; the tests that look at metrics ask for it.
    options_.metrics_listen = "";
    options_.data_dir = directory_ + "/data";
    Start();
  }
  void TearDown() override {
    client_.reset();
    server_.reset();
    std::filesystem::remove_all(directory_);
  }
  void Start() {
    auto server = SchedulerServer::Start(options_, Security::ForTesting(testing::kTestToken), NullLogger());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = std::make_unique<SchedulerClient>(server_->port());
  }
  void Stop() {
    client_.reset();
    server_.reset();
  }

  common::v1::Function MakeFunction() {
    const auto app = client_->CreateApp("app");
    EXPECT_TRUE(app.ok()) << app.status();
    const auto function = client_->CreateFunction(app->id(), "fn");
    EXPECT_TRUE(function.ok()) << function.status();
    return function.value_or(common::v1::Function());
  }
  // Registers a node and waits until it is welcome.
  std::unique_ptr<NodeClient> Join(const v1::Register& registration) {
    auto node = std::make_unique<NodeClient>(*client_);
    EXPECT_TRUE(node->Register(registration));
    EXPECT_TRUE(node->Read().has_welcome());
    return node;
  }

  // The watch of gateway `gw`, whose first message, the confirmation, is in `event`; null when that did not come.
  std::unique_ptr<grpc::ClientReader<v1::LeaseEvents>> Watch(grpc::ClientContext& context, v1::LeaseEvents& event) {
    client_->Prepare(context);
    v1::WatchLeasesRequest watch;
    watch.set_gateway_id("gw");
    auto events = client_->leases().WatchLeases(&context, watch);
    return events->Read(&event) ? std::move(events) : nullptr;
  }

  Options options_;
  std::string directory_;
  std::unique_ptr<SchedulerServer> server_;
  std::unique_ptr<SchedulerClient> client_;
};

// Calls a method with an empty request and whatever token, and returns how that ended.
grpc::StatusCode CallEmpty(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                           const std::string& token) {
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  if (!token.empty()) context.AddMetadata("thaw-cluster-token", token);
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(2)));
  auto call = stub.PrepareCall(&context, method, &queue);
  void* tag = nullptr;
  bool ok = false;
  call->StartCall(nullptr);
  queue.Next(&tag, &ok);
  call->WriteLast(grpc::ByteBuffer(nullptr, 0), grpc::WriteOptions(), nullptr);
  queue.Next(&tag, &ok);
  grpc::Status status;
  // A generic call ends only when its answers were read.
  grpc::ByteBuffer answer;
  do {
    call->Read(&answer, nullptr);
    queue.Next(&tag, &ok);
  } while (ok);
  call->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
  return status.error_code();
}

TEST_F(ServiceTest, EveryMethodRefusesACallWithoutTheClustersToken) {
  const auto* file = v1::AcquireLeaseRequest::descriptor()->file();
  int methods = 0;
  for (int s = 0; s < file->service_count(); ++s) {
    for (int m = 0; m < file->service(s)->method_count(); ++m) {
      const std::string method =
          absl::StrCat("/", file->service(s)->full_name(), "/", file->service(s)->method(m)->name());
      SCOPED_TRACE(method);
      EXPECT_EQ(CallEmpty(client_->channel(), method, ""), grpc::StatusCode::UNAUTHENTICATED);
      EXPECT_EQ(CallEmpty(client_->channel(), method, "a token of some other cluster"),
                grpc::StatusCode::UNAUTHENTICATED);
      ++methods;
    }
  }
  EXPECT_EQ(methods, 23);
  // The right token gets in: the refusal above was the token's.
  EXPECT_EQ(CallEmpty(client_->channel(), "/thaw.scheduler.v1.Catalogue/ListApps", testing::kTestToken),
            grpc::StatusCode::OK);
  EXPECT_EQ(CallEmpty(client_->channel(), "/thaw.scheduler.v1.Membership/Connect", testing::kTestToken),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ServiceTest, HealthAndReflectionAreAnsweredWithoutTheClustersToken) {
  const auto channel = thaw::testing::PlainChannel(server_->port());
  EXPECT_THAT(thaw::testing::AskHealth(channel), Answers("SERVING"));
  const auto services = thaw::testing::ListServices(channel);
  for (const char* service : {"Catalogue", "Leases", "Membership"}) {
    const std::string name = absl::StrCat("thaw.scheduler.v1.", service);
    EXPECT_THAT(services, Answers(Contains(name)));
    EXPECT_THAT(thaw::testing::DescribeService(channel, name), Answers(::testing::Not(::testing::IsEmpty())));
  }
}

TEST_F(ServiceTest, SecretsAreSetListedWithoutValuesDeletedAndGoWithTheirApp) {
  const auto function = MakeFunction();
  common::v1::SetSecretRequest set;
  set.set_app_id(function.app_id());
  set.set_name("key");
  set.set_value("the value");
  const auto secret = client_->Call(&v1::Catalogue::Stub::SetSecret, set);
  ASSERT_TRUE(secret.ok()) << secret.status();
  EXPECT_EQ(secret->size_bytes(), 9u);
  common::v1::ListSecretsRequest list;
  list.set_app_id(function.app_id());
  const auto listed = client_->Call(&v1::Catalogue::Stub::ListSecrets, list);
  ASSERT_EQ(listed->secrets_size(), 1);
  EXPECT_EQ(listed->SerializeAsString().find("the value"), std::string::npos);
  common::v1::DeleteSecretRequest remove;
  remove.set_app_id(function.app_id());
  remove.set_name("key");
  EXPECT_TRUE(client_->Call(&v1::Catalogue::Stub::DeleteSecret, remove).ok());
  EXPECT_EQ(ReasonOf(client_->Call(&v1::Catalogue::Stub::DeleteSecret, remove).status()), reason::kSecretNotFound);

  ASSERT_TRUE(client_->Call(&v1::Catalogue::Stub::SetSecret, set).ok());
  common::v1::DeleteAppRequest delete_app;
  delete_app.set_id(function.app_id());
  ASSERT_TRUE(client_->Call(&v1::Catalogue::Stub::DeleteApp, delete_app).ok());
  EXPECT_EQ(ReasonOf(client_->Call(&v1::Catalogue::Stub::ListSecrets, list).status()), reason::kAppNotFound);
  EXPECT_EQ(ReasonOf(client_->Call(&v1::Catalogue::Stub::SetSecret, set).status()), reason::kAppNotFound);
}

TEST_F(ServiceTest, AppsAndFunctionsAreMadeFoundChangedListedAndDeleted) {
  const auto function = MakeFunction();
  EXPECT_EQ(function.app_name(), "app");
  EXPECT_EQ(function.version_id().size(), 32u);
  common::v1::GetFunctionRequest get;
  get.set_app_name("app");
  get.set_name("fn");
  EXPECT_EQ(client_->Call(&v1::Catalogue::Stub::GetFunction, get)->id(), function.id());
  common::v1::UpdateFunctionRequest update;
  update.mutable_function()->set_id(function.id());
  update.mutable_function()->set_memory_mib(256);
  EXPECT_NE(client_->Call(&v1::Catalogue::Stub::UpdateFunction, update)->version_id(), function.version_id());
  EXPECT_EQ(client_->Call(&v1::Catalogue::Stub::ListFunctions, common::v1::ListFunctionsRequest())->functions_size(), 1);
  common::v1::GetAppRequest get_app;
  get_app.set_name("app");
  const auto app = client_->Call(&v1::Catalogue::Stub::GetApp, get_app);
  common::v1::UpdateAppRequest update_app;
  update_app.mutable_app()->set_id(app->id());
  (*update_app.mutable_app()->mutable_config())["K"] = "v";
  EXPECT_EQ(client_->Call(&v1::Catalogue::Stub::UpdateApp, update_app)->config_size(), 1);
  EXPECT_EQ(client_->Call(&v1::Catalogue::Stub::ListApps, common::v1::ListAppsRequest())->apps_size(), 1);
  common::v1::DeleteFunctionRequest delete_function;
  delete_function.set_id(function.id());
  EXPECT_TRUE(client_->Call(&v1::Catalogue::Stub::DeleteFunction, delete_function).ok());
  common::v1::DeleteAppRequest delete_app;
  delete_app.set_id(app->id());
  EXPECT_TRUE(client_->Call(&v1::Catalogue::Stub::DeleteApp, delete_app).ok());
  EXPECT_EQ(client_->Call(&v1::Catalogue::Stub::ListApps, common::v1::ListAppsRequest())->apps_size(), 0);
}

TEST_F(ServiceTest, ErrorsArriveWithTheirReasonAndTheirField) {
  const absl::Status missing = client_->Acquire("no/such").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(missing), reason::kFunctionNotFound);
  EXPECT_EQ(ReasonMetadata(missing, "function"), "no/such");
  const absl::Status invalid = client_->CreateApp("no such name").status();
  EXPECT_EQ(invalid.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonMetadata(invalid, "field"), "name");
  ASSERT_TRUE(client_->CreateApp("app").ok());
  EXPECT_EQ(ReasonOf(client_->CreateApp("app").status()), reason::kAlreadyExists);
}

TEST_F(ServiceTest, ANodesLifeOverItsStream) {
  const auto function = MakeFunction();
  auto registration = TestScheduler::Registration("a");
  registration.add_image_ids(testing::ImageId(1));
  auto node = Join(registration);
  EXPECT_EQ(node->Read().version_state().spec().version_id(), function.version_id());

  v1::NodeMessage message;
  message.mutable_checkpoint_request()->set_version_id(function.version_id());
  message.mutable_checkpoint_request()->set_instance_id("i1");
  ASSERT_TRUE(node->Send(message));
  const auto grant = node->ReadUntil([](const auto& sent) { return sent.has_checkpoint_grant(); });
  EXPECT_TRUE(grant.checkpoint_grant().granted());
  EXPECT_EQ(grant.checkpoint_grant().instance_id(), "i1");

  message.Clear();
  message.mutable_checkpoint_result()->set_version_id(function.version_id());
  message.mutable_checkpoint_result()->set_instance_id("i1");
  *message.mutable_checkpoint_result()->mutable_snapshot() = TestScheduler::Snapshot(10, function.version_id());
  ASSERT_TRUE(node->Send(message));
  const auto state = node->ReadUntil(
      [](const auto& sent) { return sent.has_version_state() && sent.version_state().has_snapshot(); });
  EXPECT_EQ(state.version_state().snapshot().id(), DigestId(10));

  common::v1::GetSnapshotRequest get;
  get.set_id(DigestId(10));
  const auto snapshot = client_->Call(&v1::Catalogue::Stub::GetSnapshot, get);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  EXPECT_THAT(snapshot->holders(), ElementsAre("a"));
  EXPECT_EQ(snapshot->function_name(), "fn");
  EXPECT_EQ(client_->Call(&v1::Catalogue::Stub::ListSnapshots, common::v1::ListSnapshotsRequest())->snapshots_size(), 1);
  v1::GetVersionRequest get_version;
  get_version.set_version_id(function.version_id());
  EXPECT_EQ(client_->Call(&v1::Catalogue::Stub::GetVersion, get_version)->image_holders_size(), 1);

  common::v1::DeleteSnapshotRequest remove;
  remove.set_id(DigestId(10));
  ASSERT_TRUE(client_->Call(&v1::Catalogue::Stub::DeleteSnapshot, remove).ok());
  const auto drop = node->ReadUntil([](const auto& sent) { return sent.has_remove_snapshot(); });
  EXPECT_EQ(drop.remove_snapshot().snapshot_id(), DigestId(10));

  const auto nodes = client_->Call(&v1::Catalogue::Stub::ListNodes, common::v1::ListNodesRequest());
  ASSERT_EQ(nodes->nodes_size(), 1);
  EXPECT_EQ(nodes->nodes(0).state(), common::v1::NODE_STATE_READY);
  // An agent that goes with a word is gone without an error.
  ASSERT_TRUE(node->HalfClose());
  EXPECT_TRUE(node->Finish().ok());
  EXPECT_EQ(client_->Call(&v1::Catalogue::Stub::ListNodes, common::v1::ListNodesRequest())->nodes(0).state(),
            common::v1::NODE_STATE_SUSPECT);
}

TEST_F(ServiceTest, TheLastCheckpointErrorIsShownWithTheFunction) {
  const auto function = MakeFunction();
  auto node = Join(TestScheduler::Registration("a"));
  v1::NodeMessage message;
  message.mutable_checkpoint_result()->set_version_id(function.version_id());
  message.mutable_checkpoint_result()->set_error("criu said \"no\"");
  ASSERT_TRUE(node->Send(message));
  // Its stream is handled in order: the answer to this comes after the error was taken in.
  message.Clear();
  message.mutable_checkpoint_request()->set_version_id(function.version_id());
  ASSERT_TRUE(node->Send(message));
  EXPECT_FALSE(node->ReadUntil([](const auto& sent) { return sent.has_checkpoint_grant(); })
                   .checkpoint_grant()
                   .granted());
  common::v1::GetFunctionRequest get;
  get.set_id(function.id());
  const auto shown = client_->Call(&v1::Catalogue::Stub::GetFunction, get);
  EXPECT_EQ(shown->annotations().at("thaw/checkpoint-error"), R"x("criu said \"no\" (1 of 5 tries)")x");
  EXPECT_EQ(client_->Call(&v1::Catalogue::Stub::ListFunctions, common::v1::ListFunctionsRequest())
                ->functions(0)
                .annotations_size(),
            1);
}

TEST_F(ServiceTest, AStreamThatDoesNotBeginWithARegistrationIsRefused) {
  NodeClient node(*client_);
  v1::NodeMessage message;
  message.mutable_heartbeat();
  ASSERT_TRUE(node.Send(message));
  EXPECT_EQ(node.Finish().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ServiceTest, ARegistrationThatIsWrongIsRefusedWithItsField) {
  NodeClient node(*client_);
  ASSERT_TRUE(node.Register(TestScheduler::Registration("no/name")));
  const absl::Status status = node.Finish();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonMetadata(status, "field"), "node.id");
}

TEST_F(ServiceTest, ASecondStreamEndsTheFirst) {
  auto first = Join(TestScheduler::Registration("a"));
  auto second = Join(TestScheduler::Registration("a"));
  EXPECT_EQ(first->Finish().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(client_->Call(&v1::Catalogue::Stub::ListNodes, common::v1::ListNodesRequest())->nodes(0).state(),
            common::v1::NODE_STATE_READY);
}

TEST_F(ServiceTest, AnAgentThatVanishesMakesItsNodeSuspect) {
  auto node = Join(TestScheduler::Registration("a"));
  node.reset();
  common::v1::NodeState state = common::v1::NODE_STATE_READY;
  for (const absl::Time end = absl::Now() + testing::kCallTime;
       state == common::v1::NODE_STATE_READY && absl::Now() < end;) {
    state = client_->Call(&v1::Catalogue::Stub::ListNodes, common::v1::ListNodesRequest())->nodes(0).state();
  }
  EXPECT_EQ(state, common::v1::NODE_STATE_SUSPECT);
}

TEST_F(ServiceTest, LeasesAreAcquiredRenewedReleasedAndWatched) {
  const auto function = MakeFunction();
  auto node = Join(TestScheduler::Registration("a"));
  grpc::ClientContext context;
  v1::LeaseEvents event;
  const auto events = Watch(context, event);
  ASSERT_NE(events, nullptr);
  EXPECT_EQ(event.ended_lease_ids_size() + event.changed_function_ids_size(), 0) << "the confirmation says nothing";

  const auto lease = client_->Acquire("app/fn");
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_EQ(lease->node_address(), "a.example:7300");
  EXPECT_EQ(FromProto(lease->time_to_live()), absl::Seconds(10));
  EXPECT_THAT(client_->Renew(lease->lease_id())->lease_ids(), ElementsAre(lease->lease_id()));
  v1::ReleaseLeasesRequest release;
  release.set_gateway_id("gw");
  release.add_lease_ids(lease->lease_id());
  ASSERT_TRUE(client_->Call(&v1::Leases::Stub::ReleaseLeases, release).ok());
  EXPECT_EQ(client_->Renew(lease->lease_id())->lease_ids_size(), 0);

  const auto again = client_->Acquire("app/fn");
  common::v1::UpdateFunctionRequest update;
  update.mutable_function()->set_id(function.id());
  update.mutable_function()->set_memory_mib(256);
  ASSERT_TRUE(client_->Call(&v1::Catalogue::Stub::UpdateFunction, update).ok());
  std::vector<std::string> ended, changed;
  while (ended.empty() || changed.empty()) {
    ASSERT_TRUE(events->Read(&event));
    ended.insert(ended.end(), event.ended_lease_ids().begin(), event.ended_lease_ids().end());
    changed.insert(changed.end(), event.changed_function_ids().begin(), event.changed_function_ids().end());
  }
  EXPECT_THAT(ended, ElementsAre(again->lease_id()));
  EXPECT_THAT(changed, ElementsAre(function.id()));
  // A gateway that stops watching does so without harm.
  context.TryCancel();
  EXPECT_EQ(events->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(ServiceTest, AWatchNeedsAGatewaysName) {
  grpc::ClientContext context;
  client_->Prepare(context);
  auto events = client_->leases().WatchLeases(&context, v1::WatchLeasesRequest());
  v1::LeaseEvents event;
  EXPECT_FALSE(events->Read(&event));
  EXPECT_EQ(events->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ServiceTest, AStoppingSchedulerSaysSoToNodesAndGateways) {
  auto node = Join(TestScheduler::Registration("a"));
  grpc::ClientContext context;
  v1::LeaseEvents event;
  const auto events = Watch(context, event);
  ASSERT_NE(events, nullptr);
  server_->Shutdown();
  // A stream whose other half is still open is also reset, and gRPC may see the reset before the status.
  EXPECT_THAT(node->Finish().code(), ::testing::AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kCancelled));
  EXPECT_FALSE(events->Read(&event));
  EXPECT_EQ(events->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  node.reset();
}

TEST_F(ServiceTest, ARestartedSchedulerHasItsCatalogueAndTakesTheLeasesOver) {
  const auto function = MakeFunction();
  auto node = Join(TestScheduler::Registration("a"));
  v1::NodeMessage message;
  *message.mutable_snapshot_held()->mutable_snapshot() = TestScheduler::Snapshot(10, function.version_id());
  ASSERT_TRUE(node->Send(message));
  node->ReadUntil([](const auto& sent) { return sent.has_version_state() && sent.version_state().has_snapshot(); });
  const auto lease = client_->Acquire("app/fn");
  ASSERT_TRUE(lease.ok()) << lease.status();
  node.reset();
  Stop();
  Start();

  // The node is not back yet; the gateway's renewal holds all the same.
  EXPECT_THAT(client_->Renew(lease->lease_id())->lease_ids(), ElementsAre(lease->lease_id()));
  common::v1::GetFunctionRequest get;
  get.set_id(function.id());
  EXPECT_EQ(client_->Call(&v1::Catalogue::Stub::GetFunction, get)->SerializeAsString(), function.SerializeAsString());
  auto registration = TestScheduler::Registration("a");
  *registration.add_snapshots() = TestScheduler::Snapshot(10, function.version_id());
  node = Join(registration);
  const auto snapshots = client_->Call(&v1::Catalogue::Stub::ListSnapshots, common::v1::ListSnapshotsRequest());
  ASSERT_EQ(snapshots->snapshots_size(), 1);
  EXPECT_THAT(snapshots->snapshots(0).holders(), ElementsAre("a"));
  EXPECT_EQ(client_->Acquire("app/fn")->lease_id(), lease->lease_id());
}

TEST_F(ServiceTest, ThePortFileAndTheOptionsAreChecked) {
  Stop();
  options_.port_file = directory_ + "/ports";
  options_.metrics_listen = "127.0.0.1:0";
  Start();
  std::ifstream file(options_.port_file);
  std::string grpc_line, metrics_line;
  std::getline(file, grpc_line);
  std::getline(file, metrics_line);
  EXPECT_EQ(grpc_line, absl::StrCat("grpc=", server_->port()));
  EXPECT_EQ(metrics_line, absl::StrCat("metrics=", server_->metrics_port()));
  EXPECT_GT(server_->metrics_port(), 0);
  Stop();
  Options bad = options_;
  bad.data_dir = "";
  EXPECT_THAT(std::string(bad.Validate().message()), HasSubstr("--data-dir"));
  bad = options_;
  bad.lost_after = absl::Seconds(2);
  EXPECT_THAT(std::string(bad.Validate().message()), HasSubstr("--lost-after"));
  bad = options_;
  bad.listen = "0.0.0.0:0";
  EXPECT_EQ(SchedulerServer::Start(bad, Security::ForTesting(testing::kTestToken), NullLogger()).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

// On simulated time: an agent that says nothing at all.
TEST(MembershipServiceTest, AStreamThatNeverRegistersIsClosedAfterTenSeconds) {
  TestScheduler scheduler;
  const auto security = Security::ForTesting(testing::kTestToken);
  auto services = NewServices(*scheduler, *security, scheduler.clock);
  std::vector<grpc::Service*> pointers;
  for (const auto& service : services) pointers.push_back(service.get());
  auto server = RpcServer::Start({.listen_address = "127.0.0.1:0"}, *security, pointers);
  ASSERT_TRUE(server.ok()) << server.status();
  SchedulerClient client((*server)->port());
  const std::size_t timers = scheduler.clock.pending_timers();
  NodeClient node(client);
  for (const absl::Time end = absl::Now() + testing::kCallTime;
       scheduler.clock.pending_timers() == timers && absl::Now() < end;) {
    absl::SleepFor(absl::Milliseconds(1));
  }
  ASSERT_GT(scheduler.clock.pending_timers(), timers) << "the stream never arrived";
  scheduler.clock.Advance(absl::Seconds(10));
  EXPECT_EQ(node.Finish().code(), absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace thaw::scheduler
