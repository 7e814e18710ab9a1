#include "agent/init/process_table.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

namespace thaw::init {
namespace {

std::vector<pid_t> Pids(const std::vector<ProcessInfo>& processes) {
  std::vector<pid_t> result;
  for (const ProcessInfo& process : processes) result.push_back(process.pid);
  return result;
}

TEST(ProcStatTest, ANameWithParenthesesAndBlanksIsNoTrap) {
  const auto info = ParseProcStat("17 (a) R 1 (b) S 5 17 17 0");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->pid, 17);
  EXPECT_EQ(info->state, 'S');
  EXPECT_EQ(info->parent, 5);
}

TEST(ProcStatTest, ShortTextsAreRefused) {
  EXPECT_FALSE(ParseProcStat(""));
  EXPECT_FALSE(ParseProcStat("17"));
  EXPECT_FALSE(ParseProcStat("17 (x)"));
  EXPECT_FALSE(ParseProcStat("17 (x) S"));
  EXPECT_FALSE(ParseProcStat("x (x) S 1 "));
}

TEST(SelectFunctionProcessesTest, TheFunctionAndItsOrphansAreTaken) {
  const std::vector<ProcessInfo> all = {{1, 0, 'S'}, {10001, 1, 'S'}, {10002, 10001, 'S'}, {10003, 1, 'R'}};
  EXPECT_EQ(Pids(SelectFunctionProcesses(all, 1, {})), (std::vector<pid_t>{10001, 10002, 10003}));
}

TEST(SelectFunctionProcessesTest, ZombiesAreNot) {
  const std::vector<ProcessInfo> all = {{1, 0, 'S'}, {10001, 1, 'Z'}};
  EXPECT_TRUE(SelectFunctionProcesses(all, 1, {}).empty());
}

TEST(SelectFunctionProcessesTest, ProcessesFromOutsideAndTheirChildrenAreNot) {
  const std::vector<ProcessInfo> all = {{1, 0, 'S'}, {50, 0, 'S'}, {51, 50, 'S'}, {10001, 1, 'S'}};
  EXPECT_EQ(Pids(SelectFunctionProcesses(all, 1, {})), std::vector<pid_t>{10001});
}

TEST(SelectFunctionProcessesTest, HelpersAndTheirChildrenAreNot) {
  const std::vector<ProcessInfo> all = {{1, 0, 'S'}, {101, 1, 'S'}, {102, 101, 'S'}, {10001, 1, 'S'}};
  EXPECT_EQ(Pids(SelectFunctionProcesses(all, 1, {101})), std::vector<pid_t>{10001});
}

TEST(SelectFunctionProcessesTest, AParentThatIsGoneOrALoopEndsTheSearch) {
  const std::vector<ProcessInfo> all = {{1, 0, 'S'}, {20, 19, 'S'}, {30, 31, 'S'}, {31, 30, 'S'}};
  EXPECT_EQ(Pids(SelectFunctionProcesses(all, 1, {})), (std::vector<pid_t>{20, 30, 31}));
}

TEST(OomKillsTest, BothCgroupVersionsAreRead) {
  EXPECT_EQ(ParseOomKills("low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\n"), 1u);
  EXPECT_EQ(ParseOomKills("oom_kill_disable 0\nunder_oom 0\noom_kill 12"), 12u);
  EXPECT_EQ(ParseOomKills("oom_kill_disable 7\n"), 0u);
  EXPECT_EQ(ParseOomKills(""), 0u);
}

TEST(ProcessTableTest, ThisProcessIsListedAndHasMemory) {
  const auto pids = Pids(ListProcesses());
  EXPECT_NE(std::find(pids.begin(), pids.end(), ::getpid()), pids.end());
  EXPECT_GT(ResidentBytes(::getpid()), 100'000u);
  EXPECT_EQ(ResidentBytes(0x7ffffff0), 0u);
}

}  // namespace
}  // namespace thaw::init
