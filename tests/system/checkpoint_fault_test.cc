// What goes wrong while an instance is frozen: the function serves on, or is replaced; nothing half is left, and nothing is
// published.
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/client.h"
#include "tests/system/suite.h"

namespace thaw::testing {
namespace {

namespace gw = thaw::gateway::v1;

// The data directory of the node whose disk gets full.
class SmallDisk {
 public:
  SmallDisk() {
    char pattern[] = "/tmp/td-XXXXXX";
    path_ = mkdtemp(pattern);
    mounted_ = mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=64m,mode=0711") == 0;
  }
  ~SmallDisk() {
    if (mounted_) umount2(path_.c_str(), MNT_DETACH);
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  bool mounted() const { return mounted_; }
  const std::string& path() const { return path_; }
  // Leaves that many bytes free.
  void FillTo(std::uint64_t free) {
    const std::string ballast = path_ + "/ballast";
    const int fd = open(ballast.c_str(), O_WRONLY | O_CREAT, 0600);
    const std::uint64_t available = std::filesystem::space(path_).available;
    ASSERT_EQ(posix_fallocate(fd, 0, static_cast<off_t>(available - free)), 0);
    close(fd);
  }
  void Empty() { unlink((path_ + "/ballast").c_str()); }

 private:
  std::string path_;
  bool mounted_ = false;
};

class CheckpointFaultTest : public ClusterTest {
 protected:
  Cluster::Options ClusterOptions() override {
    disk_ = std::make_unique<SmallDisk>();
    Cluster::Options options;
    options.nodes = {"a", "b"};
    options.criu_wrapper = THAW_CRIU_WRAPPER;
    options.agent_flags = {"--dump-limit=2s", "--restore-limit=5s"};
    options.data_dirs["b"] = disk_->path();
    return options;
  }
  static void TearDownTestSuite() {
    ClusterTest::TearDownTestSuite();
    disk_.reset();
  }
  double Checkpoints(const std::string& node, const std::string& outcome) {
    return cluster().AgentMetric(node, "thaw_agent_checkpoints_total", {"outcome=\"" + outcome + "\""});
  }
  void CallUntilAsked(const std::string& id, const std::string& node, int first = 1) {
    for (int i = first; i <= 5; ++i) {
      const Answer answer = cluster().Invoke(id, "", node);
      ASSERT_TRUE(answer.ok()) << answer.status;
    }
  }

  static std::unique_ptr<SmallDisk> disk_;
};

std::unique_ptr<SmallDisk> CheckpointFaultTest::disk_;

TEST_F(CheckpointFaultTest, DiskFullWhileCheckpointing_FunctionServesOn_NothingHalfIsLeft) {
  ASSERT_TRUE(disk_->mounted()) << "this test mounts a small tmpfs: run it as root";
  const std::string id = CreateNative();
  const Answer before = cluster().Invoke(id, "", "b");
  ASSERT_TRUE(before.ok()) << before.status;
  disk_->FillTo(64 << 10);
  CallUntilAsked(id, "b", 2);
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(cluster().Log("b"), "event=checkpoint_failed"); }));
  EXPECT_TRUE(absl::StrContains(cluster().Log("b"), "RESOURCE_EXHAUSTED") &&
              absl::StrContains(cluster().Log("b"), "DISK_FULL"))
      << "the log names the cause";
  EXPECT_TRUE(cluster().Snapshots(id).empty());
  const Answer after = cluster().Invoke(id, "", "b");
  EXPECT_TRUE(StartedAs(after, gw::START_KIND_WARM));
  EXPECT_EQ(after.start.instance_id(), before.start.instance_id());
  EXPECT_TRUE(Eventually([&] { return Names(Cracdata("b", id)).empty(); }));
  EXPECT_TRUE(Names(Store("b") + "/manifests").empty());
  ExpectNothingHalf("b", id);
  // With room again it is frozen after all.
  disk_->Empty();
  EXPECT_TRUE(Eventually(
      [&] {
        (void)cluster().Invoke(id, "", "b");
        return !cluster().Snapshots(id).empty();
      },
      absl::Seconds(40)));
}

TEST_F(CheckpointFaultTest, CriuThatFailsToDump_FunctionServesOn_NothingIsPublished) {
  const std::string id = CreateNative();
  const Answer before = cluster().Invoke(id, "", "a");
  ASSERT_TRUE(before.ok()) << before.status;
  SetCriuFault("a", id, "dump fail");
  const double refused = Checkpoints("a", "refused");
  CallUntilAsked(id, "a", 2);
  EXPECT_TRUE(AwaitCriuFault("a", id));
  EXPECT_TRUE(Eventually([&] { return Checkpoints("a", "refused") == refused + 1; }));
  EXPECT_TRUE(absl::StrContains(cluster().Log("a"), "dump fails on demand")) << "CRIU's own reason is in the log";
  const Answer after = cluster().Invoke(id, "", "a");
  EXPECT_TRUE(StartedAs(after, gw::START_KIND_WARM));
  EXPECT_EQ(after.start.instance_id(), before.start.instance_id());
  EXPECT_TRUE(cluster().Snapshots(id).empty());
  ExpectNothingHalf("a", id);
  SetCriuFault("a", id, "");
}

TEST_F(CheckpointFaultTest, CriuThatHangsInADump_IsKilledAtItsLimit_AndCallsMeanwhileWait) {
  const std::string id = CreateNative();
  const Answer before = cluster().Invoke(id, "", "a");
  ASSERT_TRUE(before.ok()) << before.status;
  SetCriuFault("a", id, "dump hang");
  CallUntilAsked(id, "a", 2);
  ASSERT_TRUE(AwaitCriuFault("a", id));
  // This call comes in the middle of the dump: it neither starts another instance nor finds this one gone.
  const std::string failed = "event=checkpoint_failed version=" + VersionOf(id);
  ASSERT_FALSE(absl::StrContains(cluster().Log("a"), failed)) << "the dump is still under way";
  const Answer during = cluster().Invoke(id, "", "a");
  EXPECT_TRUE(StartedAs(during, gw::START_KIND_WARM));
  EXPECT_EQ(during.start.instance_id(), before.start.instance_id());
  EXPECT_GT(FromProto(during.start.phases().queue()), absl::Milliseconds(100)) << "it waited";
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(cluster().Log("a"), failed); }));
  EXPECT_TRUE(absl::StrContains(cluster().Log("a"), "DEADLINE_EXCEEDED"));
  EXPECT_TRUE(cluster().Snapshots(id).empty());
  const Answer after = cluster().Invoke(id, "", "a");
  EXPECT_TRUE(StartedAs(after, gw::START_KIND_WARM));
  EXPECT_EQ(after.start.instance_id(), before.start.instance_id());
  ExpectNothingHalf("a", id);
  SetCriuFault("a", id, "");
}

TEST_F(CheckpointFaultTest, CanaryThatDoesNotComeUp_NothingIsPublished) {
  const std::string id = CreateNative();
  ASSERT_TRUE(cluster().Invoke(id, "", "a").ok());
  SetCriuFault("a", id, "restore fail");
  const double failed = Checkpoints("a", "canary_failed");
  CallUntilAsked(id, "a", 2);
  EXPECT_TRUE(AwaitCriuFault("a", id));
  EXPECT_TRUE(Eventually([&] { return Checkpoints("a", "canary_failed") == failed + 1; }));
  EXPECT_TRUE(cluster().Snapshots(id).empty());
  EXPECT_TRUE(StartedAs(cluster().Invoke(id, "", "a"), gw::START_KIND_WARM));
  ExpectNothingHalf("a", id);
  SetCriuFault("a", id, "");
}

TEST_F(CheckpointFaultTest, AgentKilledDuringACheckpoint_NoHalfSnapshotNoOrphan_NodeWorksAgain) {
  const std::string id = CreateNative();
  ASSERT_TRUE(cluster().Invoke(id, "", "a").ok());
  SetCriuFault("a", id, "dump hang");
  CallUntilAsked(id, "a", 2);
  ASSERT_TRUE(AwaitCriuFault("a", id));
  cluster().KillNode("a", /*with_containers=*/false);
  EXPECT_FALSE(HalfDumps("a", id).empty()) << "the kill came in the middle of the dump";
  SetCriuFault("a", id, "");
  ASSERT_TRUE(cluster().StartNode("a").ok());
  ASSERT_TRUE(cluster().AwaitNode("a", thaw::common::v1::NODE_STATE_READY));
  EXPECT_GE(cluster().AgentMetric("a", "thaw_agent_recovered_total", {"what=\"half_dump\""}), 1);
  ExpectNothingHalf("a", id);
  EXPECT_TRUE(Names(Store("a") + "/manifests").empty());
  EXPECT_TRUE(cluster().Snapshots(id).empty());
  ExpectNoOrphans("a");
  const Answer after = cluster().Invoke(id, "", "a");
  EXPECT_TRUE(after.ok()) << after.status;
}

}  // namespace
}  // namespace thaw::testing
