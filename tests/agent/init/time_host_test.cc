// What a function's clocks do when it is frozen and goes on later, or on a host that was booted at another time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
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

}  // namespace
}  // namespace thaw::init
