#include "agent/uniqueness/cures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thaw::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using thaw::common::v1::FreezeSettings;

FreezeSettings Without(const std::vector<std::string>& names) {
  FreezeSettings settings;
  for (const std::string& name : names) settings.add_without_cures(name);
  return settings;
}

ProcessRandomness Node(const std::string& shim = "+-+-") {
  ProcessRandomness process;
  process.pid = 10001;
  process.program = "/usr/bin/node";
  process.has_openssl = process.has_node = true;
  process.shim = shim;
  return process;
}

ProcessRandomness Go(const std::string& version, int generators) {
  ProcessRandomness process;
  process.pid = 10001;
  process.program = "/func";
  process.is_static = true;
  process.go_version = version;
  process.go_generators = generators;
  return process;
}

TEST(CuresTest, AProgramThatKeepsNothingNeedsOnlyThePagesOfTheKernel) {
  ProcessRandomness process;
  process.is_static = true;
  const CureReport report = JudgeCures({process}, {}, false);
  EXPECT_THAT(report.cures, ElementsAre("droppable-pages"));
  EXPECT_THAT(report.uncured, IsEmpty());
  EXPECT_TRUE(MayFreeze(report, {}).ok());
}

TEST(CuresTest, ANodeWithShimAndHookIsCured) {
  const CureReport report = JudgeCures({Node()}, {}, false);
  EXPECT_THAT(report.cures, ElementsAre("droppable-pages", "node-math-random", "openssl"));
  EXPECT_THAT(report.uncured, IsEmpty());
}

TEST(CuresTest, ANodeWithoutTheHookIsNotFrozenUnlessThatIsAccepted) {
  const CureReport report = JudgeCures({Node("+-!-")}, {}, false);
  ASSERT_THAT(report.uncured, ElementsAre(HasSubstr("node-math-random: ")));
  EXPECT_THAT(report.uncured[0], HasSubstr("NODE_OPTIONS"));
  FreezeSettings settings;
  const absl::Status refused = MayFreeze(report, settings);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr("accept-uncured"));
  settings.set_accept_uncured(true);
  EXPECT_TRUE(MayFreeze(report, settings).ok());
}

TEST(CuresTest, AProcessWithoutTheShimIsUncured) {
  const CureReport report = JudgeCures({Node("")}, {}, false);
  EXPECT_THAT(report.uncured, ElementsAre(HasSubstr("LD_PRELOAD"), HasSubstr("LD_PRELOAD")));
}

TEST(CuresTest, AStaticProgramWithOpensslIsUncured) {
  ProcessRandomness process = Node("");
  process.is_static = true;
  process.has_node = false;
  EXPECT_THAT(JudgeCures({process}, {}, false).uncured, ElementsAre(HasSubstr("statically linked")));
}

TEST(CuresTest, AHiddenOpensslIsUncuredWhateverElseIsCured) {
  ProcessRandomness process = Node();
  process.hidden_openssl = {"/app/_rust.abi3.so"};
  const CureReport report = JudgeCures({process}, {}, false);
  EXPECT_THAT(report.cures, ElementsAre("droppable-pages", "node-math-random", "openssl"));
  EXPECT_THAT(report.uncured, ElementsAre(HasSubstr("/app/_rust.abi3.so")));
}

TEST(CuresTest, GosGeneratorsHaveToBeOfAKnownKindAndFound) {
  EXPECT_THAT(JudgeCures({Go("go1.24.4", 9)}, {}, false).cures, ElementsAre("droppable-pages", "go-random"));
  EXPECT_THAT(JudgeCures({Go("go1.22", 9)}, {}, false).uncured, IsEmpty());
  EXPECT_THAT(JudgeCures({Go("go1.21.13", 9)}, {}, false).uncured, ElementsAre(HasSubstr("go1.22 or newer")));
  EXPECT_THAT(JudgeCures({Go("go1", 9)}, {}, false).uncured, ElementsAre(HasSubstr("go1.22 or newer")));
  EXPECT_THAT(JudgeCures({Go("go1.24.4", 0)}, {}, false).uncured, ElementsAre(HasSubstr("no generator")));
}

TEST(CuresTest, OurFdkSeedsAJvmThatTheShimCanNot) {
  ProcessRandomness process;
  process.has_java = true;
  EXPECT_THAT(JudgeCures({process}, {}, true).cures, ElementsAre("droppable-pages", "java-random"));
  EXPECT_THAT(JudgeCures({process}, {}, false).uncured, ElementsAre(HasSubstr("java-random: ")));
}

TEST(CuresTest, ARuntimeThatNothingReachesIsSaid) {
  ProcessRandomness process;
  process.unreachable = {"ruby"};
  EXPECT_THAT(JudgeCures({process}, {}, false).uncured, ElementsAre(HasSubstr("ruby: ")));
}

TEST(CuresTest, WhatIsSwitchedOffIsNeitherCuredNorInTheWay) {
  const FreezeSettings settings = Without({"openssl", "node-math-random", "droppable-pages"});
  const CureReport report = JudgeCures({Node("----")}, settings, false);
  EXPECT_THAT(report.cures, IsEmpty());
  EXPECT_THAT(report.uncured, IsEmpty());
  EXPECT_THAT(report.switched_off, ElementsAre("droppable-pages", "node-math-random", "openssl"));
  EXPECT_THAT(WithoutCures(settings), ElementsAre("openssl", "node-math-random", "droppable-pages"));
}

TEST(CuresTest, TheEnvironmentKeepsWhatTheImageHas) {
  std::map<std::string, std::string> env = {{"LD_PRELOAD", "/lib/other.so"}, {"NODE_OPTIONS", "--max-old-space-size=99"}};
  AddCures({}, env);
  EXPECT_EQ(env["LD_PRELOAD"], "/lib/other.so:/thaw/preload/libthaw-unique.so");
  EXPECT_EQ(env["NODE_OPTIONS"], "--require /thaw/preload/node.js --max-old-space-size=99");
}

TEST(CuresTest, WithoutTheShimsCuresNothingIsPreloaded) {
  std::map<std::string, std::string> env;
  AddCures(Without({"openssl", "python-random", "node-math-random", "java-random"}), env);
  EXPECT_THAT(env, IsEmpty());
  AddCures(Without({"node-math-random"}), env);
  EXPECT_EQ(env.count("LD_PRELOAD"), 1u);
  EXPECT_EQ(env.count("NODE_OPTIONS"), 0u);
}

}  // namespace
}  // namespace thaw::agent
