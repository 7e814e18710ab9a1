// Three agents on one engine share its images and could fake the rest. Here each node has an engine of its own: in its own
// network namespace, with its own data root, so that what the second node runs can only have come over the wire.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/ids/ids.h"
#include "tests/support/cluster.h"
#include "tests/support/process.h"

namespace thaw::testing {
namespace {

namespace fs = std::filesystem;
using thaw::gateway::v1::START_KIND_COLD;
using thaw::gateway::v1::START_KIND_RESTORED_REMOTE;

// A dockerd with nothing in common with the host's: no bridge (in the host's namespace a second one would remove docker0),
// its own data, containerd and sockets.
class Engine {
 public:
  explicit Engine(const std::string& name) : namespace_(absl::StrCat("thaw-", name, "-", NewHexId(3))) {
    char pattern[] = "/tmp/te-XXXXXX";
    dir_ = mkdtemp(pattern);
  }
  ~Engine() {
    if (process_ != nullptr) {
      process_->Signal(SIGTERM);
      if (!process_->Wait(absl::Seconds(20)).ok()) process_->Kill();
    }
    RunCommand({"ip", "netns", "del", namespace_});
    RunCommand({"sh", "-c", "for m in $(cut -d' ' -f2 /proc/mounts | grep \"^$0/\" | sort -r); do umount -l $m; done", dir_});
    std::error_code ignored;
    fs::remove_all(dir_, ignored);
  }

  std::string Start() {
    const CommandResult made = RunCommand({"ip", "netns", "add", namespace_});
    if (made.exit_code != 0) return "no network namespace: " + made.err;
    // Not `ip netns exec`, which mounts /sys anew and so hides the cgroups from the engine.
    auto process = Process::Start({"nsenter", "--net=/run/netns/" + namespace_, "dockerd", "--bridge=none", "--iptables=false",
                                   "--ip-forward=false", "--ip-masq=false", "--host=unix://" + socket(),
                                   "--data-root=" + dir_ + "/data", "--exec-root=" + dir_ + "/exec",
                                   "--pidfile=" + dir_ + "/pid"},
                                  dir_ + "/log");
    if (!process.ok()) return process.status().ToString();
    process_ = *std::move(process);
    const bool up = Eventually([&] { return Docker({"version"}).exit_code == 0; }, absl::Seconds(60));
    return up ? "" : "it does not answer: " + ReadFileOrEmpty(dir_ + "/log");
  }

  CommandResult Docker(std::vector<std::string> words) {
    words.insert(words.begin(), {"docker", "-H", "unix://" + socket()});
    return RunCommand(words, absl::Minutes(5));
  }
  // From the host's engine.
  CommandResult Load(const std::string& image) {
    return RunCommand({"sh", "-c", "docker save \"$0\" | docker -H \"unix://$1\" load", image, socket()}, absl::Minutes(5));
  }
  bool Has(const std::string& image_id) { return Docker({"image", "inspect", image_id}).exit_code == 0; }
  std::string socket() const { return dir_ + "/docker.sock"; }

 private:
  const std::string namespace_;
  std::string dir_;
  std::unique_ptr<Process> process_;
};

std::string Token(const std::string& body) {
  const auto at = body.find("\"token\":\"");
  return at == std::string::npos ? "" : body.substr(at + 9, body.find('"', at + 9) - at - 9);
}

std::size_t Chunks(const std::string& data_dir) {
  std::error_code error;
  std::size_t count = 0;
  for (const auto& chunk : fs::directory_iterator(data_dir + "/snapshots/chunks", error)) count += chunk.is_regular_file();
  return count;
}

TEST(TwoEngines, ImageAndSnapshotReachANodeThatSharesNothing) {
  THAW_NEED_HOST();
  const auto tag = JavaTestImage("two-engines", "io.thaw.testfn.Stats::show");
  ASSERT_TRUE(tag.ok()) << tag.status();
  const std::string image_id(
      absl::StripAsciiWhitespace(RunCommand({"docker", "image", "inspect", "-f", "{{.Id}}", *tag}).out));

  Engine first("a"), second("b");
  ASSERT_EQ(first.Start(), "");
  ASSERT_EQ(second.Start(), "");
  const CommandResult loaded = first.Load(*tag);
  ASSERT_EQ(loaded.exit_code, 0) << loaded.err;
  ASSERT_TRUE(first.Has(image_id));
  ASSERT_FALSE(second.Has(image_id));

  Cluster::Options options;
  options.nodes = {"a", "b"};
  options.agent_flags = {"--network=none"};
  options.node_flags = {{"a", {"--docker-socket=" + first.socket()}}, {"b", {"--docker-socket=" + second.socket()}}};
  auto started = Cluster::Start(options);
  ASSERT_TRUE(started.ok()) << started.status();
  Cluster& cluster = **started;

  TestFunction function;
  function.image = *tag;
  const auto id = cluster.CreateFunction("stats", function);
  ASSERT_TRUE(id.ok()) << id.status();
  const Answer cold = cluster.Invoke(*id, "", "a", absl::Seconds(60));
  ASSERT_TRUE(cold.ok()) << cold.status;
  EXPECT_EQ(cold.start.kind(), START_KIND_COLD);
  const auto snapshot = cluster.MakeSnapshot(*id, "a");
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();

  // The image came from a, by the agents' own stream: there is no registry here.
  ASSERT_TRUE(Eventually([&] { return second.Has(image_id); }, absl::Minutes(3))) << cluster.Log("b");
  EXPECT_GT(cluster.AgentMetric("b", "thaw_agent_transfer_received_bytes_total", {"kind=\"image\""}), 1e6);
  EXPECT_EQ(Chunks(cluster.data_dir("b")), 0u) << "nothing is fetched before it is needed";
  EXPECT_EQ(cluster.AgentMetric("b", "thaw_agent_transfer_received_bytes_total", {"kind=\"snapshot\""}), 0);
  ASSERT_TRUE(cluster.AwaitSlots("b", 1, absl::Seconds(60))) << cluster.Log("b");

  const Answer thawed = cluster.Invoke(*id, "", "b", absl::Seconds(60));
  ASSERT_TRUE(thawed.ok()) << thawed.status << cluster.Log("b");
  EXPECT_EQ(thawed.start.kind(), START_KIND_RESTORED_REMOTE) << thawed.start.fallback_reason();
  EXPECT_NE(Token(cold.body), "");
  EXPECT_EQ(Token(thawed.body), Token(cold.body)) << thawed.body;
  EXPECT_GT(Chunks(cluster.data_dir("b")), 0u);
  EXPECT_EQ(cluster.AgentMetric("b", "thaw_agent_transfer_received_bytes_total", {"kind=\"snapshot\""}),
            static_cast<double>(snapshot->stored_bytes()));

  // And back again without a: what b has is whole.
  cluster.KillNode("a", false);
  const Answer after = cluster.Invoke(*id, "", "b", absl::Seconds(60));
  EXPECT_TRUE(after.ok()) << after.status;
  // Their containers are on engines that the cluster's own clean-up does not ask.
  cluster.KillNode("b", false);
  for (Engine* engine : {&first, &second}) {
    engine->Docker({"ps", "-aq"});
    RunCommand({"sh", "-c", "docker -H \"unix://$0\" ps -aq | xargs -r docker -H \"unix://$0\" rm -f", engine->socket()});
  }
}

}  // namespace
}  // namespace thaw::testing
