#include "agent/init/event_loop.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>

namespace thaw::init {

EventLoop::EventLoop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

void EventLoop::Watch(int fd, uint32_t epoll_events, FdCallback callback) {
  watched_[fd] = std::make_shared<FdCallback>(std::move(callback));
  epoll_event event{};
  event.events = epoll_events;
  event.data.fd = fd;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

void EventLoop::Change(int fd, uint32_t epoll_events) {
  epoll_event event{};
  event.events = epoll_events;
  event.data.fd = fd;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void EventLoop::Forget(int fd) {
  if (watched_.erase(fd) > 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

uint64_t EventLoop::After(std::chrono::milliseconds delay, TimerCallback callback) {
  const uint64_t timer = next_timer_++;
  timers_.emplace(std::pair(std::chrono::steady_clock::now() + delay, timer), std::move(callback));
  return timer;
}

void EventLoop::Cancel(uint64_t timer) {
  auto it = std::find_if(timers_.begin(), timers_.end(),
                         [timer](const auto& entry) { return entry.first.second == timer; });
  if (it != timers_.end()) timers_.erase(it);
}

void EventLoop::FireTimers() {
  const SteadyTime now = std::chrono::steady_clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    TimerCallback callback = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    callback();
  }
}

int EventLoop::MillisecondsToNextTimer() const {
  if (timers_.empty()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first -
                                                                 std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 60'000));
}

void EventLoop::Run() {
  std::array<epoll_event, 32> events;
  while (!stopped_) {
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), MillisecondsToNextTimer());
    for (int i = 0; i < count && !stopped_; ++i) {
      // Looked up anew for each event: an earlier callback of this round may have forgotten this descriptor.
      auto it = watched_.find(events[i].data.fd);
      if (it == watched_.end()) continue;
      const std::shared_ptr<FdCallback> callback = it->second;
      (*callback)(events[i].events);
    }
    if (!stopped_) FireTimers();
  }
}

}  // namespace thaw::init
