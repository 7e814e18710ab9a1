#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/process/posix_runner.h"
#include "tests/cli/fakes.h"

namespace thaw::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ProcessTest : public ::testing::Test {
 protected:
  absl::StatusOr<ProcessResult> Shell(const std::string& script) {
    spec_.argv = {"sh", "-c", script};
    return runner_.Run(spec_);
  }

  thaw::testing::FakeClock clock_;
  testing::FakeInterrupt interrupt_{clock_};
  PosixProcessRunner runner_{interrupt_};
  ProcessSpec spec_{.argv = {},
                    .env = {},
                    .working_directory = "",
                    .timeout = absl::Seconds(20),
                    .cleanup = false,
                    .on_output = {},
                    .on_line = {}};
};

TEST_F(ProcessTest, GivesOutputAndExitCode) {
  const auto result = Shell("echo out; echo err >&2; exit 3");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(result->output, "out\n");
  EXPECT_EQ(result->error_output, "err\n");
}

TEST_F(ProcessTest, ArgumentsAreNoShellLines) {
  spec_.argv = {"printf", "%s", "$HOME; `id` \"x\""};
  EXPECT_EQ(runner_.Run(spec_)->output, "$HOME; `id` \"x\"");
}

TEST_F(ProcessTest, EnvironmentAndFolderAreItsOwn) {
  testing::TempDirectory directory;
  spec_.env = {{"THAW_NODE", "a"}};
  spec_.working_directory = directory.path();
  const auto result = Shell("echo $THAW_NODE; pwd");
  EXPECT_EQ(result->output, absl::StrCat("a\n", std::filesystem::canonical(directory.path()).string(), "\n"));
}

TEST_F(ProcessTest, StandardInputIsEmpty) { EXPECT_EQ(Shell("cat; echo end")->output, "end\n"); }

TEST_F(ProcessTest, MissingProgramIsNotFound) {
  spec_.argv = {"thaw-no-such-program"};
  EXPECT_EQ(runner_.Run(spec_).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ProcessTest, DeathBySignalIsItsExitCode) { EXPECT_EQ(Shell("kill -9 $$")->exit_code, 137); }

TEST_F(ProcessTest, SignalsAreNotBlockedInIt) {
  EXPECT_EQ(Shell("kill -TERM $$; echo lives")->exit_code, 143);
}

TEST_F(ProcessTest, PastItsTimeItIsKilledWithItsChildren) {
  testing::TempDirectory directory;
  spec_.timeout = absl::Milliseconds(300);
  const auto result = Shell(absl::StrCat("sleep 60 & echo $! > ", directory.path(), "/pid; wait"));
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
  spec_.timeout = absl::Seconds(20);
  // A zombie counts as gone: nobody may reap it in a container without an init.
  EXPECT_EQ(Shell(absl::StrCat("p=$(cat ", directory.path(),
                               "/pid); grep -qs 'State:.[^Z]' /proc/$p/status && echo lives || echo gone"))
                ->output,
            "gone\n");
}

TEST_F(ProcessTest, InterruptedItIsKilled) {
  interrupt_.interrupted = true;
  EXPECT_EQ(Shell("sleep 60").status().code(), absl::StatusCode::kCancelled);
}

TEST_F(ProcessTest, WhatPutsThingsRightRunsToItsEndThoughInterrupted) {
  interrupt_.interrupted = true;
  spec_.cleanup = true;
  EXPECT_EQ(Shell("sleep 0.3; echo done")->output, "done\n");
}

TEST_F(ProcessTest, LargeOutputIsStreamedWhole) {
  std::size_t bytes = 0;
  spec_.on_output = [&bytes](absl::string_view data) {
    bytes += data.size();
    return absl::OkStatus();
  };
  ASSERT_TRUE(Shell("head -c 20000000 /dev/zero").ok());
  EXPECT_EQ(bytes, 20'000'000u);
}

TEST_F(ProcessTest, SinkThatFailsEndsTheProgram) {
  spec_.on_output = [](absl::string_view) { return absl::ResourceExhaustedError("full"); };
  EXPECT_EQ(Shell("yes").status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(ProcessTest, LinesOfBothStreamsAreSeen) {
  std::vector<std::string> lines;
  spec_.on_line = [&lines](absl::string_view line) { lines.emplace_back(line); };
  ASSERT_TRUE(Shell("printf 'a\\rb\\n\\n'; printf 'c\\n' >&2").ok());
  std::sort(lines.begin(), lines.end());
  EXPECT_THAT(lines, ElementsAre("a", "b", "c"));
}

TEST_F(ProcessTest, ADaemonThatKeepsTheOutputOpenDoesNotHoldItUp) {
  const absl::Time before = absl::Now();
  const auto result = Shell("setsid sleep 30 & echo done");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, "done\n");
  EXPECT_LT(absl::Now() - before, absl::Seconds(15));
}

TEST(LastLines, SkipsEmptyOnes) {
  EXPECT_EQ(LastLines("a\n\nb\r\nc  \n\n", 2), "b\nc");
  EXPECT_EQ(LastLines("", 2), "");
}

}  // namespace
}  // namespace thaw::cli
