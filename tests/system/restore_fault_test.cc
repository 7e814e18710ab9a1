// What goes wrong with a snapshot, or while one is fetched or restored: it is found before the restore, the call gets a
// sound copy or a cold start inside its deadline, with the reason, and nothing half is left.
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/rpc/status.h"
#include "tests/support/holding_proxy.h"
#include "tests/support/standard_services.h"
#include "tests/system/suite.h"
#include "thaw/agent/v1/agent.grpc.pb.h"

namespace thaw::testing {
namespace {

namespace fs = std::filesystem;
namespace gw = thaw::gateway::v1;
using thaw::common::v1::NODE_STATE_READY;

class RestoreFaultTest : public ClusterTest {
 protected:
  Cluster::Options ClusterOptions() override {
    Cluster::Options options;
    options.agent_flags = {"--restore-limit=3s"};
    options.criu_wrapper = THAW_CRIU_WRAPPER;
    // The others reach `a` through it.
    proxy_ = std::make_unique<HoldingProxy>();
    options.node_flags["a"] = {absl::StrCat("--advertise=127.0.0.1:", proxy_->port())};
    return options;
  }
  void SetUp() override {
    ClusterTest::SetUp();
    if (proxy_ != nullptr && !HasFatalFailure()) proxy_->SetTarget(cluster().agent_port("a"));
  }
  static void TearDownTestSuite() {
    ClusterTest::TearDownTestSuite();
    proxy_.reset();
  }
  // A function with its snapshot on `a`; its id. `first` is the body of the first call.
  std::string FrozenOnA(const std::string& first = "") {
    TestFunction function;
    function.image = NativeImage("serve");
    function.memory_mib = 64;
    const std::string id = Create(function);
    if (!first.empty()) {
      EXPECT_TRUE(cluster().Invoke(id, first, "a").ok());
    }
    snapshot_ = Freeze(id, "a");
    token_ = TokenOf(cluster().Invoke(id, "", "a"));
    return id;
  }
  static std::string TokenOf(const Answer& answer) { return answer.body.substr(0, answer.body.find(' ')); }
  double Starts(const std::string& node, const std::string& result) {
    return cluster().AgentMetric(node, "thaw_agent_starts_total", {"result=\"" + result + "\""});
  }
  double Quarantined(const std::string& node) {
    return cluster().AgentMetric(node, "thaw_agent_snapshots_quarantined_total");
  }
  std::vector<std::string> Holders(const std::string& id) {
    const auto snapshots = cluster().Snapshots(id);
    if (snapshots.empty()) return {};
    return {snapshots[0].holders().begin(), snapshots[0].holders().end()};
  }
  bool Holds(const std::string& id, const std::string& node) {
    const auto holders = Holders(id);
    return std::find(holders.begin(), holders.end(), cluster().NodeId(node)) != holders.end();
  }
  // The largest file of the laid-out copy.
  std::string LaidOutFile(const std::string& node, const std::string& id) {
    return Largest(Cracdata(node, id) + "/" + snapshot_);
  }
  // Other tests' snapshots too; each test makes its own.
  void FlipAllChunks(const std::string& node) {
    for (const auto& entry : fs::recursive_directory_iterator(Store(node) + "/chunks")) {
      if (entry.is_regular_file() && entry.file_size() > 0) FlipByte(entry.path().string());
    }
  }
  static std::string Largest(const std::string& dir) {
    std::string largest;
    std::uintmax_t size = 0;
    std::error_code error;
    for (const auto& entry : fs::recursive_directory_iterator(dir, error)) {
      if (!entry.is_regular_file() || entry.file_size() <= size) continue;
      size = entry.file_size();
      largest = entry.path().string();
    }
    return largest;
  }
  void RestartNode(const std::string& node) {
    ASSERT_TRUE(cluster().StartNode(node).ok());
    ASSERT_TRUE(cluster().AwaitNode(node, NODE_STATE_READY));
  }

  double Received(const std::string& node) {
    return cluster().AgentMetric(node, "thaw_agent_transfer_received_bytes_total", {"kind=\"snapshot\""});
  }
  // What the node answers another that asks it for the snapshot's manifest.
  absl::Status AskForManifest(const std::string& node) {
    const auto channel = PlainChannel(cluster().agent_port(node));
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
    context.AddMetadata("thaw-cluster-token",
                        std::string(absl::StripAsciiWhitespace(ReadFileOrEmpty(cluster().token_file()))));
    thaw::agent::v1::GetManifestRequest request;
    request.set_snapshot_id(snapshot_);
    thaw::agent::v1::Manifest manifest;
    return FromGrpcStatus(thaw::agent::v1::Snapshots::NewStub(channel)->GetManifest(&context, request, &manifest));
  }

  static std::unique_ptr<HoldingProxy> proxy_;
  std::string snapshot_, token_;
};

std::unique_ptr<HoldingProxy> RestoreFaultTest::proxy_;

TEST_F(RestoreFaultTest, CriuThatFailsToRestore_FallsBackToColdWithTheReason) {
  const std::string id = FrozenOnA();
  EndInstance(id, "a");
  SetCriuFault("a", id, "restore fail");
  const double fell_back = Starts("a", "fell_back");
  const Answer answer = cluster().Invoke(id, "", "a");
  EXPECT_TRUE(StartedAs(answer, gw::START_KIND_COLD));
  EXPECT_TRUE(absl::StrContains(answer.start.fallback_reason(), "restore fails on demand")) << answer.start.fallback_reason();
  EXPECT_NE(TokenOf(answer), token_);
  EXPECT_GE(CriuFaultsFired("a", id), 1);
  EXPECT_EQ(Starts("a", "fell_back"), fell_back + 1);
  SetCriuFault("a", id, "");
  EndInstance(id, "a");
  const Answer mended = cluster().Invoke(id, "", "a");
  EXPECT_TRUE(StartedAs(mended, gw::START_KIND_RESTORED));
  EXPECT_EQ(TokenOf(mended), token_);
}

TEST_F(RestoreFaultTest, CriuThatHangsInARestore_IsKilledAtItsLimit_AndTheCallIsColdInsideItsDeadline) {
  const std::string id = FrozenOnA();
  EndInstance(id, "a");
  SetCriuFault("a", id, "restore hang");
  const Answer answer = cluster().Invoke(id, "", "a", absl::Seconds(20));
  EXPECT_TRUE(StartedAs(answer, gw::START_KIND_COLD));
  EXPECT_FALSE(answer.start.fallback_reason().empty());
  EXPECT_GE(CriuFaultsFired("a", id), 1);
  SetCriuFault("a", id, "");
  ExpectNoOrphans("a");
}

TEST_F(RestoreFaultTest, FlippedByteInTheLaidOutCopy_IsFoundBeforeTheRestore_AndLaidOutAgain) {
  const std::string id = FrozenOnA();
  EndInstance(id, "a");
  const std::string file = LaidOutFile("a", id);
  ASSERT_FALSE(file.empty());
  FlipByte(file);
  const Answer answer = cluster().Invoke(id, "", "a");
  EXPECT_TRUE(absl::StrContains(cluster().Log("a"), "event=laid_out_snapshot_damaged snapshot=" + snapshot_));
  EXPECT_TRUE(StartedAs(answer, gw::START_KIND_RESTORED)) << "the chunks are sound";
  EXPECT_EQ(TokenOf(answer), token_);
}

TEST_F(RestoreFaultTest, FlippedByteInTheOnlyCopy_IsQuarantined_NeverServed_AndTheCallIsCold) {
  const std::string id = FrozenOnA();
  EndInstance(id, "a");
  const double quarantined = Quarantined("a");
  FlipAllChunks("a");
  FlipByte(LaidOutFile("a", id));
  const Answer answer = cluster().Invoke(id, "", "a");
  EXPECT_TRUE(StartedAs(answer, gw::START_KIND_COLD));
  EXPECT_FALSE(answer.start.fallback_reason().empty());
  EXPECT_NE(TokenOf(answer), token_);
  EXPECT_GE(Quarantined("a"), quarantined + 1);
  EXPECT_FALSE(Names(Store("a") + "/quarantine").empty());
  EXPECT_FALSE(fs::exists(Store("a") + "/manifests/" + snapshot_));
  EXPECT_TRUE(Eventually([&] { return !Holds(id, "a"); })) << "the catalogue knows";
}

TEST_F(RestoreFaultTest, FlippedByteHereAndASoundCopyElsewhere_IsFetchedAgain) {
  const std::string id = FrozenOnA();
  ASSERT_TRUE(StartedAs(cluster().Invoke(id, "", "b"), gw::START_KIND_RESTORED_REMOTE));
  ASSERT_TRUE(Eventually([&] { return Holds(id, "b"); }));
  EndInstance(id, "b");
  const double quarantined = Quarantined("b");
  const double received = cluster().AgentMetric("b", "thaw_agent_transfer_received_bytes_total", {"kind=\"snapshot\""});
  FlipAllChunks("b");
  FlipByte(LaidOutFile("b", id));
  const Answer answer = cluster().Invoke(id, "", "b");
  EXPECT_TRUE(StartedAs(answer, gw::START_KIND_RESTORED_REMOTE));
  EXPECT_EQ(TokenOf(answer), token_);
  EXPECT_GE(Quarantined("b"), quarantined + 1);
  EXPECT_GT(cluster().AgentMetric("b", "thaw_agent_transfer_received_bytes_total", {"kind=\"snapshot\""}), received);
}

TEST_F(RestoreFaultTest, FlippedByteOnTheHolder_IsNeverServedToAnotherNode) {
  const std::string id = FrozenOnA();
  const double quarantined = Quarantined("a");
  FlipAllChunks("a");
  const Answer answer = cluster().Invoke(id, "", "b");
  EXPECT_TRUE(StartedAs(answer, gw::START_KIND_COLD));
  EXPECT_FALSE(answer.start.fallback_reason().empty());
  EXPECT_NE(TokenOf(answer), token_);
  EXPECT_FALSE(fs::exists(Store("b") + "/manifests/" + snapshot_));
  EXPECT_TRUE(Eventually([&] { return Quarantined("a") >= quarantined + 1; })) << "the holder has found out";
}

TEST_F(RestoreFaultTest, FlippedByteOnOneHolder_IsFetchedFromTheOther) {
  const std::string id = FrozenOnA();
  ASSERT_TRUE(StartedAs(cluster().Invoke(id, "", "b"), gw::START_KIND_RESTORED_REMOTE));
  ASSERT_TRUE(Eventually([&] { return Holds(id, "b"); }));
  const double quarantined = Quarantined("a");
  const double sent = cluster().AgentMetric("b", "thaw_agent_transfer_sent_bytes_total", {"kind=\"snapshot\""});
  FlipAllChunks("a");
  const Answer answer = cluster().Invoke(id, "", "c");
  EXPECT_TRUE(StartedAs(answer, gw::START_KIND_RESTORED_REMOTE));
  EXPECT_EQ(TokenOf(answer), token_);
  // Holders are asked in the order of their names, so a was asked first and found out.
  EXPECT_TRUE(Eventually([&] { return Quarantined("a") >= quarantined + 1; }));
  EXPECT_GT(cluster().AgentMetric("b", "thaw_agent_transfer_sent_bytes_total", {"kind=\"snapshot\""}), sent);
}

TEST_F(RestoreFaultTest, AgentKilledDuringAFetch_NoHalfSnapshotNoOrphan_NodeWorksAgain) {
  const std::string id = FrozenOnA("noise 16");
  ASSERT_TRUE(cluster().AwaitSlots("b", 1));
  const double received = Received("b");
  const std::size_t chunks = Names(Store("b") + "/chunks").size();
  // Of sixteen megabytes that do not compress, two come; then the fetch stands still.
  proxy_->HoldAfter(2 << 20);
  std::thread caller([&] { (void)cluster().Invoke(id, "", "b", absl::Seconds(60)); });
  const bool midway = Eventually([&] { return proxy_->holding() && Received("b") > received; });
  const double came = Received("b") - received;
  cluster().KillNode("b", /*with_containers=*/false);
  const std::size_t chunks_left = Names(Store("b") + "/chunks").size();
  const bool manifest_left = fs::exists(Store("b") + "/manifests/" + snapshot_);
  proxy_->Release();
  caller.join();
  ASSERT_TRUE(midway) << "b was killed while chunks came";
  EXPECT_GT(came, 0);
  EXPECT_LT(came, 16 << 20);
  EXPECT_GT(chunks_left, chunks) << "a part of the snapshot was on b's disk";
  EXPECT_FALSE(manifest_left);

  RestartNode("b");
  ExpectNothingHalf("b", id);
  ExpectNoOrphans("b");
  EXPECT_FALSE(fs::exists(Store("b") + "/manifests/" + snapshot_));
  EXPECT_FALSE(Holds(id, "b")) << "the catalogue counts it as no holder";
  EXPECT_TRUE(absl::IsNotFound(AskForManifest("b"))) << AskForManifest("b") << ": b has nothing to serve";
  EXPECT_TRUE(AskForManifest("a").ok()) << AskForManifest("a");
  const Answer after = cluster().Invoke(id, "", "b");
  EXPECT_TRUE(StartedAs(after, gw::START_KIND_RESTORED_REMOTE));
  EXPECT_EQ(TokenOf(after), token_);
  EXPECT_TRUE(Eventually([&] { return Holds(id, "b"); }));
  EXPECT_TRUE(AskForManifest("b").ok()) << AskForManifest("b");
}

TEST_F(RestoreFaultTest, AgentKilledDuringARestore_NoOrphan_NodeWorksAgain) {
  const std::string id = FrozenOnA();
  ASSERT_TRUE(cluster().AwaitSlots("b", 1));
  SetCriuFault("b", id, "restore hang");
  std::thread caller([&] { (void)cluster().Invoke(id, "", "b", absl::Seconds(20)); });
  const bool fired = AwaitCriuFault("b", id);
  cluster().KillNode("b", /*with_containers=*/false);
  caller.join();
  ASSERT_TRUE(fired);
  SetCriuFault("b", id, "");
  RestartNode("b");
  ExpectNothingHalf("b", id);
  EXPECT_FALSE(absl::StrContains(cluster().Log("b"), "event=slot_not_made")) << "recovery took a new slot for an old one";
  ExpectNoOrphans("b");
  const Answer after = cluster().Invoke(id, "", "b");
  EXPECT_TRUE(StartedAs(after, gw::START_KIND_RESTORED)) << "what was fetched is still whole";
  EXPECT_EQ(TokenOf(after), token_);
}

}  // namespace
}  // namespace thaw::testing
