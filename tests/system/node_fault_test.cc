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

namespace thaw::testing {
namespace {

using absl::StatusCode;
namespace gw = thaw::gateway::v1;
using thaw::common::v1::NODE_STATE_LOST;
using thaw::common::v1::NODE_STATE_READY;

constexpr char kEngine[] = "/var/run/docker.sock";

class NodeFaultTest : public ClusterTest {
 protected:
  Cluster::Options ClusterOptions() override {
    proxy_ = std::make_unique<EngineProxy>(absl::StrCat("/tmp/thaw-engine-", getpid(), ".sock"), kEngine);
    Cluster::Options options;
    options.nodes = {"a", "b"};
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
  std::string failure;
  std::thread caller([&] {
    while (!stop) {
      const Answer answer = cluster().Invoke(id);
      if (!answer.ok()) {
        failure = answer.status.ToString();
        return;
      }
      ++answered;
    }
  });
  const int before = answered;
  cluster().KillScheduler();
  // The outage lasts until some hundred calls were answered in it.
  EXPECT_TRUE(Eventually([&] { return answered > before + 300 || !failure.empty(); }, absl::Seconds(60)));
  const int during = answered - before;
  EXPECT_TRUE(cluster().StartScheduler().ok());
  EXPECT_TRUE(cluster().AwaitNode("a", NODE_STATE_READY));
  EXPECT_TRUE(cluster().AwaitNode("b", NODE_STATE_READY));
  const int back = answered;
  EXPECT_TRUE(Eventually([&] { return answered > back + 100 || !failure.empty(); }, absl::Seconds(60)));
  stop = true;
  caller.join();
  EXPECT_EQ(failure, "");
  EXPECT_GT(during, 0) << "calls were made while the scheduler was dead";
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
  cluster().KillNode("b", /*with_containers=*/true);
  const absl::Time killed = absl::Now();
  const Answer answer = cluster().Invoke(id);
  EXPECT_TRUE(answer.ok()) << answer.status;
  EXPECT_EQ(answer.start.node_id(), cluster().NodeId("a"));
  EXPECT_LT(absl::Now() - killed, absl::Seconds(5));
  EXPECT_TRUE(cluster().AwaitNode("b", NODE_STATE_LOST));
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
