#include "common/executor/finishes_within.h"

#include <memory>
#include <thread>
#include <utility>

#include "absl/synchronization/notification.h"

namespace thaw {

bool FinishesWithin(absl::Duration limit, absl::AnyInvocable<void()> work) {
  const auto ended = std::make_shared<absl::Notification>();
  std::thread thread([ended, work = std::move(work)]() mutable {
    work();
    // What it owns goes before its end is known.
    work = nullptr;
    ended->Notify();
  });
  if (ended->WaitForNotificationWithTimeout(limit)) {
    thread.join();
    return true;
  }
  thread.detach();
  return false;
}

}  // namespace thaw
