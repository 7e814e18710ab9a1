#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <vector>

#include "absl/synchronization/notification.h"
#include "common/executor/finishes_within.h"
#include "common/executor/thread_pool.h"
#include "common/executor/timer_thread.h"
#include "tests/fakes/fake_clock.h"

namespace thaw {
namespace {

TEST(ThreadPool, RunsAllThatWasQueuedBeforeItsShutdown) {
  std::atomic<int> ran = 0;
  ThreadPool pool({.name = "test", .threads = 3, .max_queued = 1000});
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(pool.Add([&ran] { ++ran; }).ok());
  pool.Shutdown();
  EXPECT_EQ(ran, 500);
  EXPECT_TRUE(absl::IsUnavailable(pool.Add([] {})));
}

TEST(ThreadPool, CloseDropsWhatIsQueuedAndLeavesWhatRuns) {
  ThreadPool pool({.name = "test", .threads = 1, .max_queued = 1000});
  absl::Notification entered, go, ended;
  ASSERT_TRUE(pool.Add([&] {
                    entered.Notify();
                    go.WaitForNotification();
                    ended.Notify();
                  }).ok());
  entered.WaitForNotification();
  // Slow transfers, each of which would take as long as it may.
  std::atomic<int> ran = 0;
  auto owned = std::make_shared<int>(1);
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(pool.Add([&ran, owned] { ++ran; }).ok());
  pool.Close();
  EXPECT_EQ(owned.use_count(), 1) << "they are destroyed before it returns";
  EXPECT_TRUE(absl::IsUnavailable(pool.Add([] {})));
  EXPECT_FALSE(ended.HasBeenNotified());
  go.Notify();
  pool.Shutdown();
  EXPECT_TRUE(ended.HasBeenNotified());
  EXPECT_EQ(ran, 0);
}

TEST(FinishesWithin, ReturnsWhenTheWorkHasEndedOrCanBeWaitedForNoLonger) {
  bool ran = false;
  EXPECT_TRUE(FinishesWithin(absl::Seconds(20), [&ran] { ran = true; }));
  EXPECT_TRUE(ran);
  const auto go = std::make_shared<absl::Notification>();
  const auto ended = std::make_shared<absl::Notification>();
  EXPECT_FALSE(FinishesWithin(absl::Milliseconds(10), [go, ended] {
    go->WaitForNotification();
    ended->Notify();
  }));
  EXPECT_FALSE(ended->HasBeenNotified());
  go->Notify();
  ended->WaitForNotification();
}

TEST(ThreadPool, FullQueueRefusesAndDropsTheWork) {
  ThreadPool pool({.name = "test", .threads = 1, .max_queued = 2});
  absl::Notification entered, go;
  ASSERT_TRUE(pool.Add([&] {
                    entered.Notify();
                    go.WaitForNotification();
                  }).ok());
  entered.WaitForNotification();
  auto owned = std::make_shared<int>(1);
  EXPECT_TRUE(pool.Add([] {}).ok());
  EXPECT_TRUE(pool.Add([] {}).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(pool.Add([owned] {})));
  EXPECT_EQ(owned.use_count(), 1);
  go.Notify();
}

TEST(TimerThread, RunsInOrderOfTimeNotOfArrival) {
  TimerThread timers;
  std::vector<int> order;
  absl::Notification done;
  timers.RunAfter(absl::Milliseconds(20), [&] {
    order.push_back(2);
    done.Notify();
  });
  timers.RunAfter(absl::Milliseconds(5), [&] { order.push_back(1); });
  done.WaitForNotification();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(TimerThread, CancelledWorkNeverRuns) {
  TimerThread timers;
  auto owned = std::make_shared<int>(1);
  const Timers::Id id = timers.RunAfter(absl::Hours(1), [owned] {});
  EXPECT_TRUE(timers.Cancel(id));
  EXPECT_FALSE(timers.Cancel(id));
  EXPECT_EQ(owned.use_count(), 1);
}

TEST(TimerThread, StopDropsWhatWaitsAndWhatComesLater) {
  TimerThread timers;
  auto owned = std::make_shared<int>(1);
  timers.RunAfter(absl::Hours(1), [owned] {});
  timers.Stop();
  EXPECT_EQ(owned.use_count(), 1);
  EXPECT_EQ(timers.RunAfter(absl::ZeroDuration(), [owned] {}), 0u);
  EXPECT_EQ(owned.use_count(), 1);
}

TEST(FakeClock, RunsTimersAtTheirOwnTimes) {
  testing::FakeClock clock;
  const absl::Time begin = clock.Now();
  std::vector<absl::Duration> seen;
  clock.RunAfter(absl::Seconds(2), [&] { seen.push_back(clock.Now() - begin); });
  clock.RunAfter(absl::Seconds(1), [&] {
    seen.push_back(clock.Now() - begin);
    clock.RunAfter(absl::Seconds(3), [&] { seen.push_back(clock.Now() - begin); });
  });
  clock.Advance(absl::Seconds(10));
  EXPECT_EQ(seen, (std::vector<absl::Duration>{absl::Seconds(1), absl::Seconds(2), absl::Seconds(4)}));
}

}  // namespace
}  // namespace thaw
