// What happens when a part of the cluster goes: the engine, an agent, a node, the scheduler. Calls go elsewhere, warm ones
// do not notice, and what may have reached a function is not sent again.
#include <signal.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "tests/support/standard_services.h"
#include "tests/system/engine_proxy.h"
#include "tests/system/suite.h"
#include "thaw/scheduler/v1/scheduler.grpc.pb.h"

namespace thaw::testing {
namespace {

using absl::StatusCode;
namespace gw = thaw::gateway::v1;
namespace sched = thaw::scheduler::v1;
using thaw::common::v1::NODE_STATE_LOST;
using thaw::common::v1::NODE_STATE_READY;

// Longer than agents take to find a restarted scheduler, so that none is lost then.
constexpr absl::Duration kLostAfter = absl::Seconds(3);
// Short, so that a test can outlast it; yet a lost node is found before a lease on it runs out that nobody renews.
constexpr absl::Duration kLeaseTtl = absl::Seconds(8);
constexpr char kEngine[] = "/var/run/docker.sock";

class NodeFaultTest : public ClusterTest {
 protected:
  Cluster::Options ClusterOptions() override {
    proxy_ = std::make_unique<EngineProxy>(absl::StrCat("/tmp/thaw-engine-", getpid(), ".sock"), kEngine);
    Cluster::Options options;
    options.nodes = {"a", "b"};
    options.lost_after = kLostAfter;
    options.scheduler_flags = {absl::StrCat("--lease-ttl=", absl::FormatDuration(kLeaseTtl))};
    options.node_flags["b"] = {"--docker-socket=" + proxy_->path()};
    return options;
  }
  static void TearDownTestSuite() {
    ClusterTest::TearDownTestSuite();
    proxy_.reset();
  }
  thaw::common::v1::Node Node(const std::string& name) {
    for (const auto& node : cluster().Nodes()) {
      if (node.id() == cluster().NodeId(name)) return node;
    }
    return {};
  }
  void Revive(const std::string& node) {
    ASSERT_TRUE(cluster().StartNode(node).ok());
    ASSERT_TRUE(cluster().AwaitNode(node, NODE_STATE_READY));
  }
  template <typename Request, typename Response>
  absl::Status CallScheduler(grpc::Status (sched::Leases::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                             const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
    context.AddMetadata("thaw-cluster-token",
                        std::string(absl::StripAsciiWhitespace(ReadFileOrEmpty(cluster().token_file()))));
    const auto stub = sched::Leases::NewStub(PlainChannel(cluster().scheduler_port()));
    return FromGrpcStatus((stub.get()->*method)(&context, request, &response));
  }
  // The lease's id, if it still holds.
  std::vector<std::string> Renewed(const sched::Lease& lease) {
    sched::RenewLeasesRequest request;
    request.set_gateway_id("quiet");
    request.add_lease_ids(lease.lease_id());
    sched::RenewLeasesResponse response;
    const absl::Status status = CallScheduler(&sched::Leases::Stub::RenewLeases, request, response);
    EXPECT_TRUE(status.ok()) << status;
    return {response.lease_ids().begin(), response.lease_ids().end()};
  }
  std::string Logs(const std::string& word) {
    return absl::StrCat(Count(FunctionLogs("a") + FunctionLogs("b"), word));
  }

  static std::unique_ptr<EngineProxy> proxy_;
};

std::unique_ptr<EngineProxy> NodeFaultTest::proxy_;

TEST_F(NodeFaultTest, NoDockerEngine_AgentEndsAndSaysWhatIsMissing) {
  char pattern[] = "/tmp/tn-XXXXXX";
  const std::string dir = mkdtemp(pattern);
  const CommandResult result =
      RunCommand({THAW_AGENT_BINARY, "--node-id=none", "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0",
                  "--scheduler=127.0.0.1:1", "--data-dir=" + dir + "/data", std::string("--init-binary=") + THAW_INIT_BINARY,
                  "--docker-socket=" + dir + "/no.sock", "--cluster-token-file=" + cluster().token_file()},
                 absl::Seconds(30));
  EXPECT_EQ(result.exit_code, 1);
  const std::string words = result.out + result.err;
  EXPECT_TRUE(absl::StrContains(words, "event=start_failed")) << words;
  EXPECT_TRUE(absl::StrContains(words, dir + "/no.sock")) << words;
  EXPECT_TRUE(absl::StrContains(words, "systemctl start docker")) << words;
  RunCommand({"rm", "-rf", dir});
}

// What an operator asks first when something is wrong.
TEST_F(NodeFaultTest, EveryPartTellsItsHealthAndItsServices) {
  const struct {
    const char* part;
    std::shared_ptr<grpc::Channel> channel;
    std::vector<std::string> services;
  } parts[] = {
      {"gateway", grpc::CreateChannel(cluster().gateway_address(), grpc::InsecureChannelCredentials()),
       {"thaw.gateway.v1.Admin", "thaw.gateway.v1.Invoker"}},
      {"scheduler", PlainChannel(cluster().scheduler_port()),
       {"thaw.scheduler.v1.Catalogue", "thaw.scheduler.v1.Leases", "thaw.scheduler.v1.Membership"}},
      {"agent", PlainChannel(cluster().agent_port("a")),
       {"thaw.agent.v1.Functions", "thaw.agent.v1.Images", "thaw.agent.v1.Snapshots"}},
  };
  for (const auto& [part, channel, services] : parts) {
    SCOPED_TRACE(part);
    EXPECT_THAT(AskHealth(channel), Answers("SERVING"));
    EXPECT_THAT(ListServices(channel), Answers(::testing::IsSupersetOf(services)));
    for (const std::string& service : services) {
      EXPECT_THAT(DescribeService(channel, service), Answers(::testing::Not(::testing::IsEmpty()))) << service;
    }
  }
}

TEST_F(NodeFaultTest, EngineThatVanishes_NodeSaysSo_AndCallsGoElsewhere_UntilItIsBack) {
  const std::string id = CreateNative();
  ASSERT_TRUE(cluster().Invoke(id, "", "a").ok());
  proxy_->SetOpen(false);
  EXPECT_TRUE(Eventually([&] { return Node("b").state() != NODE_STATE_READY; }, absl::Seconds(30)));
  EXPECT_FALSE(Node("b").reason().empty());
  EXPECT_TRUE(absl::StrContains(Node("b").reason(), proxy_->path())) << Node("b").reason();
  // What it saw first may have been a broken connection; the next question finds no engine at all.
  EXPECT_TRUE(Eventually([&] { return proxy_->refused() >= 1; }, absl::Seconds(30)));
  // A function that needs a new container gets it on the other node.
  TestFunction fresh;
  fresh.image = NativeImage();
  fresh.memory_mib = 64;
  const std::string other = Create(fresh, "_fresh");
  for (int i = 0; i < 3; ++i) {
    const Answer answer = cluster().Invoke(other);
    ASSERT_TRUE(answer.ok()) << answer.status;
    EXPECT_EQ(answer.start.node_id(), cluster().NodeId("a"));
  }
  proxy_->SetOpen(true);
  EXPECT_TRUE(cluster().AwaitNode("b", NODE_STATE_READY, absl::Seconds(30)));
  const Answer back = cluster().Invoke(other, "", "b");
  EXPECT_TRUE(back.ok()) << back.status;
}

TEST_F(NodeFaultTest, SchedulerKilledAndRestarted_WarmCallsNeverNotice_AndTheCatalogueIsAsItWas) {
  const std::string id = CreateNative();
  const std::string snapshot = Freeze(id, "a");
  ASSERT_TRUE(cluster().Invoke(id).ok());
  std::atomic<bool> stop{false};
  std::atomic<int> answered{0};
  std::atomic<bool> failed{false};
  // The caller's until it has been joined.
  std::string failure;
  std::thread caller([&] {
    while (!stop) {
      const Answer answer = cluster().Invoke(id);
      if (!answer.ok()) {
        failure = answer.status.ToString();
        failed = true;
        return;
      }
      ++answered;
    }
  });
  const auto not_renewed = [&] { return Count(cluster().Log("gateway"), "event=leases_not_renewed"); };
  const int renewals_failed = not_renewed();
  cluster().KillScheduler();
  const absl::Time killed = absl::Now();
  // One call may have been under way at the kill.
  const int before = answered + 1;
  // The outage outlasts every lease of before, and some hundred calls.
  EXPECT_TRUE(Eventually(
      [&] { return failed || (answered > before + 300 && absl::Now() > killed + kLeaseTtl + absl::Seconds(1)); },
      absl::Seconds(60)));
  EXPECT_GT(not_renewed(), renewals_failed) << "the leases were due in the outage";
  const int in_outage = answered;
  EXPECT_TRUE(Eventually([&] { return failed || answered > in_outage + 10; })) << "calls go on beyond the leases' time";
  EXPECT_TRUE(cluster().StartScheduler().ok());
  EXPECT_TRUE(cluster().AwaitNode("a", NODE_STATE_READY));
  EXPECT_TRUE(cluster().AwaitNode("b", NODE_STATE_READY));
  const int back = answered;
  EXPECT_TRUE(Eventually([&] { return failed || answered > back + 100; }, absl::Seconds(60)));
  EXPECT_TRUE(Eventually([&] {
    return cluster().SchedulerMetric("thaw_scheduler_leases_granted_total", {"kind=\"adopted\""}) >= 1;
  })) << "the restarted scheduler takes the lease over";
  stop = true;
  caller.join();
  EXPECT_EQ(failure, "");
  const auto snapshots = cluster().Snapshots(id);
  ASSERT_EQ(snapshots.size(), 1u);
  EXPECT_EQ(snapshots[0].id(), snapshot);
  EXPECT_TRUE(cluster().GetFunction(id).ok());
  EXPECT_FALSE(absl::StrContains(cluster().Log("a"), "event=versions_not_saved"));
}

TEST_F(NodeFaultTest, NodeLost_ItsLeasesEnd_AndTheNextCallIsAnsweredElsewhereWithinFiveSeconds) {
  const std::string id = CreateNative();
  Freeze(id, "b");
  ASSERT_TRUE(cluster().Invoke(id, "", "b").ok());
  const std::string a_cracdata = Cracdata("a", id);
  ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(a_cracdata); })) << "publishing prepares a slot on each node";
  ASSERT_TRUE(cluster().AwaitSlots("a", 1));
  // A second gateway has a lease on it too, and makes no call that could tell it of the loss.
  sched::AcquireLeaseRequest acquire;
  acquire.set_gateway_id("quiet");
  acquire.set_function_id(id);
  acquire.set_pinned_node(cluster().NodeId("b"));
  sched::Lease lease;
  ASSERT_TRUE(CallScheduler(&sched::Leases::Stub::AcquireLease, acquire, lease).ok());
  EXPECT_THAT(Renewed(lease), ::testing::ElementsAre(lease.lease_id()));
  const auto ended = [&] {
    return cluster().SchedulerMetric("thaw_scheduler_leases_ended_total", {"cause=\"node_lost\""});
  };
  const double ended_before = ended();
  cluster().KillNode("b", /*with_containers=*/true);
  const absl::Time killed = absl::Now();
  const Answer answer = cluster().Invoke(id);
  EXPECT_TRUE(answer.ok()) << answer.status;
  EXPECT_EQ(answer.start.node_id(), cluster().NodeId("a"));
  EXPECT_LT(absl::Now() - killed, absl::Seconds(5));
  EXPECT_TRUE(cluster().AwaitNode("b", NODE_STATE_LOST));
  EXPECT_TRUE(Eventually([&] { return ended() > ended_before; }));
  EXPECT_THAT(Renewed(lease), ::testing::IsEmpty()) << "and is told so when it asks";
  EXPECT_TRUE(cluster().Containers("b").empty());
  Revive("b");
}

TEST_F(NodeFaultTest, AgentKilledAfterTheSend_CallIsAbortedAndNotSentAgain) {
  const std::string id = CreateNative();
  ASSERT_TRUE(cluster().Invoke(id, "", "b").ok());
  Answer answer;
  // Not pinned to it: that it could go elsewhere is the point.
  std::thread caller([&] { answer = cluster().Invoke(id, "slow 3001"); });
  const bool sent = Eventually([&] { return Logs("executed slow 3001") == "1"; });
  cluster().KillNode("b", /*with_containers=*/false);
  caller.join();
  ASSERT_TRUE(sent) << "the call reached the function before the kill";
  EXPECT_TRUE(Is(answer.status, StatusCode::kAborted, reason::kAnswerLost));
  EXPECT_TRUE(WasSent(answer.status));
  // What was executed on b is still in its log; nothing was executed anywhere else.
  EXPECT_EQ(Logs("executed slow 3001"), "1");
  Revive("b");
  EXPECT_TRUE(cluster().Invoke(id, "", "b").ok());
}

TEST_F(NodeFaultTest, FunctionKilledAfterTheSend_CallFailsAndIsNotSentAgain) {
  const std::string id = CreateNative();
  ASSERT_TRUE(cluster().Invoke(id, "", "a").ok());
  Answer answer;
  std::thread caller([&] { answer = cluster().Invoke(id, "slow 20001"); });
  const bool sent = Eventually([&] { return Logs("executed slow 20001") == "1"; });
  // Only the function: its slot, and with it the log, stays.
  for (const std::string& container : cluster().Containers("a", "label=thaw.function=" + id)) {
    for (absl::string_view line : absl::StrSplit(RunCommand({"docker", "top", container, "-eo", "pid,args"}).out, '\n')) {
      int pid = 0;
      const std::pair<absl::string_view, absl::string_view> words =
          absl::StrSplit(absl::StripAsciiWhitespace(line), absl::MaxSplits(' ', 1));
      if (!absl::SimpleAtoi(words.first, &pid)) continue;
      if (absl::StartsWith(absl::StripLeadingAsciiWhitespace(words.second), "/function/native")) kill(pid, SIGKILL);
    }
  }
  caller.join();
  ASSERT_TRUE(sent);
  EXPECT_TRUE(Is(answer.status, StatusCode::kInternal, reason::kFunctionExited));
  EXPECT_TRUE(WasSent(answer.status));
  EXPECT_EQ(Logs("executed slow 20001"), "1");
  EXPECT_TRUE(cluster().Invoke(id).ok());
}

}  // namespace
}  // namespace thaw::testing
