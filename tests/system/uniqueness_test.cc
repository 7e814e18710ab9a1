// The cures for cloned random numbers, through the whole of Thaw (docs/uniqueness.md).
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/system/suite.h"

namespace thaw::testing {
namespace {

namespace fs = std::filesystem;
namespace gw = thaw::gateway::v1;

class UniquenessTest : public ClusterTest {
 protected:
  Cluster::Options ClusterOptions() override {
    Cluster::Options options;
    options.nodes = {"a"};
    return options;
  }

  // A function of a static program that has OpenSSL's generator inside, as far as one can see from outside.
  std::string CreateUncurable(bool accepted, const std::string& suffix) {
    const std::string tag = "thaw-test/native-uncurable:latest";
    char pattern[] = "/tmp/tu-XXXXXX";
    const std::string dir = mkdtemp(pattern);
    std::error_code ignored;
    fs::copy_file(THAW_NATIVE_FUNCTION, dir + "/native");
    std::ofstream(dir + "/native", std::ios::app | std::ios::binary) << "error instantiating drbg";
    std::ofstream(dir + "/Dockerfile") << "FROM scratch\nCOPY native /native\nENTRYPOINT [\"/native\"]\nCMD [\"serve\"]\n";
    const CommandResult built =
        RunCommand({"docker", "build", "-q", "-t", tag, dir}, absl::Minutes(3), {{"DOCKER_BUILDKIT", "0"}});
    fs::remove_all(dir, ignored);
    EXPECT_EQ(built.exit_code, 0) << built.err;
    TestFunction function;
    function.image = tag;
    function.memory_mib = 64;
    const std::string id = Create(function, suffix);
    auto made = cluster().GetFunction(id);
    EXPECT_TRUE(made.ok()) << made.status();
    made->mutable_freeze()->set_accept_uncured(accepted);
    const auto updated = cluster().UpdateFunction(*made);
    EXPECT_TRUE(updated.ok()) << updated.status();
    return id;
  }
};

TEST_F(UniquenessTest, WhatCanNotBeCuredIsNotFrozenAndTheReasonIsSaid) {
  const std::string id = CreateUncurable(false, "");
  ASSERT_TRUE(cluster().Invoke(id, "", "a").ok());
  // Before anybody has tried to freeze it.
  const CommandResult look =
      RunCommand({THAW_CLI_BINARY, "--server", cluster().gateway_address(), "snapshot", "explain", id});
  EXPECT_TRUE(absl::StrContains(look.out, "it can't be frozen")) << look.out << look.err;
  EXPECT_TRUE(absl::StrContains(look.out, "openssl: /native has an OpenSSL of its own inside")) << look.out;
  for (int i = 1; i < 5; ++i) ASSERT_TRUE(cluster().Invoke(id, "", "a").ok());
  EXPECT_TRUE(Eventually([&] {
    return absl::StrContains(cluster().Log("a"), "event=checkpoint_failed version=" + VersionOf(id));
  }));
  EXPECT_TRUE(absl::StrContains(cluster().Log("a"), "two restores would draw the same random numbers: openssl: /native"));
  EXPECT_TRUE(StartedAs(cluster().Invoke(id, "", "a"), gw::START_KIND_WARM)) << "it serves on";
  EXPECT_TRUE(cluster().Snapshots(id).empty());
  ExpectNothingHalf("a", id);
}

TEST_F(UniquenessTest, WhatItsSettingsAcceptIsFrozenAndTheSnapshotSaysSo) {
  const std::string id = CreateUncurable(true, "");
  const auto snapshot = cluster().MakeSnapshot(id, "a");
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  ASSERT_EQ(snapshot->uncured_size(), 1);
  EXPECT_TRUE(absl::StartsWith(snapshot->uncured(0), "openssl: /native")) << snapshot->uncured(0);
  EndInstance(id, "a");
  EXPECT_TRUE(StartedAs(cluster().Invoke(id, "", "a"), gw::START_KIND_RESTORED));
}

TEST_F(UniquenessTest, AJavaFunctionHasTheShimAndItAnswersAfterTheRestore) {
  const auto image = JavaTestImage("randoms", "io.thaw.testfn.Randoms::draw");
  ASSERT_TRUE(image.ok()) << image.status();
  TestFunction function;
  function.image = *image;
  const std::string id = Create(function);
  const std::string snapshot = Freeze(id, "a");
  const std::string plan = ReadFileOrEmpty(absl::StrCat(Cracdata("a", id), "/", snapshot, "/files/unique"));
  EXPECT_TRUE(absl::StrContains(plan, " ---+\n")) << "the shim has found the JVM's generators: " << plan;
  const auto info = cluster().Snapshots(id);
  ASSERT_EQ(info.size(), 1u);
  EXPECT_EQ(info[0].uncured_size(), 0) << info[0].uncured(0);
}

}  // namespace
}  // namespace thaw::testing
