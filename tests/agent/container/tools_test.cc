#include "agent/container/tools.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace thaw::agent {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class ToolsTest : public ::testing::Test {
 protected:
  ToolsTest() : paths_(root_ + "/data") {
    fs::create_directories(root_ + "/data/bin");
    fs::create_directories(root_ + "/bundle/lib");
    Write("init", "init 1", 0755);
    Write("bundle/criu", "criu 1", 0755);
    Write("bundle/lib/libc.so.6", "libc", 0644);
  }
  ~ToolsTest() override { fs::remove_all(root_); }

  void Write(const std::string& name, const std::string& text, int mode) {
    std::ofstream(root_ + "/" + name) << text;
    fs::permissions(root_ + "/" + name, fs::perms(mode));
  }
  static std::string Read(const fs::path& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  absl::StatusOr<std::string> Install() {
    return InstallTools({{root_ + "/init", "init"}, {root_ + "/bundle", "criu"}}, paths_);
  }
  std::set<std::string> Installed() {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(paths_.AllTools())) names.insert(entry.path().filename().string());
    return names;
  }
  static std::string MakeRoot() {
    char pattern[] = "/tmp/thaw-tools-XXXXXX";
    return mkdtemp(pattern);
  }

  const std::string root_ = MakeRoot();
  const Paths paths_;
};

TEST_F(ToolsTest, FilesAndDirectoriesAreThereUnderTheirNames) {
  const auto name = Install();
  ASSERT_TRUE(name.ok()) << name.status();
  const fs::path tools = paths_.Tools(*name);
  EXPECT_EQ(Read(tools / "init"), "init 1");
  EXPECT_EQ(Read(tools / "criu/criu"), "criu 1");
  EXPECT_EQ(Read(tools / "criu/lib/libc.so.6"), "libc");
  EXPECT_EQ(fs::status(tools / "criu/criu").permissions(), fs::perms(0755));
  EXPECT_EQ(fs::status(tools / "criu/lib/libc.so.6").permissions(), fs::perms(0644));
  EXPECT_EQ(fs::status(tools / "criu/lib").permissions(), fs::perms(0755));
}

TEST_F(ToolsTest, TheSameToolsAreInstalledOnce) {
  const auto name = Install();
  ASSERT_TRUE(name.ok()) << name.status();
  const auto before = fs::last_write_time(fs::path(paths_.Tools(*name)) / "init");
  EXPECT_EQ(Install().value(), *name);
  EXPECT_EQ(fs::last_write_time(fs::path(paths_.Tools(*name)) / "init"), before);
  EXPECT_EQ(Installed(), std::set<std::string>{*name});
}

TEST_F(ToolsTest, ANewReleaseLeavesTheOldOneAsItIs) {
  const auto old_name = Install();
  ASSERT_TRUE(old_name.ok()) << old_name.status();
  Write("bundle/criu", "criu 2", 0755);
  const auto new_name = Install();
  ASSERT_TRUE(new_name.ok()) << new_name.status();
  EXPECT_NE(*new_name, *old_name);
  EXPECT_EQ(Read(paths_.Tools(*old_name) + "/criu/criu"), "criu 1");
  EXPECT_EQ(Read(paths_.Tools(*new_name) + "/criu/criu"), "criu 2");
}

TEST_F(ToolsTest, DamagedToolsAreReplaced) {
  const auto name = Install();
  ASSERT_TRUE(name.ok()) << name.status();
  std::ofstream(paths_.Tools(*name) + "/init") << "half";
  EXPECT_EQ(Install().value(), *name);
  EXPECT_EQ(Read(paths_.Tools(*name) + "/init"), "init 1");
  EXPECT_EQ(Installed(), std::set<std::string>{*name});
}

TEST_F(ToolsTest, ALostExecutableBitIsDamage) {
  const auto name = Install();
  ASSERT_TRUE(name.ok()) << name.status();
  fs::permissions(paths_.Tools(*name) + "/criu/criu", fs::perms(0644));
  EXPECT_EQ(Install().value(), *name);
  EXPECT_EQ(fs::status(paths_.Tools(*name) + "/criu/criu").permissions(), fs::perms(0755));
}

TEST_F(ToolsTest, MissingSourceIsNamed_AndNothingHalfIsLeft) {
  const auto name = InstallTools({{root_ + "/init", "init"}, {root_ + "/nowhere", "criu"}}, paths_);
  EXPECT_TRUE(absl::IsNotFound(name.status())) << name.status();
  EXPECT_THAT(std::string(name.status().message()), HasSubstr(root_ + "/nowhere"));
  EXPECT_THAT(std::string(name.status().message()), HasSubstr("--criu-bundle"));
  EXPECT_TRUE(Installed().empty());
}

TEST_F(ToolsTest, OnlyWhatNobodyUsesIsRemoved) {
  const auto old_name = Install();
  Write("init", "init 2", 0755);
  const auto used_name = Install();
  Write("init", "init 3", 0755);
  const auto new_name = Install();
  ASSERT_TRUE(old_name.ok() && used_name.ok() && new_name.ok());
  // What releases before this one left.
  Write("data/bin/thaw-init", "init 0", 0755);
  RemoveToolsExcept({*used_name, *new_name}, paths_);
  EXPECT_EQ(Installed(), (std::set<std::string>{*used_name, *new_name}));
}

}  // namespace
}  // namespace thaw::agent
