#include "agent/init/unique_shim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace thaw::init {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(UniqueShimTest, CuresHaveTheNamesOfTheSettings) {
  for (const char* name :
       {"openssl", "python-random", "node-math-random", "java-random", "go-random", "droppable-pages"}) {
    const auto cure = ParseCure(name);
    ASSERT_TRUE(cure.has_value()) << name;
    EXPECT_STREQ(CureName(*cure), name);
  }
  EXPECT_FALSE(ParseCure("perl").has_value());
}

TEST(UniqueShimTest, AShimIsKnownByItsThreadsName) {
  const auto parsed = ParseShimName("thaw-u 02fa+-!-");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->first, 0x2fa);
  EXPECT_EQ(parsed->second, "+-!-");
  for (const char* other : {"", "node", "thaw-u", "thaw-u 02fa", "thaw-u 02fx+-!-", "thaw-u 02fa+-!?", "thaw-u 02fa+-!--"}) {
    EXPECT_FALSE(ParseShimName(other).has_value()) << other;
  }
}

TEST(UniqueShimTest, AProcessWithoutAShimIsLeftOut) { EXPECT_THAT(FindShims({::getpid(), 4'000'000}), IsEmpty()); }

TEST(UniqueShimTest, ARoundWithAProcessThatIsGoneEnds) {
  ShimRound round({{4'000'000, 4'000'000, "+---"}}, ShimRequest::kReseed, {});
  EXPECT_TRUE(round.Done());
  EXPECT_EQ(round.shims()[0].letters, "----");
  EXPECT_EQ(round.Pending(), "");
}

TEST(UniqueShimTest, APlanSurvivesItsFile) {
  UniquePlan plan;
  plan.without.Add(Cure::kOpenssl);
  plan.without.Add(Cure::kDroppablePages);
  plan.shims = {{10001, 10002, "+-+-"}, {10007, 10009, "----"}};
  plan.go_states = {{10001, 0xc000012340}};
  UniquePlan read;
  ASSERT_TRUE(UniquePlan::Parse(plan.ToText(), &read).ok());
  EXPECT_EQ(read.ToText(), plan.ToText());
  EXPECT_TRUE(read.without.Has(Cure::kDroppablePages));
  EXPECT_FALSE(read.without.Has(Cure::kGoRandom));
  EXPECT_EQ(read.go_states[0].address, 0xc000012340u);
}

TEST(UniqueShimTest, APlanOfAnotherInitIsRefused) {
  for (const char* text : {"without magic\n", "shim 1 2\n", "shim 1 2 ++\n", "go 1 xyz\n", "go 1\n", "nonsense\n"}) {
    UniquePlan plan;
    EXPECT_EQ(UniquePlan::Parse(text, &plan).code(), Code::kInternal) << text;
  }
  UniquePlan none;
  EXPECT_TRUE(UniquePlan::Parse("", &none).ok());
}

TEST(UniqueShimTest, WhatWasCuredBeforeHasToBeCuredAfter) {
  const std::vector<Shim> before = {{10, 11, "+-!-"}, {20, 21, "----"}};
  EXPECT_TRUE(CompareAnswers(before, {{10, 11, "+---"}, {20, 21, "----"}}).ok());
  EXPECT_TRUE(CompareAnswers(before, {{10, 11, "++!-"}}).ok());
  const Outcome failed = CompareAnswers(before, {{10, 11, "!---"}, {20, 21, "----"}});
  EXPECT_EQ(failed.code(), Code::kInternal);
  EXPECT_THAT(failed.message(), HasSubstr("openssl"));
  EXPECT_FALSE(CompareAnswers(before, {{20, 21, "----"}}).ok()) << "its process has no shim any more";
}

}  // namespace
}  // namespace thaw::init
