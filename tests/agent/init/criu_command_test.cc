#include "agent/init/criu_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace thaw::init {
namespace {

using testing::HasSubstr;

// As written by CRIU 4.1.1 for a function with an open TCP connection, uid 1000, no CAP_SYS_RESOURCE.
constexpr char kTcpLog[] =
    "(00.001043) Error (criu/util.c:1533): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted\n"
    "(00.006024) Warn  (criu/kerndat.c:1): something\n"
    "(00.010001) Error (criu/sk-inet.c:191): inet: Connected TCP socket, consider using --tcp-established option.\n"
    "(00.010008) Error (criu/cr-dump.c:1720): Dump core (pid: 10001) failed with -1\n"
    "(00.016293) Error (criu/cr-dump.c:2111): Dumping FAILED.\n";

TEST(ExplainCriuFailureTest, ConnectionThatWasNotAcceptedYet_IsNamedWithItsRemedy) {
  const Outcome outcome = ExplainCriuFailure("(00.01) Error (criu/sk-inet.c:240): inet: In-flight connection (l) for f9b0b\n",
                                             /*is_dump=*/true, "exit status 1");
  EXPECT_NE(outcome.message().find("In-flight connection"), std::string::npos) << outcome.message();
  EXPECT_NE(outcome.message().find("beforeCheckpoint"), std::string::npos) << outcome.message();
}

TEST(ExplainCriuFailureTest, TheReasonIsFoundAmongTheNoiseAndARemedyAdded) {
  const Outcome outcome = ExplainCriuFailure(kTcpLog, /*is_dump=*/true, "exit status 1");
  EXPECT_EQ(outcome.code(), Code::kFailedPrecondition);
  EXPECT_EQ(outcome.message(),
            "criu dump failed: inet: Connected TCP socket, consider using --tcp-established option. (close TCP "
            "connections before the checkpoint (beforeCheckpoint) and open them again after)");
}

TEST(ExplainCriuFailureTest, ErrorsOfRestoredProcessesCarryTheirPid) {
  const Outcome outcome = ExplainCriuFailure(
      "(00.02) 10001: Error (criu/files-reg.c:2269): Can't open file tmp/libx.so: No such file or directory\n"
      "(00.03) Error (criu/cr-restore.c:1): Restoring FAILED.\n",
      /*is_dump=*/false, "exit status 1");
  EXPECT_EQ(outcome.code(), Code::kInternal);
  EXPECT_THAT(outcome.message(), HasSubstr("criu restore failed: Can't open file tmp/libx.so"));
  EXPECT_THAT(outcome.message(), HasSubstr("only /tmp and /dev/shm travel with it"));
}

TEST(ExplainCriuFailureTest, AFullDiskIsResourceExhausted) {
  const Outcome outcome = ExplainCriuFailure(
      "(00.02) Error (criu/page-xfer.c:2): page-xfer: Unable to spice data: No space left on device\n",
      /*is_dump=*/true, "exit status 1");
  EXPECT_EQ(outcome.code(), Code::kResourceExhausted);
}

TEST(ExplainCriuFailureTest, WithoutAReasonTheEndIsTold) {
  const Outcome outcome = ExplainCriuFailure("", /*is_dump=*/true, "killed by signal 11");
  EXPECT_THAT(outcome.message(), HasSubstr("killed by signal 11"));
}

TEST(ExplainCriuFailureTest, AtMostThreeDistinctReasonsAreTold) {
  std::string log;
  for (int i = 0; i < 5; ++i) log += "(0) Error (a.c:1): same\n";
  for (int i = 0; i < 5; ++i) log += "(0) Error (a.c:1): reason " + std::to_string(i) + "\n";
  EXPECT_EQ(ExplainCriuFailure(log, true, "").message(), "criu dump failed: same; reason 0; reason 1");
}

TEST(LogTailTest, KeepsTheLastLines) {
  EXPECT_EQ(LogTail("a\nb\nc\n", 2), "b\nc");
  EXPECT_EQ(LogTail("a\nb", 5), "a\nb");
  EXPECT_EQ(LogTail("", 5), "");
  EXPECT_LE(LogTail(std::string(100'000, 'x')).size(), 4096u);
}

TEST(CriuVersionTest, IsTheSecondWord) {
  EXPECT_EQ(ParseCriuVersion("Version: 4.1.1\nGitID: v4.1.1\n"), "4.1.1");
  EXPECT_EQ(ParseCriuVersion("sh: criu: not found\n"), "");
}

TEST(CriuArgumentsTest, ARestoreNeverWorksInTheImagesDirectory) {
  const auto arguments = RestoreArguments({.criu = "/usr/sbin/criu",
                                           .images_dir = "/cracdata/s/images",
                                           .work_dir = "/run/thaw/work",
                                           .inherited = {{10, "pipe:[7]"}},
                                           .action_script = ""});
  const auto has = [&](const std::string& first, const std::string& second) {
    for (size_t i = 0; i + 1 < arguments.size(); ++i) {
      if (arguments[i] == first && arguments[i + 1] == second) return true;
    }
    return false;
  };
  EXPECT_TRUE(has("--work-dir", "/run/thaw/work"));
  EXPECT_TRUE(has("--images-dir", "/cracdata/s/images"));
  EXPECT_TRUE(has("--inherit-fd", "fd[10]:pipe:[7]"));
  EXPECT_THAT(arguments, testing::Contains("--restore-detached"));
  EXPECT_THAT(arguments, testing::Contains("--manage-cgroups=ignore"));
}

TEST(CriuArgumentsTest, AnImagesOwnOptionsAndPluginsAreNotTaken) {
  CriuDump dump;
  dump.criu = "/thaw/criu/criu";
  dump.work_dir = "/run/thaw/work";
  CriuRestore restore;
  restore.criu = dump.criu;
  restore.work_dir = dump.work_dir;
  for (const auto& arguments : {DumpArguments(dump), RestoreArguments(restore)}) {
    EXPECT_THAT(arguments, testing::Contains("--no-default-config"));
    const auto at = std::find(arguments.begin(), arguments.end(), "--libdir");
    ASSERT_NE(at, arguments.end());
    EXPECT_EQ(*(at + 1), "/run/thaw/work") << "a directory of init's own, not one of the image";
  }
}

TEST(CriuArgumentsTest, OnlyADumpThatIsToLeaveItRunningSaysSo) {
  CriuDump dump;
  dump.leave_running = true;
  EXPECT_THAT(DumpArguments(dump), testing::Contains("--leave-running"));
  dump.leave_running = false;
  EXPECT_THAT(DumpArguments(dump), testing::Not(testing::Contains("--leave-running")));
}

TEST(CriuStatsTest, FrozenTimeIsTheSecondFieldOfTheDumpPart) {
  // Two magics, a size, StatsEntry{dump{freezing_time=5, frozen_time=300}}.
  const std::string image("\1\2\3\4\5\6\7\10" "\7\0\0\0" "\x0a\x05\x08\x05\x10\xac\x02", 19);
  EXPECT_EQ(ParseFrozenMicroseconds(image), 300u);
}

TEST(CriuStatsTest, ACutImageIsZeroNotACrash) {
  const std::string image("\1\2\3\4\5\6\7\10" "\7\0\0\0" "\x0a\x05\x08\x05\x10\xac\x02", 19);
  for (size_t size = 0; size < image.size(); ++size) EXPECT_EQ(ParseFrozenMicroseconds(image.substr(0, size)), 0u);
}

}  // namespace
}  // namespace thaw::init
