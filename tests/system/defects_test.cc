// One test for each of the twelve defects of the proof of concept that Thaw replaces (facts, section 1.4): what was wrong
// there is shown not to be so here, on the real thing.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/system/suite.h"

namespace thaw::testing {
namespace {

namespace fs = std::filesystem;
namespace gw = thaw::gateway::v1;
using Json = nlohmann::json;

class DefectsTest : public ClusterTest {
 protected:
  Cluster::Options ClusterOptions() override {
    Cluster::Options options;
    options.nodes = {"a", "b", "c", "d"};
    options.node_flags["a"] = {"--listen-limit=20s"};
    options.node_flags["b"] = {"--listen-limit=2s", "--restore-limit=2s"};
    // Room for no snapshot at all.
    options.node_flags["d"] = {"--snapshot-store-bytes=1000"};
    options.agent_flags = {"--unused-image-time=2s"};
    return options;
  }
  std::string CreateJava(const std::string& image, const std::string& handler) {
    const absl::StatusOr<std::string> tag = JavaTestImage(image, handler);
    if (!tag.ok()) ADD_FAILURE() << tag.status();
    TestFunction function;
    function.image = tag.value_or("");
    return Create(function);
  }
  static std::string TokenOf(const Answer& answer) { return answer.body.substr(0, answer.body.find(' ')); }
  double Starts(const std::string& node, const std::string& kind) {
    return cluster().AgentMetric(node, "thaw_agent_starts_total", {"kind=\"" + kind + "\"", "result=\"ok\""});
  }
  // Connects to the sockets of all instances of a node, as an idle poll does, and sends nothing.
  int Poll(const std::string& node) {
    int connected = 0;
    const std::string slots = cluster().data_dir(node) + "/slots";
    for (const std::string& slot : Names(slots)) {
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      strncpy(address.sun_path, absl::StrCat(slots, "/", slot, "/iofs/lsnr.sock").c_str(), sizeof address.sun_path - 1);
      const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      connected += connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
      close(fd);
    }
    return connected;
  }
};

TEST_F(DefectsTest, Defect01_OneDirectoryForAllFunctions) {
  TestFunction function;
  function.image = NativeImage();
  function.memory_mib = 64;
  const std::string first = Create(function, "_first"), second = Create(function, "_second");
  EXPECT_NE(VersionOf(first), VersionOf(second)) << "one image, two functions";
  const std::string snapshot = Freeze(first, "a");
  const Answer frozen = cluster().Invoke(first, "", "a");
  const Answer other = cluster().Invoke(second, "", "a");
  EXPECT_TRUE(StartedAs(other, gw::START_KIND_COLD));
  EXPECT_NE(TokenOf(other), TokenOf(frozen)) << "nobody gets another function's memory";
  EXPECT_NE(Cracdata("a", first), Cracdata("a", second));
  EXPECT_TRUE(fs::exists(Cracdata("a", first) + "/" + snapshot));
  EXPECT_TRUE(Names(Cracdata("a", second)).empty());
  EXPECT_TRUE(cluster().Snapshots(second).empty());
}

TEST_F(DefectsTest, Defect02_OldConfigIsFrozenIn) {
  TestFunction function;
  function.image = NativeImage();
  function.memory_mib = 64;
  function.config["GREETING"] = "old";
  const std::string id = Create(function);
  ASSERT_EQ(cluster().Invoke(id, "env GREETING", "a").body, "old");
  Freeze(id, "a");
  auto spec = cluster().GetFunction(id);
  ASSERT_TRUE(spec.ok());
  const std::string old_version = spec->version_id();
  (*spec->mutable_config())["GREETING"] = "new";
  const auto updated = cluster().UpdateFunction(*spec);
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_NE(updated->version_id(), old_version);
  const Answer after = cluster().Invoke(id, "env GREETING", "a");
  EXPECT_EQ(after.body, "new");
  EXPECT_TRUE(StartedAs(after, gw::START_KIND_COLD)) << "the old snapshot no longer applies";
  for (int i = 0; i < 5; ++i) (void)cluster().Invoke(id, "", "a");
  ASSERT_TRUE(Eventually([&] {
    for (const auto& snapshot : cluster().Snapshots(id)) {
      if (snapshot.version_id() == updated->version_id()) return true;
    }
    return false;
  }));
  EndInstance(id, "a");
  const Answer restored = cluster().Invoke(id, "env GREETING", "a");
  EXPECT_TRUE(StartedAs(restored, gw::START_KIND_RESTORED));
  EXPECT_EQ(restored.body, "new");
}

TEST_F(DefectsTest, Defect03_AFileThatExistsIsTheOnlyTestOfASnapshot) {
  const std::string id = CreateNative();
  const std::string snapshot = Freeze(id, "a");
  const std::string token = TokenOf(cluster().Invoke(id, "", "a"));
  const std::string laid_out = Cracdata("a", id) + "/" + snapshot;
  ASSERT_TRUE(fs::exists(laid_out + "/images"));
  // A dump that was cut short: the file by which the proof of concept knew a good one is there, others are not.
  const std::string half = Cracdata("a", id) + "/dump-half";
  fs::create_directories(half + "/images");
  std::ofstream(half + "/images/files.img") << "half";
  for (const std::string& name : Names(laid_out + "/images")) {
    if (absl::StartsWith(name, "pages-")) fs::remove(laid_out + "/images/" + name);
  }
  EndInstance(id, "a");
  const Answer answer = cluster().Invoke(id, "", "a");
  EXPECT_TRUE(absl::StrContains(cluster().Log("a"), "event=laid_out_snapshot_damaged snapshot=" + snapshot));
  EXPECT_TRUE(StartedAs(answer, gw::START_KIND_RESTORED)) << "from the chunks, which are whole";
  EXPECT_EQ(TokenOf(answer), token);
  ASSERT_TRUE(cluster().StopNode("a").ok());
  ASSERT_TRUE(cluster().StartNode("a").ok());
  ASSERT_TRUE(cluster().AwaitNode("a", thaw::common::v1::NODE_STATE_READY));
  EXPECT_FALSE(fs::exists(half));
}

TEST_F(DefectsTest, Defect04_IdlePollsCountAsInvocations) {
  const std::string id = CreateNative();
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(cluster().Invoke(id, "", "a").ok());
  const double checkpoints = cluster().AgentMetric("a", "thaw_agent_checkpoints_total");
  int polls = 0;
  for (int i = 0; i < 10; ++i) polls += Poll("a");
  EXPECT_GE(polls, 10) << "the fault fired";
  EXPECT_EQ(cluster().AgentMetric("a", "thaw_agent_instances", {"state=\"checkpointing\""}), 0);
  EXPECT_TRUE(cluster().Snapshots(id).empty());
  EXPECT_EQ(cluster().AgentMetric("a", "thaw_agent_checkpoints_total"), checkpoints);
  // The fifth call does it; all five came over one kept-alive connection and count as five.
  ASSERT_TRUE(cluster().Invoke(id, "", "a").ok());
  ASSERT_TRUE(Eventually([&] { return cluster().Snapshots(id).size() == 1; }, absl::Seconds(30)));
  EXPECT_EQ(cluster().Snapshots(id)[0].invocations(), 5u);
}

TEST_F(DefectsTest, Defect05_TheDumpIsOnTheRequestPath) {
  // With an FDK that closes its listener for the dump, as the proof of concept's did.
  const std::string id = CreateJava("echo", "io.thaw.testfn.Echo::text");
  ASSERT_TRUE(cluster().Invoke(id, "0", "a").ok());
  int calls = 1;
  const auto published = [&] { return !cluster().Snapshots(id).empty(); };
  const absl::Time limit = absl::Now() + absl::Seconds(60);
  bool frozen = false;
  while (absl::Now() < limit && !frozen) {
    for (int i = 0; i < 10; ++i, ++calls) {
      const Answer answer = cluster().Invoke(id, absl::StrCat(calls), "a");
      ASSERT_TRUE(StartedAs(answer, gw::START_KIND_WARM)) << "call " << calls;
      ASSERT_EQ(answer.body, absl::StrCat(calls));
    }
    frozen = published();
  }
  EXPECT_TRUE(frozen) << "all this went on during a checkpoint";
}

TEST_F(DefectsTest, Defect06_TheStartLimitIsFiveSecondsForAll) {
  const std::string id = CreateNative("listens-late");
  // It opens its socket after six seconds: node a's limit of twenty allows that, node b's of two does not.
  const Answer patient = cluster().Invoke(id, "", "a");
  EXPECT_TRUE(StartedAs(patient, gw::START_KIND_COLD));
  const absl::Time before = absl::Now();
  const Answer impatient = cluster().Invoke(id, "", "b");
  EXPECT_EQ(ReasonOf(impatient.status), reason::kFunctionNeverListened) << impatient.status;
  EXPECT_LT(absl::Now() - before, absl::Seconds(6));
}

TEST_F(DefectsTest, Defect07_TheFunctionIsRootWithAllCapabilities) {
  const std::string id = CreateNative();
  const auto check = [&](const std::string& node) {
    const std::string status = cluster().Invoke(id, "read /proc/self/status", node).body;
    EXPECT_TRUE(absl::StrContains(status, "Uid:\t1000\t1000\t1000\t1000")) << status;
    EXPECT_TRUE(absl::StrContains(status, "Gid:\t1000\t1000\t1000\t1000")) << status;
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
      EXPECT_TRUE(absl::StrContains(status, absl::StrCat(set, ":\t0000000000000000"))) << status;
    }
    EXPECT_TRUE(absl::StrContains(status, "NoNewPrivs:\t1")) << status;
    EXPECT_TRUE(absl::StrContains(status, "Seccomp:\t2")) << status;
    for (const char* path : {"/cracdata", "/run/thaw/ctl/init.sock", "/run/thaw/ctl/function.log", "/run/thaw/work"}) {
      EXPECT_EQ(cluster().Invoke(id, absl::StrCat("open ", path), node).body, "Permission denied") << path;
    }
  };
  check("a");
  ASSERT_TRUE(Eventually([&] { return !cluster().Snapshots(id).empty(); }, absl::Seconds(30)));
  ASSERT_TRUE(StartedAs(cluster().Invoke(id, "", "c"), gw::START_KIND_RESTORED_REMOTE));
  check("c");
  struct stat info {};
  ASSERT_EQ(stat(Cracdata("a", id).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_EQ(info.st_uid, 0u);
  for (const std::string& container : cluster().Containers("a")) {
    EXPECT_FALSE(absl::StrContains(
        RunCommand({"docker", "inspect", "-f", "{{range .Mounts}}{{.Source}} {{end}}", container}).out, "/tmp/cracdata"));
  }
}

TEST_F(DefectsTest, Defect08_LogsOfAllFunctionsGoToOneFileWithoutBound) {
  TestFunction function;
  function.image = NativeImage();
  function.memory_mib = 64;
  const std::string first = Create(function, "_first"), second = Create(function, "_second");
  ASSERT_TRUE(cluster().Invoke(first, "only-in-the-first", "a").ok());
  ASSERT_TRUE(cluster().Invoke(second, "only-in-the-second", "a").ok());
  const auto logs = [&](const std::string& id) {
    return RunCommand({THAW_CLI_BINARY, "--server", cluster().gateway_address(), "logs", id}).out;
  };
  EXPECT_TRUE(absl::StrContains(logs(first), "executed only-in-the-first")) << logs(first);
  EXPECT_FALSE(absl::StrContains(logs(first), "only-in-the-second")) << logs(first);
  EXPECT_TRUE(absl::StrContains(logs(second), "executed only-in-the-second")) << logs(second);
  ASSERT_TRUE(cluster().Invoke(second, "print 6", "a").ok());
  std::uintmax_t most = 0;
  const std::string slots = cluster().data_dir("a") + "/slots";
  for (const std::string& slot : Names(slots)) {
    std::uintmax_t size = 0;
    for (const std::string& file : Names(slots + "/" + slot + "/ctl")) {
      const std::string path = absl::StrCat(slots, "/", slot, "/ctl/", file);
      if (fs::is_regular_file(path)) size += fs::file_size(path);
    }
    most = std::max(most, size);
  }
  EXPECT_GT(most, 1u << 20) << "six megabytes were printed";
  EXPECT_LT(most, (2u << 20) + (64u << 10));
}

TEST_F(DefectsTest, Defect09_ResourcesAreNotTold_AndAnOpenOneFailsTheCheckpointWithoutAWord) {
  const std::string id = CreateJava("crac", "io.thaw.testfn.CracRecorder::call");
  Freeze(id, "a");
  const Answer served_on = cluster().Invoke(id, "", "a");
  EXPECT_EQ(Json::parse(served_on.body)["callbacks"],
            (Json{"before second", "before first", "after first", "after second"}));
  const Answer restored = cluster().Invoke(id, "", "c");
  ASSERT_TRUE(StartedAs(restored, gw::START_KIND_RESTORED_REMOTE));
  EXPECT_EQ(Json::parse(restored.body)["callbacks"],
            (Json{"before second", "before first", "after first", "after second"}));

  // A connection that CRIU can't dump: the checkpoint fails with a reason that names it, and the function serves on.
  TestFunction function;
  function.image = NativeImage();
  function.memory_mib = 64;
  const std::string held = Create(function, "_held");
  ASSERT_EQ(cluster().Invoke(held, "tcp", "a").body, "connected");
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(cluster().Invoke(held, "", "a").ok());
  const std::string failed = "event=checkpoint_failed version=" + VersionOf(held);
  ASSERT_TRUE(Eventually([&] { return absl::StrContains(cluster().Log("a"), failed); }));
  const std::string log = cluster().Log("a");
  const std::string line = log.substr(log.find(failed), log.find('\n', log.find(failed)) - log.find(failed));
  EXPECT_TRUE(absl::StrContains(line, "TCP")) << line;
  EXPECT_TRUE(absl::StrContains(line, "beforeCheckpoint")) << line;
  EXPECT_TRUE(StartedAs(cluster().Invoke(held, "", "a"), gw::START_KIND_WARM));
}

TEST_F(DefectsTest, Defect10_ClonesShareTheirRandomNumbers) {
  const std::string id = CreateJava("randoms", "io.thaw.testfn.Randoms::draw");
  Freeze(id, "a");
  const Answer on_b = cluster().Invoke(id, "", "b"), on_c = cluster().Invoke(id, "", "c");
  ASSERT_TRUE(StartedAs(on_b, gw::START_KIND_RESTORED_REMOTE));
  ASSERT_TRUE(StartedAs(on_c, gw::START_KIND_RESTORED_REMOTE));
  const Json first = Json::parse(on_b.body), second = Json::parse(on_c.body);
  ASSERT_GE(first.size(), 9u);
  for (const auto& [generator, numbers] : first.items()) EXPECT_NE(numbers, second[generator]) << generator;

  // The C library's own, which no FDK reseeds.
  TestFunction function;
  function.image = NativeImage();
  function.memory_mib = 64;
  const std::string native = Create(function, "_native");
  Freeze(native, "a");
  const Answer native_b = cluster().Invoke(native, "random", "b"), native_c = cluster().Invoke(native, "random", "c");
  ASSERT_TRUE(StartedAs(native_b, gw::START_KIND_RESTORED_REMOTE));
  ASSERT_TRUE(StartedAs(native_c, gw::START_KIND_RESTORED_REMOTE));
  EXPECT_NE(native_b.body, native_c.body);
}

TEST_F(DefectsTest, Defect11_SnapshotsStayOnTheHostThatMadeThem) {
  const std::string id = CreateNative();
  const std::string snapshot = Freeze(id, "a");
  const std::string token = TokenOf(cluster().Invoke(id, "", "a"));
  const double received = cluster().AgentMetric("b", "thaw_agent_transfer_received_bytes_total", {"kind=\"snapshot\""});
  const Answer answer = cluster().Invoke(id, "", "b");
  EXPECT_TRUE(StartedAs(answer, gw::START_KIND_RESTORED_REMOTE));
  EXPECT_EQ(TokenOf(answer), token);
  EXPECT_GT(cluster().AgentMetric("b", "thaw_agent_transfer_received_bytes_total", {"kind=\"snapshot\""}), received);
  EXPECT_TRUE(fs::exists(Store("b") + "/manifests/" + snapshot));
  EXPECT_TRUE(Eventually([&] {
    const auto snapshots = cluster().Snapshots(id);
    return snapshots.size() == 1 && snapshots[0].holders_size() == 2;
  }));
}

TEST_F(DefectsTest, Defect11_NoQuotaOfSnapshots) {
  const std::string made_here = CreateNative();
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(cluster().Invoke(made_here, "", "d").ok());
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(cluster().Log("d"), "--snapshot-store-bytes allows 1000"); }));
  EXPECT_TRUE(cluster().Snapshots(made_here).empty());
  EXPECT_TRUE(cluster().Invoke(made_here, "", "d").ok()) << "it serves on";
  TestFunction function;
  function.image = NativeImage();
  function.memory_mib = 64;
  const std::string id = Create(function, "_elsewhere");
  Freeze(id, "a");
  const Answer answer = cluster().Invoke(id, "", "d");
  EXPECT_TRUE(StartedAs(answer, gw::START_KIND_COLD));
  EXPECT_TRUE(absl::StrContains(answer.start.fallback_reason(), "--snapshot-store-bytes allows 1000"))
      << answer.start.fallback_reason();
  EXPECT_TRUE(Names(Store("d") + "/manifests").empty());
  EXPECT_EQ(cluster().AgentMetric("d", "thaw_agent_snapshot_store_bytes"), 0);
  EXPECT_EQ(cluster().AgentMetric("d", "thaw_agent_snapshot_store_quota_bytes"), 1000);
}

// An image of its own, of a name that `thaw deploy` would give; its id is in `id`.
std::string BuildImage(const std::string& native, const std::string& name, std::string& id) {
  char pattern[] = "/tmp/ti-XXXXXX";
  const std::string dir = mkdtemp(pattern);
  std::ofstream(dir + "/Dockerfile") << "FROM " << native << "\nLABEL of=" << dir << "\n";
  const std::string tag = absl::StrCat("thaw.local/test/", name, ":", dir.substr(dir.rfind('-') + 1));
  const CommandResult built = RunCommand({"docker", "build", "-q", "-t", absl::AsciiStrToLower(tag), dir},
                                         absl::Minutes(3), {{"DOCKER_BUILDKIT", "0"}});
  EXPECT_EQ(built.exit_code, 0) << built.err;
  id = std::string(absl::StripAsciiWhitespace(built.out));
  fs::remove_all(dir);
  return absl::AsciiStrToLower(tag);
}

bool IsOnTheEngine(const std::string& image_id) {
  return RunCommand({"docker", "image", "inspect", image_id}, absl::Seconds(30)).exit_code == 0;
}

TEST_F(DefectsTest, Defect11_ImagesOfOldVersionsStayForEver) {
  std::string id_a, id_b;
  TestFunction function;
  function.memory_mib = 64;
  function.image = BuildImage(NativeImage(), "one", id_a);
  const std::string image_b = BuildImage(NativeImage(), "two", id_b);
  const std::string id = Create(function);
  ASSERT_TRUE(cluster().Invoke(id, "", "a").ok());
  ASSERT_TRUE(cluster().Invoke(id, "", "b").ok());
  auto spec = cluster().GetFunction(id);
  ASSERT_TRUE(spec.ok()) << spec.status();
  // Another config is another version, of the same image.
  (*spec->mutable_config())["K"] = "v";
  spec = cluster().UpdateFunction(*spec);
  ASSERT_TRUE(spec.ok()) << spec.status();
  // For who deploys again from an engine of his own.
  const std::string archive = cluster().dir() + "/a.tar";
  ASSERT_EQ(RunCommand({"docker", "save", "-o", archive, function.image}, absl::Minutes(1)).exit_code, 0);
  spec->set_image(image_b);
  spec->set_image_id(id_b);
  spec = cluster().UpdateFunction(*spec);
  ASSERT_TRUE(spec.ok()) << spec.status();
  ASSERT_TRUE(cluster().Invoke(id, "", "a").ok());
  EXPECT_TRUE(Eventually([&] { return !IsOnTheEngine(id_a); }));
  EXPECT_TRUE(IsOnTheEngine(id_b)) << "a version has it";
  double removed = 0;
  for (const char* node : {"a", "b", "c", "d"}) removed += cluster().AgentMetric(node, "thaw_agent_images_removed_total");
  EXPECT_GE(removed, 1);
  ASSERT_EQ(RunCommand({"docker", "load", "-i", archive}, absl::Minutes(1)).exit_code, 0);
  spec->set_image(function.image);
  spec->set_image_id(id_a);
  spec = cluster().UpdateFunction(*spec);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_TRUE(cluster().Invoke(id, "", "a").ok()) << "back to the first image";
  EXPECT_TRUE(cluster().Invoke(id, "", "b").ok());
  EXPECT_TRUE(Eventually([&] { return !IsOnTheEngine(id_b); }));
  EXPECT_TRUE(IsOnTheEngine(id_a));
}

TEST_F(DefectsTest, Defect12_AnyExitRunsTheRestoreBranch) {
  const std::string id = CreateNative();
  Freeze(id, "a");
  const double restored = Starts("a", "restored");
  const Answer exited = cluster().Invoke(id, "exit 3", "a");
  EXPECT_EQ(ReasonOf(exited.status), reason::kFunctionExited) << exited.status;
  EXPECT_TRUE(absl::StrContains(exited.status.message(), "code 3")) << exited.status;
  ExpectNoOrphans("a");
  EXPECT_EQ(Starts("a", "restored"), restored) << "an exit is an exit: nothing is restored until a call wants it";
  EXPECT_TRUE(StartedAs(cluster().Invoke(id, "", "a"), gw::START_KIND_RESTORED));
  EXPECT_EQ(Starts("a", "restored"), restored + 1);
}

}  // namespace
}  // namespace thaw::testing
