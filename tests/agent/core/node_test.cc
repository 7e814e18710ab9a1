#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/node/version_file.h"
#include "agent/node/version_saver.h"
#include "agent/options.h"
#include "agent/service/log_reader.h"
#include "common/log/log.h"
#include "tests/fakes/fake_clock.h"

namespace thaw::agent {
namespace {

namespace fs = std::filesystem;

class DirTest : public ::testing::Test {
 protected:
  DirTest() {
    char pattern[] = "/tmp/thaw-node-XXXXXX";
    dir_ = mkdtemp(pattern);
  }
  ~DirTest() override { fs::remove_all(dir_); }
  std::string dir_;
};

using VersionFile = DirTest;
using LogReaderTest = DirTest;

TEST_F(VersionFile, GivesBackWhatWasSaved) {
  VersionState one, two;
  one.mutable_spec()->set_version_id("v1");
  (*one.mutable_spec()->mutable_config())["k"] = "v";
  two.mutable_spec()->set_version_id("v2");
  two.mutable_snapshot()->set_id("s");
  ASSERT_TRUE(SaveVersionFile(dir_ + "/versions.pb", {one, two}).ok());
  const auto loaded = LoadVersionFile(dir_ + "/versions.pb");
  ASSERT_TRUE(loaded.ok());
  ASSERT_EQ(loaded->size(), 2u);
  EXPECT_EQ((*loaded)[0].SerializeAsString(), one.SerializeAsString());
  EXPECT_EQ((*loaded)[1].snapshot().id(), "s");
  EXPECT_EQ(fs::status(dir_ + "/versions.pb").permissions(), fs::perms(0600));
}

TEST_F(VersionFile, HasNoSecrets) {
  VersionState state;
  state.mutable_spec()->set_version_id("v1");
  state.mutable_spec()->mutable_freeze()->add_secrets()->set_name("key");
  (*state.mutable_secrets())["key"] = "the value of the secret";
  ASSERT_TRUE(SaveVersionFile(dir_ + "/versions.pb", {state}).ok());
  std::ifstream file(dir_ + "/versions.pb", std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  EXPECT_EQ(bytes.find("the value"), std::string::npos);
  const auto loaded = LoadVersionFile(dir_ + "/versions.pb");
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ((*loaded)[0].spec().freeze().secrets(0).name(), "key");
}

TEST_F(VersionFile, NoneIsEmptyAndADamagedOneIsSetAside) {
  EXPECT_TRUE(LoadVersionFile(dir_ + "/versions.pb")->empty());
  std::ofstream(dir_ + "/versions.pb") << "\x7fnot a message";
  EXPECT_TRUE(LoadVersionFile(dir_ + "/versions.pb")->empty());
  EXPECT_TRUE(fs::exists(dir_ + "/versions.pb.damaged"));
}

class VersionSaverTest : public DirTest {
 protected:
  void Learn(int versions) {
    states_.resize(static_cast<std::size_t>(versions));
    states_.back().mutable_spec()->set_version_id(absl::StrCat("v", versions));
    saver_.Changed();
  }
  std::string LastSaved() const {
    const auto loaded = LoadVersionFile(dir_ + "/versions.pb");
    return loaded.ok() && !loaded->empty() ? loaded->back().spec().version_id() : "none";
  }

  std::vector<VersionState> states_;
  // Called when a save has read the states, so that what happens in it is not in them.
  std::function<void()> in_save_;
  int saves_ = 0;
  testing::FakeExecutor executor_{false};
  VersionSaver saver_{dir_ + "/versions.pb",
                      [this] {
                        ++saves_;
                        const std::vector<VersionState> seen = states_;
                        if (auto hook = std::exchange(in_save_, nullptr)) hook();
                        return seen;
                      },
                      executor_, NullLogger()};
};

TEST_F(VersionSaverTest, AThousandChangesAreAFewSaves) {
  for (int i = 1; i <= 1000; ++i) Learn(i);
  EXPECT_EQ(executor_.RunAll(), 1);
  EXPECT_EQ(saves_, 1);
  EXPECT_EQ(LastSaved(), "v1000");
  Learn(1001);
  EXPECT_EQ(executor_.RunAll(), 1);
  EXPECT_EQ(LastSaved(), "v1001");
}

TEST_F(VersionSaverTest, WhatChangesDuringASaveIsSavedAfterIt) {
  in_save_ = [this] {
    for (int i = 2; i <= 500; ++i) Learn(i);
    EXPECT_EQ(LastSaved(), "none");
  };
  Learn(1);
  EXPECT_EQ(executor_.RunAll(), 2);
  EXPECT_EQ(saves_, 2);
  EXPECT_EQ(LastSaved(), "v500");
}

TEST_F(VersionSaverTest, TheLastSaveOfAnAgentHasAllThatWasStillQueued) {
  Learn(1);
  saver_.Save();
  EXPECT_EQ(LastSaved(), "v1");
}

TEST_F(LogReaderTest, TailThenOnlyWhatIsNewAcrossARotation) {
  fs::create_directories(dir_ + "/s1");
  const std::string path = dir_ + "/s1/function.log";
  {
    std::ofstream log(path);
    for (int i = 0; i < 5; ++i) log << "2026-01-01T00:00:0" << i << ".000Z i out line" << i << "\n";
  }
  LogReader reader(2);
  EXPECT_EQ(reader.ReadNew({dir_ + "/s1"}).size(), 2u);
  EXPECT_TRUE(reader.ReadNew({dir_ + "/s1"}).empty());
  std::ofstream(path, std::ios::app) << "2026-01-01T00:00:06.000Z i out before\n2026-01-01T00:00:07.000Z i out hal";
  auto lines = reader.ReadNew({dir_ + "/s1"});
  ASSERT_EQ(lines.size(), 1u) << "a line still being written waits";
  std::ofstream(path, std::ios::app) << "f\n";
  fs::rename(path, path + ".1");
  std::ofstream(path) << "2026-01-01T00:00:08.000Z i out after\n";
  lines = reader.ReadNew({dir_ + "/s1"});
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_NE(lines[0].find("half"), std::string::npos);
  EXPECT_NE(lines[1].find("after"), std::string::npos);
}

TEST_F(LogReaderTest, SlotsAreMergedByTime) {
  fs::create_directories(dir_ + "/s1");
  fs::create_directories(dir_ + "/s2");
  std::ofstream(dir_ + "/s1/function.log") << "2026-01-01T00:00:02.000Z i out second\n";
  std::ofstream(dir_ + "/s2/function.log") << "2026-01-01T00:00:01.000Z j out first\n";
  LogReader reader(10);
  const auto lines = reader.ReadNew({dir_ + "/s1", dir_ + "/s2", dir_ + "/gone"});
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_NE(lines[0].find("first"), std::string::npos);
}

TEST(AgentOptions, EachBadFlagIsNamed) {
  Options options;
  EXPECT_NE(options.Validate().message().find("--node-id"), absl::string_view::npos);
  options.node_id = "a";
  EXPECT_NE(options.Validate().message().find("--scheduler"), absl::string_view::npos);
  options.scheduler = "127.0.0.1:1";
  options.data_dir = "relative";
  EXPECT_NE(options.Validate().message().find("--data-dir"), absl::string_view::npos);
  options.data_dir = "/" + std::string(60, 'x');
  EXPECT_NE(options.Validate().message().find("--data-dir"), absl::string_view::npos);
  options.data_dir = "/x";
  EXPECT_NE(options.Validate().message().find("--init-binary"), absl::string_view::npos);
  options.init_binary = "/i";
  options.unused_image_time = -absl::Seconds(1);
  EXPECT_NE(options.Validate().message().find("--unused-image-time"), absl::string_view::npos);
  options.unused_image_time = absl::InfiniteDuration();
  EXPECT_TRUE(options.Validate().ok());
}

}  // namespace
}  // namespace thaw::agent
