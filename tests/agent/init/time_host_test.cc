// What a function's clocks do when it is frozen and goes on later, or on a host that was booted at another time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/agent/init/host_suite.h"

namespace thaw::init {
namespace {

using Json = nlohmann::json;

constexpr int64_t kSecond = 1'000'000'000;
constexpr long kTenDays = 10 * 24 * 3600;

struct Clocks {
  int64_t monotonic = 0;
  int64_t boottime = 0;
  int64_t realtime = 0;
};

Clocks ReadClocks(SlotContainer& slot) {
  Clocks clocks;
  std::istringstream(slot.Ask("clocks")) >> clocks.monotonic >> clocks.boottime >> clocks.realtime;
  return clocks;
}

struct Ticks {
  long count = -1;
  long steps_back = -1;
};

Ticks ReadTicks(SlotContainer& slot) {
  Ticks ticks;
  std::istringstream(slot.Ask("ticks")) >> ticks.count >> ticks.steps_back;
  return ticks;
}

// So far back that the host's own time since boot is not undercut.
long ShiftBack() {
  double up = 0;
  std::ifstream("/proc/uptime") >> up;
  return -static_cast<long>(up) / 2;
}

class TimeHostTest : public SlotSuite {
 protected:
  // Starts the function in one container, lets it tick, and dumps it.
  Json FreezeTicking(const std::string& dir, Clocks* clocks, Ticks* ticks) {
    auto first = MakeSlot();
    if (!first->Start("i-1").value("ok", false)) return nullptr;
    first->Ask("tick");
    std::this_thread::sleep_for(std::chrono::milliseconds(350));
    *clocks = ReadClocks(*first);
    *ticks = ReadTicks(*first);
    return Dump(*first, dir, false);
  }

  void ExpectToGoOnWhereItStood(SlotContainer& slot, const Clocks& before, const Ticks& ticks_before) {
    const Clocks after = ReadClocks(slot);
    const Ticks ticks = ReadTicks(slot);
    EXPECT_GE(after.monotonic, before.monotonic);
    EXPECT_LT(after.monotonic - before.monotonic, 20 * kSecond);
    EXPECT_GE(after.boottime, before.boottime);
    EXPECT_LT(after.boottime - before.boottime, 20 * kSecond);
    // The time of day is that of now.
    EXPECT_LT(std::abs(after.realtime - std::chrono::system_clock::now().time_since_epoch().count()), 5 * kSecond);
    EXPECT_EQ(ticks.steps_back, 0);
    // One tick per 100 ms that its clock has gone on, and one for what was due: no more.
    EXPECT_LE(ticks.count - ticks_before.count, (after.monotonic - before.monotonic) / (kSecond / 10) + 2);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    EXPECT_GT(ReadTicks(slot).count, ticks.count);
  }
};

TEST_F(TimeHostTest, TheShiftedContainerIsShifted) {
  auto here = MakeSlot();
  auto there = MakeSlot(kTenDays);
  ASSERT_TRUE(here->Start("i-1").value("ok", false));
  ASSERT_TRUE(there->Start("i-2").value("ok", false));
  const int64_t apart = ReadClocks(*there).monotonic - ReadClocks(*here).monotonic;
  EXPECT_NEAR(static_cast<double>(apart) / kSecond, kTenDays, 30);
}

TEST_F(TimeHostTest, AfterTenDaysFrozenTheMonotonicClockGoesOnWhereItStoodAndASchedulesFiresNoBurst) {
  Clocks clocks;
  Ticks ticks;
  const Json dumped = FreezeTicking(volume_.Make("snap"), &clocks, &ticks);
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  ASSERT_GE(ticks.count, 2);
  auto later = MakeSlot(kTenDays);
  const Json restored = later->Order(RestoreOrder("/cracdata/snap", dumped, "i-2"));
  ASSERT_TRUE(restored.value("ok", false)) << restored;
  ExpectToGoOnWhereItStood(*later, clocks, ticks);
}

TEST_F(TimeHostTest, OnAHostBootedLaterTheMonotonicClockDoesNotGoBack) {
  Clocks clocks;
  Ticks ticks;
  const Json dumped = FreezeTicking(volume_.Make("snap"), &clocks, &ticks);
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  auto younger = MakeSlot(ShiftBack());
  const Json restored = younger->Order(RestoreOrder("/cracdata/snap", dumped, "i-2"));
  ASSERT_TRUE(restored.value("ok", false)) << restored;
  ExpectToGoOnWhereItStood(*younger, clocks, ticks);
}

TEST_F(TimeHostTest, ARestoredFunctionThatIsFrozenAgainKeepsItsClock) {
  Clocks clocks;
  Ticks ticks;
  const Json dumped = FreezeTicking(volume_.Make("first"), &clocks, &ticks);
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  auto second = MakeSlot(kTenDays);
  ASSERT_TRUE(second->Order(RestoreOrder("/cracdata/first", dumped, "i-2")).value("ok", false));
  second->Ask("clocks");
  const Json again = Dump(*second, volume_.Make("second"), false);
  ASSERT_TRUE(again.value("ok", false)) << again;
  auto third = MakeSlot(ShiftBack());
  const Json restored = third->Order(RestoreOrder("/cracdata/second", again, "i-3"));
  ASSERT_TRUE(restored.value("ok", false)) << restored;
  ExpectToGoOnWhereItStood(*third, clocks, ticks);
}

// What the test function io.thaw.testfn.Schedules answers.
struct JavaClocks {
  long executor = -1;
  long timer = -1;
  int64_t nano = -1;
  int64_t now_ms = -1;
};

JavaClocks ReadJavaClocks(SlotContainer& slot) {
  const std::string answer = slot.Ask(
      "POST /call HTTP/1.1\r\nHost: x\r\nConnection: close\r\nFn-Call-Id: c\r\nFn-Deadline: 2100-01-01T00:00:00Z\r\n"
      "Content-Length: 0\r\n\r", 20);
  JavaClocks clocks;
  const size_t at = answer.find("executor=");
  EXPECT_NE(at, std::string::npos) << answer;
  if (at == std::string::npos) return clocks;
  std::sscanf(answer.c_str() + at, "executor=%ld timer=%ld nano=%ld now=%ld", &clocks.executor, &clocks.timer,
              &clocks.nano, &clocks.now_ms);
  return clocks;
}

int64_t NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

TEST_F(TimeHostTest, AJvmsSchedulesDoNotMakeUpForTheTimeFrozen) {
  const char* out = std::getenv("THAW_OUT");
  const std::string functions = std::string(out != nullptr ? out : THAW_OUT_DIR) + "/fdk/functions";
  const std::string mount = "-v " + functions + ":/function/app:ro ";
  auto argv = Json::parse(Shell("docker inspect " + Image()).output)[0]["Config"]["Entrypoint"].get<std::vector<std::string>>();
  argv.erase(argv.begin(), argv.begin() + 2);  // /thaw/init --
  argv.push_back("io.thaw.testfn.Schedules::handleRequest");
  auto first = MakeSlot(0, mount);
  const Json started = first->Start("j-1", argv);
  ASSERT_TRUE(started.value("ok", false)) << started;
  ReadJavaClocks(*first);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const JavaClocks before = ReadJavaClocks(*first);
  ASSERT_GE(before.executor, 3) << first->Log();
  ASSERT_GE(before.timer, 3);
  ASSERT_THAT(first->Ask("POST /thaw/checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r"),
              testing::HasSubstr("200"));
  ASSERT_FALSE(first->WaitEvent("checkpoint_ready").is_null());
  const Json dumped = Dump(*first, volume_.Make("snap"), false);
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  const int64_t frozen_ms = NowMs();
  // A Timer goes by the time of day, which nobody can shift for one container: these are 40 periods.
  std::this_thread::sleep_for(std::chrono::seconds(4));
  auto later = MakeSlot(kTenDays, mount);
  const int64_t thawed_ms = NowMs();
  const Json restored = later->Order(RestoreOrder("/cracdata/snap", dumped, "j-2"));
  ASSERT_TRUE(restored.value("ok", false)) << restored;
  const JavaClocks after = ReadJavaClocks(*later);
  const int64_t awake_ms = (frozen_ms - before.now_ms) + (NowMs() - thawed_ms);
  std::printf("JVM: awake=%ld ms, frozen=%ld ms; executor ran %ld times, timer %ld times\n", awake_ms,
              thawed_ms - frozen_ms, after.executor - before.executor, after.timer - before.timer);
  EXPECT_LE(after.executor - before.executor, awake_ms / 100 + 2);
  EXPECT_LE(after.timer - before.timer, awake_ms / 100 + 2);
  EXPECT_GE(after.nano, before.nano);
  EXPECT_LT(after.nano - before.nano, (awake_ms + 1000) * 1'000'000);
  EXPECT_LT(std::abs(after.now_ms - NowMs()), 5000);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const JavaClocks still = ReadJavaClocks(*later);
  EXPECT_GT(still.executor, after.executor);
  EXPECT_GT(still.timer, after.timer);
}

TEST_F(TimeHostTest, ADeadlineIsThatOfTheTimeOfDayAlsoAfterTenDays) {
  // What the gateway writes into Fn-Deadline is the time of day; the function compares it with its own.
  Clocks clocks;
  Ticks ticks;
  const Json dumped = FreezeTicking(volume_.Make("snap"), &clocks, &ticks);
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  auto later = MakeSlot(kTenDays);
  ASSERT_TRUE(later->Order(RestoreOrder("/cracdata/snap", dumped, "i-2")).value("ok", false));
  const int64_t deadline_ns = (NowMs() + 30'000) * 1'000'000;
  const int64_t left_ns = deadline_ns - ReadClocks(*later).realtime;
  EXPECT_GT(left_ns, 20 * kSecond);
  EXPECT_LE(left_ns, 30 * kSecond);
}

}  // namespace
}  // namespace thaw::init
