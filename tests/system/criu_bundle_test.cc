// The CRIU that the agent brings: what it takes of an image, and what a change of it does to containers that run.
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/system/suite.h"

namespace thaw::testing {
namespace {

namespace fs = std::filesystem;
namespace gw = thaw::gateway::v1;

class CriuBundleTest : public ClusterTest {
 protected:
  Cluster::Options ClusterOptions() override {
    Cluster::Options options;
    options.nodes = {"a"};
    // One that can be changed.
    options.criu_wrapper = THAW_CRIU_WRAPPER;
    return options;
  }

  // The native function in an image that offers CRIU everything it could take of it: a program of its name, a library to
  // preload (by file and by environment), a configuration that it can't read, and a plugin.
  static std::string HostileImage() {
    const std::string tag = "thaw-test/hostile:latest";
    char pattern[] = "/tmp/th-XXXXXX";
    const std::string dir = mkdtemp(pattern);
    fs::copy_file(THAW_NATIVE_FUNCTION, dir + "/native");
    fs::copy_file(THAW_NATIVE_INTRUDER, dir + "/intruder.so");
    std::ofstream(dir + "/ld.so.preload") << "/intruder.so\n";
    std::ofstream(dir + "/default.conf") << "action-script /no/such/script\nno-such-option\n";
    std::ofstream(dir + "/Dockerfile") << "FROM thaw/java-runtime-base:latest\n"
                                          "COPY native /function/native\n"
                                          "COPY intruder.so /intruder.so\n"
                                          "COPY intruder.so /usr/lib/criu/intruder.so\n"
                                          "COPY intruder.so /usr/sbin/criu\n"
                                          "COPY default.conf /etc/criu/default.conf\n"
                                          "COPY ld.so.preload /etc/ld.so.preload\n"
                                          "ENV LD_PRELOAD=/intruder.so LD_LIBRARY_PATH=/\n"
                                          "ENTRYPOINT [\"/function/native\"]\nCMD [\"serve\"]\n";
    const CommandResult built =
        RunCommand({"docker", "build", "-q", "-t", tag, dir}, absl::Minutes(3), {{"DOCKER_BUILDKIT", "0"}});
    EXPECT_EQ(built.exit_code, 0) << built.err;
    fs::remove_all(dir);
    return tag;
  }
  void KillInstance(const std::string& id) { EndInstance(id, "a"); }
};

TEST_F(CriuBundleTest, NothingOfTheImageRunsWithCriusCapabilities) {
  TestFunction function;
  function.image = HostileImage();
  function.memory_mib = 64;
  // The trap is sharp: a program of the image that uses its libc loads the intruder.
  char pattern[] = "/tmp/th-XXXXXX";
  const std::string shown = mkdtemp(pattern);
  RunCommand({"docker", "run", "--rm", "--network", "none", "-v", shown + ":/cracdata", "--entrypoint", "/bin/true", function.image});
  EXPECT_TRUE(fs::exists(shown + "/intruder"));
  fs::remove_all(shown);

  const std::string id = Create(function);
  ASSERT_FALSE(Freeze(id, "a").empty());
  KillInstance(id);
  EXPECT_TRUE(StartedAs(cluster().Invoke(id, "", "a"), gw::START_KIND_RESTORED));
  EXPECT_EQ(ReadFileOrEmpty(Cracdata("a", id) + "/intruder"), "") << "root programs loaded a library of the image";
}

TEST_F(CriuBundleTest, ContainersKeepTheToolsTheyStartedWith_NewOnesGetTheNew) {
  const std::string bin = cluster().data_dir("a") + "/bin";
  const std::string kept = CreateNative();
  ASSERT_FALSE(Freeze(kept, "a").empty());
  const std::vector<std::string> before = Names(bin);
  ASSERT_EQ(before.size(), 1u);

  // The agent is restarted with a newer bundle: its containers live on, with what they have mounted.
  ASSERT_TRUE(cluster().StopNode("a").ok());
  std::ofstream(cluster().dir() + "/criu/release") << "a newer one\n";
  ASSERT_TRUE(cluster().StartNode("a").ok());
  ASSERT_TRUE(cluster().AwaitNode("a", thaw::common::v1::NODE_STATE_READY));
  EXPECT_EQ(Names(bin).size(), 2u) << "the old one has users, the new one is there";
  EXPECT_TRUE(StartedAs(cluster().Invoke(kept, "", "a"), gw::START_KIND_WARM));
  KillInstance(kept);
  EXPECT_TRUE(StartedAs(cluster().Invoke(kept, "", "a"), gw::START_KIND_RESTORED));

  // Once nobody uses it, the next start removes it.
  cluster().KillNode("a", /*with_containers=*/true);
  ASSERT_TRUE(cluster().StartNode("a").ok());
  ASSERT_TRUE(cluster().AwaitNode("a", thaw::common::v1::NODE_STATE_READY));
  const std::vector<std::string> after = Names(bin);
  EXPECT_EQ(after.size(), 1u);
  EXPECT_NE(after, before);
  EXPECT_TRUE(cluster().Invoke(kept, "", "a").ok());
}

}  // namespace
}  // namespace thaw::testing
