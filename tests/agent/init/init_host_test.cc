// thaw-init against a real Docker Engine and a real CRIU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "tests/agent/init/host_suite.h"
#include "tests/agent/init/slot_container.h"

namespace thaw::init {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::HasSubstr;

constexpr char kBaseImage[] = "debian:trixie-slim";
constexpr char kCriuImage[] = "thaw-init-test:criu";
constexpr char kHangingImage[] = "thaw-init-test:hanging-criu";

// `files`: names and contents of the build context.
bool BuildImage(const std::string& tag, const std::string& dockerfile,
                const std::map<std::string, std::string>& files = {}) {
  char name[] = "/tmp/thaw-init-image.XXXXXX";
  const std::string dir = ::mkdtemp(name);
  std::ofstream(dir + "/Dockerfile") << dockerfile;
  for (const auto& [file, content] : files) std::ofstream(dir + "/" + file) << content;
  const ShellResult built = Shell("DOCKER_BUILDKIT=0 docker build -t " + tag + " " + dir);
  fs::remove_all(dir);
  if (built.status != 0) ADD_FAILURE() << built.output;
  return built.status == 0;
}

class InitHostTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    missing_ = MissingFor(kBaseImage);
    if (!missing_.empty()) return;
    // The Java runtime image has all that is needed; where it is not built yet, a small image is made.
    if (HasImage(JavaRuntimeImage())) {
      image_ = JavaRuntimeImage();
    } else if (HasImage(kCriuImage) ||
               BuildImage(kCriuImage, std::string("FROM ") + kBaseImage +
                                          "\nRUN apt-get update -q && apt-get install -y -q --no-install-recommends "
                                          "criu && rm -rf /var/lib/apt/lists/*\n")) {
      image_ = kCriuImage;
    }
  }

  void SetUp() override {
    if (missing_.empty()) {
      ASSERT_NE(image_, "") << "no image with criu could be built";
      return;
    }
    FailOrSkipWithout(missing_);
  }

  std::unique_ptr<SlotContainer> MakeSlot(const std::string& image = image_, const std::string& more = "") {
    auto slot = std::make_unique<SlotContainer>(
        SlotContainer::Options{.image = image, .crac_dir = volume_.host_dir(), .more_arguments = more});
    EXPECT_EQ(slot->error(), "");
    return slot;
  }

  static std::string Privileges(const SlotContainer& slot, int pid) {
    return slot.Exec("grep -e ^Uid -e ^Gid -e ^Groups -e ^Cap -e ^NoNewPrivs -e ^Seccomp: /proc/" +
                     std::to_string(pid) + "/status").output;
  }

  // Names, sizes and times of all below a directory: equal when nothing was written.
  static std::string Fingerprint(const std::string& dir) {
    return Shell("find " + dir + " -printf \"%p %s %m %U %T@\\n\" | sort").output;
  }

  static Json ResetOrder() { return {{"op", "reset"}}; }

  CracVolume volume_;
  static inline std::string missing_;
  static inline std::string image_;
};

constexpr char kNoPrivileges[] =
    "Uid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\nGroups:\t \nCapInh:\t0000000000000000\n"
    "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n"
    "NoNewPrivs:\t1\nSeccomp:\t2\n";

TEST_F(InitHostTest, ADumpedFunctionGoesOnInAnotherContainer) {
  auto first = MakeSlot();
  const Json started = first->Start("i-1");
  ASSERT_TRUE(started.value("ok", false)) << started;
  const int pid = started["pid"];
  EXPECT_GT(pid, 10000);
  EXPECT_EQ(Privileges(*first, pid), kNoPrivileges);
  first->Ask("hello");
  const std::string before = first->Ask("hello");
  EXPECT_THAT(before, HasSubstr(std::to_string(pid) + " 2 "));
  EXPECT_THAT(before, HasSubstr(" mapped-text shared-text deleted-text"));

  const std::string dir = volume_.Make("snapshot");
  const Json dumped = Dump(*first, dir, /*leave_running=*/true);
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  EXPECT_GT(dumped.value("image_bytes", 0), 10'000);
  EXPECT_GT(dumped.value("frozen_ms", 0.0), 0.0);
  EXPECT_LT(dumped.value("frozen_ms", 0.0), dumped.value("duration_ms", 0.0));
  EXPECT_EQ(dumped.value("resume", "?"), "");
  // The original goes on where it was.
  std::string third = before;
  third.replace(third.find(" 2 "), 3, " 3 ");
  EXPECT_EQ(first->Ask("hello"), third);

  auto second = MakeSlot();
  const std::string untouched = Fingerprint(volume_.host_dir());
  const Json restored = second->Order(RestoreOrder(dir, dumped, "i-2"));
  ASSERT_TRUE(restored.value("ok", false)) << restored;
  EXPECT_EQ(restored["pid"], pid);
  EXPECT_GT(restored.value("duration_ms", 0.0), restored.value("criu_ms", 1e9) - 0.1);
  // Same process, count, token and files: those of the moment of the dump.
  EXPECT_EQ(second->Ask("hello"), third);
  EXPECT_EQ(Privileges(*second, pid), kNoPrivileges);
  EXPECT_EQ(Fingerprint(volume_.host_dir()), untouched) << "the restore has written into the snapshot";
  const Json status = second->Order({{"op", "status"}});
  EXPECT_EQ(status["state"], "running");
  EXPECT_EQ(status["instance"], "i-2");
  EXPECT_EQ(status["meta"], "m");
  EXPECT_GT(status.value("rss_bytes", 0), 0);
  // Its output goes to the new slot's log.
  EXPECT_EQ(second->Ask("say restored-words"), "ok");
  second->Order({{"op", "kill"}, {"signal", "TERM"}, {"grace_ms", 2000}});
  EXPECT_THAT(second->Log(), HasSubstr(" i-2 out restored-words\n"));
  EXPECT_THAT(first->Log(), HasSubstr(" i-1 out up\n"));
  EXPECT_THAT(first->Log(), HasSubstr(" i-1 err warned\n"));
}

TEST_F(InitHostTest, SnapshotsAreForRootOnly) {
  auto slot = MakeSlot();
  slot->Start("i-1");
  slot->Ask("hello");
  ASSERT_TRUE(Dump(*slot, volume_.Make("s"), true).value("ok", false));
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(volume_.host_dir() + "/s/images")) {
    struct stat info {};
    ASSERT_EQ(::stat(entry.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 077, 0u) << entry.path();
    EXPECT_EQ(info.st_uid, 0u) << entry.path();
  }
  for (const char* path : {"/cracdata", "/cracdata/s/images/inventory.img", "/run/thaw/ctl/init.sock",
                           "/run/thaw/ctl/function.log", "/run/thaw/work/criu.log"}) {
    EXPECT_EQ(slot->Ask(std::string("open ") + path), "Permission denied") << path;
  }
  EXPECT_EQ(slot->Ask("touch /run/thaw/fn/resume-x"), "Permission denied");
  EXPECT_EQ(slot->Ask("touch /etc/x"), "Read-only file system");
  EXPECT_EQ(slot->Ask("iouring"), "Function not implemented");
}

// Each line of a report of tests/functions/native/privilege_probe.h behind the status; what an attempt may end with.
void ExpectNothingSucceeds(const std::string& report) {
  std::istringstream lines(report.substr(std::min(report.size(), std::string(kNoPrivileges).size())));
  int refused = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line == "control: succeeded") continue;
    EXPECT_THAT(line, testing::AnyOf(testing::EndsWith(": EACCES"), testing::EndsWith(": EPERM"), testing::EndsWith(": EROFS"),
                                     testing::EndsWith(": ENOSYS"), testing::EndsWith(": EINVAL")));
    ++refused;
  }
  EXPECT_EQ(refused, 37);
}

TEST_F(InitHostTest, AFunctionHasNoPrivilegeBeforeAndAfterARestore) {
  auto first = MakeSlot();
  ASSERT_TRUE(first->Start("i-1").value("ok", false));
  const std::string before = first->Ask("privileges");
  EXPECT_THAT(before, testing::StartsWith(kNoPrivileges));
  EXPECT_THAT(before, HasSubstr("control: succeeded\n")) << "the probe can tell a success";
  ExpectNothingSucceeds(before);
  const Json dumped = Dump(*first, volume_.Make("snapshot"), /*leave_running=*/true);
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  EXPECT_EQ(first->Ask("privileges"), before) << "after its own dump";
  auto second = MakeSlot();
  const Json restored = second->Order(RestoreOrder("/cracdata/snapshot", dumped, "i-2"));
  ASSERT_TRUE(restored.value("ok", false)) << restored;
  EXPECT_EQ(second->Ask("privileges"), before) << "after a restore elsewhere";
}

TEST_F(InitHostTest, OneSlotServesManyRestores) {
  auto slot = MakeSlot();
  slot->Start("i-0");
  slot->Ask("hello");
  const std::string dir = volume_.Make("s");
  const Json dumped = Dump(*slot, dir, /*leave_running=*/false);
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  const Json ended = slot->WaitEvent("exit");
  EXPECT_TRUE(ended.value("dumped", false)) << ended;
  for (int round = 1; round <= 15; ++round) {
    ASSERT_TRUE(slot->Order(ResetOrder()).value("ok", false));
    const Json restored = slot->Order(RestoreOrder(dir, dumped, "i-" + std::to_string(round)));
    ASSERT_TRUE(restored.value("ok", false)) << "round " << round << ": " << restored;
    EXPECT_THAT(slot->Ask("hello"), HasSubstr(" 2 ")) << "round " << round;
    // Each second round ends it otherwise than by the reset.
    if (round % 2 == 0) slot->Order({{"op", "kill"}, {"signal", "TERM"}, {"grace_ms", 1000}});
  }
}

TEST_F(InitHostTest, ARestoredFunctionCanBeDumpedAgain) {
  auto slot = MakeSlot();
  slot->Start("i-1");
  slot->Ask("hello");
  std::string dir = volume_.Make("s0");
  Json dumped = Dump(*slot, dir, false);
  for (int round = 1; round <= 3; ++round) {
    ASSERT_TRUE(dumped.value("ok", false)) << dumped;
    slot->Order(ResetOrder());
    const Json restored = slot->Order(RestoreOrder(dir, dumped, "i"));
    ASSERT_TRUE(restored.value("ok", false)) << restored;
    // A process that the restored function makes must not sit on a low PID, where CRIU needs them.
    slot->Ask("linger");
    EXPECT_THAT(slot->Ask("hello"), HasSubstr(" " + std::to_string(round + 1) + " "));
    dir = volume_.Make("s" + std::to_string(round));
    dumped = Dump(*slot, dir, false);
  }
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
}

TEST_F(InitHostTest, ADumpThatCriuRefusesLeavesTheFunctionServing) {
  auto slot = MakeSlot();
  slot->Start("i-1");
  EXPECT_EQ(slot->Ask("tcp"), "ok");
  const std::string dir = volume_.Make("s");
  // Init's own look would refuse it before CRIU does.
  const Json refused = slot->Order(
      {{"op", "dump"}, {"dir", dir}, {"leave_running", false}, {"timeout_ms", 20000}, {"check", false}});
  EXPECT_FALSE(refused.value("ok", true));
  EXPECT_EQ(refused["code"], "FAILED_PRECONDITION") << refused["log"].get<std::string>();
  // What CRIU says depends on the kernel; the remedy is the same.
  EXPECT_THAT(refused["error"], testing::AnyOf(HasSubstr("Connected TCP socket"), HasSubstr("Can't get 1:16 opt")));
  EXPECT_THAT(refused["error"], testing::ContainsRegex("close .* before the checkpoint"));
  EXPECT_THAT(refused["log"], HasSubstr("Error"));
  EXPECT_TRUE(fs::is_empty(volume_.host_dir() + "/s"));
  EXPECT_THAT(slot->Ask("hello"), HasSubstr(" 1 "));
  EXPECT_EQ(slot->Order({{"op", "status"}})["state"], "running");
  // The same directory can be used again once the reason is gone.
  EXPECT_EQ(slot->Ask("notcp"), "ok");
  const Json dumped = Dump(*slot, dir, false);
  EXPECT_TRUE(dumped.value("ok", false)) << dumped;
}

TEST_F(InitHostTest, AFullDiskDuringADumpIsResourceExhausted) {
  SlotContainer slot({.image = image_, .crac_dir = "", .more_arguments = ""});
  ASSERT_EQ(slot.error(), "");
  slot.Start("i-1");
  slot.Ask("eat 8");
  ASSERT_EQ(slot.Exec("mkdir -m 700 /cracdata/s").status, 0);
  const Json refused = Dump(slot, "/cracdata/s", false);
  EXPECT_EQ(refused["code"], "RESOURCE_EXHAUSTED") << refused;
  EXPECT_EQ(slot.Exec("ls -A /cracdata/s").output, "");
  EXPECT_THAT(slot.Ask("hello"), HasSubstr(" 1 "));
}

TEST_F(InitHostTest, FilesThatDoNotFitAreResourceExhaustedToo) {
  SlotContainer slot({.image = image_, .crac_dir = "", .more_arguments = ""});
  ASSERT_EQ(slot.error(), "");
  slot.Start("i-1");
  slot.Ask("hello");
  // The images fit, the files do not.
  ASSERT_EQ(slot.Exec("mkdir -m 700 /cracdata/s; head -c 300000 /dev/urandom > /tmp/large").status, 0);
  const Json refused = Dump(slot, "/cracdata/s", false);
  EXPECT_EQ(refused["code"], "RESOURCE_EXHAUSTED") << refused;
  EXPECT_THAT(refused["error"], HasSubstr("/tmp/large"));
  EXPECT_THAT(slot.Ask("hello"), HasSubstr(" 2 "));
}

class HangingCriuTest : public InitHostTest {
 protected:
  void SetUp() override {
    InitHostTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    ASSERT_TRUE(BuildImage(kHangingImage,
                           std::string("FROM ") + kBaseImage + "\nCOPY criu /usr/sbin/criu\nRUN chmod 755 /usr/sbin/criu\n",
                           {{"criu",
                             "#!/bin/sh\ncase \"$1\" in\n--version) echo 'Version: 4.1.1';;\ncheck) ;;\n*) /bin/sleep 1000;;\n"
                             "esac\n"}}));
  }
};

TEST_F(HangingCriuTest, AHangingDumpEndsAtItsLimitAndLeavesTheFunctionServing) {
  auto slot = MakeSlot(kHangingImage);
  slot->Start("i-1");
  EXPECT_THAT(slot->Ask("hello"), HasSubstr(" 1 "));
  const std::string dir = volume_.Make("s");
  const int dump = slot->Send({{"op", "dump"}, {"dir", dir}, {"leave_running", false}, {"timeout_ms", 1500}});
  // Orders go on being answered meanwhile, and so does the function.
  EXPECT_EQ(slot->Order({{"op", "status"}})["state"], "dumping");
  EXPECT_THAT(slot->Ask("hello"), HasSubstr(" 2 "));
  const Json answer = slot->WaitAnswer(dump);
  EXPECT_EQ(answer["code"], "DEADLINE_EXCEEDED") << answer;
  EXPECT_THAT(slot->Ask("hello"), HasSubstr(" 3 "));
  EXPECT_EQ(slot->Exec("grep -l sleep /proc/[0-9]*/comm").output, "") << "criu's children are still there";
}

// `docker top` names the host's PID, where ioprio_get finds it.
TEST_F(HangingCriuTest, ADumpRunsAtTheLowestWeightAndTheFunctionDoesNot) {
  auto slot = MakeSlot(kHangingImage);
  slot->Start("i-1");
  slot->Ask("hello");
  const int dump =
      slot->Send({{"op", "dump"}, {"dir", volume_.Make("s")}, {"leave_running", true}, {"timeout_ms", 20000}});
  const auto weight = [&](const std::string& comm) {
    std::istringstream lines(Shell("docker top " + slot->name() + " -eo pid,ni,comm").output);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      int pid = 0;
      std::string nice, name;
      if (words >> pid >> nice >> name && name == comm) {
        return nice + " " + std::to_string(::syscall(SYS_ioprio_get, 1, pid) >> 13);
      }
    }
    return std::string("not there");
  };
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (weight("sleep") == "not there" && std::chrono::steady_clock::now() < limit) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(weight("sleep"), "19 3") << "nice 19, I/O class idle";
  EXPECT_THAT(weight("function"), testing::StartsWith("0 "));
  slot->Send({{"op", "kill"}, {"signal", "KILL"}});
  EXPECT_EQ(slot->WaitAnswer(dump, 5)["code"], "ABORTED");
}

TEST_F(HangingCriuTest, AHangingRestoreEndsAtItsLimitAndLeavesAnEmptySlot) {
  auto slot = MakeSlot(kHangingImage);
  volume_.Make("s");
  for (const char* part : {"images", "files", "files/tmp", "files/shm"}) volume_.Make(std::string("s/") + part);
  Json order = RestoreOrder("/cracdata/s", Json::object(), "i-1");
  order["timeout_ms"] = 1000;
  const int restore = slot->Send(order);
  const Json status = slot->Order({{"op", "status"}});
  EXPECT_EQ(status["state"], "restoring");
  EXPECT_EQ(status["instance"], "i-1");
  EXPECT_EQ(slot->WaitAnswer(restore)["code"], "DEADLINE_EXCEEDED");
  EXPECT_EQ(slot->Order({{"op", "status"}})["state"], "empty");
  EXPECT_TRUE(slot->Start("i-2").value("ok", false));
  EXPECT_THAT(slot->Ask("hello"), HasSubstr(" 1 "));
}

TEST_F(HangingCriuTest, AKillDuringADumpEndsBoth) {
  auto slot = MakeSlot(kHangingImage);
  slot->Start("i-1");
  slot->Ask("hello");
  const int dump =
      slot->Send({{"op", "dump"}, {"dir", volume_.Make("s")}, {"leave_running", true}, {"timeout_ms", 60000}});
  const int kill = slot->Send({{"op", "kill"}, {"signal", "KILL"}});
  EXPECT_EQ(slot->WaitAnswer(dump, 5)["code"], "ABORTED");
  EXPECT_TRUE(slot->WaitAnswer(kill, 5).value("ok", false));
  EXPECT_EQ(slot->WaitEvent("exit")["signal"], "SIGKILL");
  EXPECT_EQ(slot->Order({{"op", "status"}})["state"], "empty");
}

TEST_F(InitHostTest, ADumpCutShortLeavesAWholeFunctionOrNone) {
  auto slot = MakeSlot();
  int cut = 0;
  for (int limit_ms = 1; limit_ms <= 25; limit_ms += 3) {
    slot->Order(ResetOrder());
    ASSERT_TRUE(slot->Start("i-" + std::to_string(limit_ms)).value("ok", false));
    slot->Ask("hello");
    const std::string name = "s" + std::to_string(limit_ms);
    const Json answer = Dump(*slot, volume_.Make(name), true, limit_ms);
    if (!answer.value("ok", false)) {
      ++cut;
      EXPECT_EQ(answer["code"], "DEADLINE_EXCEEDED") << answer;
      EXPECT_TRUE(fs::is_empty(volume_.host_dir() + "/" + name));
      // One that CRIU had in its hands may carry half of CRIU's own code: it must not be left to serve.
      if (answer["error"].get<std::string>().find("was killed too") != std::string::npos) {
        // The resets of earlier rounds have made events of their own.
        Json event;
        do {
          event = slot->WaitEvent("exit", 5);
          ASSERT_FALSE(event.is_null()) << answer;
        } while (event["instance"] != "i-" + std::to_string(limit_ms));
        EXPECT_EQ(slot->Order({{"op", "status"}})["state"], "empty");
        continue;
      }
    }
    EXPECT_THAT(slot->Ask("hello", 5), HasSubstr(" 2 ")) << answer;
  }
  EXPECT_GT(cut, 0);
}

TEST_F(InitHostTest, ARestoreCutShortLeavesAnEmptySlotThatWorks) {
  auto slot = MakeSlot();
  slot->Start("i-0");
  slot->Ask("hello");
  const std::string dir = volume_.Make("s");
  const Json dumped = Dump(*slot, dir, false);
  int cut = 0;
  for (int limit_ms = 1; limit_ms <= 13; limit_ms += 2) {
    slot->Order(ResetOrder());
    Json order = RestoreOrder(dir, dumped, "i-1");
    order["timeout_ms"] = limit_ms;
    const Json answer = slot->Order(order);
    if (answer.value("ok", false)) continue;
    ++cut;
    EXPECT_EQ(answer["code"], "DEADLINE_EXCEEDED") << answer;
    EXPECT_EQ(slot->Order({{"op", "status"}})["state"], "empty");
    EXPECT_EQ(slot->Exec("grep -l -e function -e criu /proc/[0-9]*/comm").output, "");
  }
  EXPECT_GT(cut, 0);
  slot->Order(ResetOrder());
  EXPECT_TRUE(slot->Order(RestoreOrder(dir, dumped, "i-2")).value("ok", false));
  EXPECT_THAT(slot->Ask("hello"), HasSubstr(" 2 "));
}

TEST_F(InitHostTest, AnImageWithoutCriuStartsFunctionsButDumpsNone) {
  auto slot = MakeSlot(kBaseImage);
  EXPECT_EQ(slot->Order({{"op", "status"}})["criu"], "");
  EXPECT_TRUE(slot->Start("i-1").value("ok", false));
  EXPECT_THAT(slot->Ask("hello"), HasSubstr(" 1 "));
  const Json refused = Dump(*slot, volume_.Make("s"), false);
  EXPECT_EQ(refused["code"], "UNAVAILABLE");
  EXPECT_THAT(slot->Ask("hello"), HasSubstr(" 2 "));
}

TEST_F(InitHostTest, AFailedRestoreLeavesAnEmptySlotThatWorks) {
  auto slot = MakeSlot();
  slot->Start("i-1");
  slot->Ask("hello");
  const std::string dir = volume_.Make("s");
  const Json dumped = Dump(*slot, dir, false);
  slot->Order(ResetOrder());
  // A mapped file of the snapshot is lost.
  ASSERT_TRUE(fs::remove(volume_.host_dir() + "/s/files/tmp/mapped"));
  const Json failed = slot->Order(RestoreOrder(dir, dumped, "i-2"));
  EXPECT_EQ(failed["code"], "INTERNAL") << failed;
  EXPECT_THAT(failed["error"], HasSubstr("tmp/mapped"));
  EXPECT_EQ(slot->Order({{"op", "status"}})["state"], "empty");
  EXPECT_EQ(slot->Exec("find /tmp /dev/shm -mindepth 1 ! -path /tmp/iofs").output, "");
  EXPECT_TRUE(slot->Start("i-3").value("ok", false));
  EXPECT_THAT(slot->Ask("hello"), HasSubstr(" 1 "));
}

TEST_F(InitHostTest, KillTakesATreeThatIgnoresSignals) {
  auto slot = MakeSlot();
  slot->Start("i-1");
  slot->Ask("linger");
  slot->Ask("ignore");
  const auto begin = std::chrono::steady_clock::now();
  const Json answer = slot->Order({{"op", "kill"}, {"signal", "TERM"}, {"grace_ms", 300}});
  const auto taken = std::chrono::steady_clock::now() - begin;
  EXPECT_TRUE(answer.value("killed", false)) << answer;
  EXPECT_GE(taken, std::chrono::milliseconds(300));
  EXPECT_LT(taken, std::chrono::seconds(3));
  EXPECT_EQ(slot->WaitEvent("exit")["signal"], "SIGKILL");
  EXPECT_EQ(slot->Exec("grep -l function /proc/[0-9]*/comm").output, "");
}

TEST_F(InitHostTest, WhatLingersGoesWhenTheFirstProcessEnds) {
  auto slot = MakeSlot();
  slot->Start("i-1");
  slot->Ask("linger");
  slot->Ask("exit 7", 0.5);
  const Json event = slot->WaitEvent("exit");
  EXPECT_EQ(event["code"], 7);
  EXPECT_EQ(event["signal"], "");
  EXPECT_EQ(event["instance"], "i-1");
  EXPECT_FALSE(event.contains("oom"));
  EXPECT_EQ(slot->Exec("grep -l function /proc/[0-9]*/comm").output, "");
  EXPECT_EQ(slot->Order({{"op", "status"}})["state"], "empty");
}

TEST_F(InitHostTest, AnOomKillIsTold) {
  auto slot = MakeSlot(image_, "--memory 96m --memory-swap 96m");
  slot->Start("i-1");
  slot->Ask("eat 400", 3);
  const Json event = slot->WaitEvent("exit");
  EXPECT_EQ(event["signal"], "SIGKILL");
  EXPECT_TRUE(event.value("oom", false)) << event;
  // The next function's end is not taken for one.
  slot->Order(ResetOrder());
  slot->Start("i-2");
  slot->Ask("exit 1", 0.5);
  EXPECT_FALSE(slot->WaitEvent("exit").contains("oom"));
}

TEST_F(InitHostTest, AFunctionThatPrintsMegabytesFillsNoDiskAndBlocksNobody) {
  auto slot = MakeSlot();
  slot->Start("i-1");
  slot->Ask("hello");
  std::thread printing([&] { slot->Ask("print 30000000", 60); });
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(slot->Order({{"op", "status"}}).value("state", ""), "running");
  }
  printing.join();
  EXPECT_THAT(slot->Ask("say the-end"), "ok");
  slot->Order({{"op", "kill"}, {"signal", "TERM"}, {"grace_ms", 2000}});
  EXPECT_LE(slot->LogBytes(), 2u * 1024 * 1024);
  EXPECT_GT(slot->LogBytes(), 1024u * 1024);
  EXPECT_THAT(slot->Log(), HasSubstr(" out the-end\n"));
}

TEST_F(InitHostTest, ResetLeavesNothingOfTheFunctionBehind) {
  auto slot = MakeSlot();
  slot->Start("i-1");
  slot->Ask("hello");
  slot->Ask("touch /tmp/a");
  slot->Ask("touch /dev/shm/b");
  slot->Ask("touch /dev/mqueue/q");
  slot->Ask("touch /tmp/iofs/c");
  slot->Ask("linger");
  EXPECT_TRUE(slot->Order(ResetOrder()).value("ok", false));
  EXPECT_EQ(slot->Exec("find /tmp /dev/shm /dev/mqueue /run/thaw/fn /run/thaw/work -mindepth 1 ! -path /tmp/iofs ! -name request.sock").output, "");
  EXPECT_EQ(slot->Exec("grep -l function /proc/[0-9]*/comm").output, "");
  EXPECT_TRUE(slot->Start("i-2").value("ok", false));
  EXPECT_THAT(slot->Ask("hello"), HasSubstr(" 1 "));
  EXPECT_THAT(slot->Log(), HasSubstr(" i-1 out up\n"));
}

TEST_F(InitHostTest, OrdersThatDoNotFitAreRefusedWithAReason) {
  auto slot = MakeSlot();
  EXPECT_EQ(Dump(*slot, volume_.Make("s"), true)["code"], "FAILED_PRECONDITION");
  const Json no_snapshot = slot->Order(RestoreOrder("/cracdata/none", Json::object(), "i-1"));
  EXPECT_EQ(no_snapshot["code"], "NOT_FOUND");
  EXPECT_THAT(no_snapshot["error"], HasSubstr("/cracdata/none"));
  const Json no_program = slot->Start("i-1", {"/no/such/program"});
  EXPECT_EQ(no_program["code"], "NOT_FOUND");
  EXPECT_THAT(no_program["error"], HasSubstr("/no/such/program"));
  EXPECT_EQ(slot->Order({{"op", "fly"}})["code"], "INVALID_ARGUMENT");
  EXPECT_TRUE(slot->Start("i-2").value("ok", false));
  const Json second = slot->Start("i-3");
  EXPECT_EQ(second["code"], "FAILED_PRECONDITION");
  EXPECT_THAT(second["error"], HasSubstr("i-2"));
}

TEST_F(InitHostTest, AFunctionAsksForItsCheckpointAndWaitsForTheMarker) {
  auto first = MakeSlot();
  first->Start("i-1");
  first->Ask("hello");
  EXPECT_EQ(first->Ask("checkpoint"), "ok");
  const Json ready = first->WaitEvent("checkpoint_ready");
  EXPECT_EQ(ready["instance"], "i-1");
  EXPECT_TRUE(first->Order({{"op", "status"}}).value("waiting", false));
  const std::string dir = volume_.Make("s");
  const Json dumped = Dump(*first, dir, true);
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  EXPECT_THAT(dumped["resume"], HasSubstr("resume-"));
  EXPECT_EQ(first->Ask("hello", 0.2), "") << "it must wait for the marker";
  EXPECT_TRUE(first->Order({{"op", "resume"}}).value("ok", false));
  EXPECT_THAT(first->Ask("hello"), HasSubstr(" 2 "));
  EXPECT_FALSE(first->Order({{"op", "status"}}).value("waiting", true));

  auto second = MakeSlot();
  const Json restored = second->Order(RestoreOrder(dir, dumped, "i-2"));
  ASSERT_TRUE(restored.value("ok", false)) << restored;
  EXPECT_THAT(second->Ask("hello"), HasSubstr(" 2 "));
  EXPECT_THAT(second->Ask("wait"), HasSubstr(dumped["resume"].get<std::string>()));
  // A second request of the restored function gets a marker of its own.
  second->Ask("checkpoint");
  ASSERT_FALSE(second->WaitEvent("checkpoint_ready").is_null());
  second->Order({{"op", "resume"}});
  EXPECT_THAT(second->Ask("wait"), testing::Not(HasSubstr(dumped["resume"].get<std::string>())));
}

TEST_F(InitHostTest, RestoresOfOneSnapshotDrawDifferentRandomNumbers) {
  // bash draws SRANDOM from the C library, which on glibc 2.41 keeps state in a page that CRIU would copy.
  const std::vector<std::string> argv = {
      "/bin/bash", "-c",
      "exec 3<>/tmp/pipe; while true; do echo $SRANDOM; read -t 0.02 -u 3; done"};
  auto slot = MakeSlot();
  slot->Start("i-0", {"/bin/bash", "-c", "mkfifo /tmp/pipe; " + argv[2]});
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const std::string dir = volume_.Make("s");
  const Json dumped = Dump(*slot, dir, false);
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  std::set<std::string> drawn;
  for (int round = 1; round <= 3; ++round) {
    const std::string instance = "i-" + std::to_string(round);
    slot->Order(ResetOrder());
    const Json restored = slot->Order(RestoreOrder(dir, dumped, instance));
    ASSERT_TRUE(restored.value("ok", false)) << restored;
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    slot->Order(ResetOrder());
    std::istringstream log(slot->Log());
    size_t count = 0;
    for (std::string line; std::getline(log, line);) {
      const size_t at = line.find(" " + instance + " out ");
      if (at == std::string::npos) continue;
      ++count;
      EXPECT_TRUE(drawn.insert(line.substr(at + instance.size() + 6)).second) << "drawn twice: " << line;
    }
    EXPECT_GE(count, 5u) << slot->Log();
  }
}

TEST_F(InitHostTest, AFunctionThatWatchesItsFilesIsRestored) {
  auto slot = MakeSlot();
  slot->Start("i-1");
  ASSERT_EQ(slot->Ask("watch /tmp"), "ok");
  const std::string dir = volume_.Make("s");
  const Json dumped = Dump(*slot, dir, false);
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  slot->Order(ResetOrder());
  ASSERT_TRUE(slot->Order(RestoreOrder(dir, dumped, "i-2")).value("ok", false));
  EXPECT_EQ(slot->Ask("touch /tmp/new"), "ok");
  EXPECT_EQ(slot->Ask("watched"), "new");
}

TEST_F(InitHostTest, StoppingTheContainerEndsTheFunctionFirst) {
  auto slot = MakeSlot();
  slot->Start("i-1");
  slot->Ask("hello");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(Shell("docker stop " + slot->name()).status, 0);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
  EXPECT_EQ(Shell("docker inspect -f {{.State.ExitCode}} " + slot->name()).output, "0\n");
  EXPECT_THAT(slot->Log(), HasSubstr("ended code=143 signal=SIGTERM"));
}

TEST_F(InitHostTest, ACommandRunsWithoutASlotToo) {
  const std::string run = "docker run --rm -v " THAW_INIT_BINARY ":/thaw/init:ro --entrypoint /thaw/init ";
  const ShellResult plain = Shell(run + image_ + " -- sh -c \"grep -E ^Uid /proc/self/status; grep CapBnd /proc/self/status; exit 7\"");
  EXPECT_EQ(plain.status, 7);
  EXPECT_EQ(plain.output, "Uid:\t1000\t1000\t1000\t1000\nCapBnd:\t0000000000000000\n");
  // As Fn's server starts containers.
  const ShellResult as_fn =
      Shell("docker run --rm --user 1000:1000 --cap-drop ALL --security-opt no-new-privileges --read-only -v " THAW_INIT_BINARY
            ":/thaw/init:ro --entrypoint /thaw/init " + image_ + " -- sh -c \"kill -9 \\$\\$\"");
  EXPECT_EQ(as_fn.status, 137) << as_fn.output;
  EXPECT_EQ(Shell(run + image_ + " -- /no/such/program").status, 127);
}

TEST_F(InitHostTest, AJvmIsDumpedAndRestoredManyTimes) {
  if (image_ != JavaRuntimeImage()) {
    FailOrSkipWithout("the image " + JavaRuntimeImage());
    return;
  }
  const Json inspected = Json::parse(Shell("docker inspect " + JavaRuntimeImage()).output);
  auto argv = inspected[0]["Config"]["Entrypoint"].get<std::vector<std::string>>();
  ASSERT_EQ(argv[0], "/thaw/init");
  argv.erase(argv.begin(), argv.begin() + 2);
  // A method of the JDK is as good a function as any, and needs no compiler here.
  argv.push_back("java.lang.String::concat");
  auto first = MakeSlot();
  const Json started = first->Start("j-1", argv);
  ASSERT_TRUE(started.value("ok", false)) << started;
  ASSERT_THAT(first->Ask("GET /thaw/probe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r"), HasSubstr("200"));
  ASSERT_THAT(first->Ask("POST /thaw/checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r"), HasSubstr("200"));
  ASSERT_FALSE(first->WaitEvent("checkpoint_ready").is_null());
  const std::string dir = volume_.Make("s");
  const Json dumped = Dump(*first, dir, false);
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  std::printf("JVM: image_bytes=%ld dump=%.1f ms frozen=%.1f ms\n", dumped.value("image_bytes", 0L),
              dumped.value("duration_ms", 0.0), dumped.value("frozen_ms", 0.0));
  auto second = MakeSlot();
  for (int round = 0; round < 10; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    const Json restored = second->Order(RestoreOrder(dir, dumped, "j-2"));
    ASSERT_TRUE(restored.value("ok", false)) << restored;
    EXPECT_THAT(second->Ask("GET /thaw/probe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r"), HasSubstr("200"));
    const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - begin;
    std::printf("JVM: restore=%.1f ms criu=%.1f ms first answer=%.1f ms\n", restored.value("duration_ms", 0.0),
                restored.value("criu_ms", 0.0), taken.count());
    EXPECT_EQ(Privileges(*second, restored["pid"]), kNoPrivileges);
    ASSERT_TRUE(second->Order(ResetOrder()).value("ok", false));
  }
}

}  // namespace
}  // namespace thaw::init
