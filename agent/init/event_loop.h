#ifndef THAW_AGENT_INIT_EVENT_LOOP_H_
#define THAW_AGENT_INIT_EVENT_LOOP_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "agent/init/unique_fd.h"

namespace thaw::init {

using SteadyTime = std::chrono::steady_clock::time_point;

// One thread's epoll loop with timers. All callbacks run in Run(); none may block.
//
// Threads: thaw-init has exactly one.
class EventLoop {
 public:
  using FdCallback = std::function<void(uint32_t epoll_events)>;
  using TimerCallback = std::function<void()>;

  EventLoop();

  // Calls `callback` whenever `fd` is in one of the states `epoll_events`. The caller keeps owning `fd` and
  // calls Forget() before closing it. A callback may forget its own or any other descriptor.
  void Watch(int fd, uint32_t epoll_events, FdCallback callback);
  // Replaces the states waited for.
  void Change(int fd, uint32_t epoll_events);
  void Forget(int fd);

  // Calls `callback` once, `delay` from now. The returned number is never 0 and never used again.
  uint64_t After(std::chrono::milliseconds delay, TimerCallback callback);
  // Forgets a timer; one that has fired or 0 is ignored.
  void Cancel(uint64_t timer);

  // Runs until Stop().
  void Run();
  void Stop() { stopped_ = true; }

 private:
  void FireTimers();
  int MillisecondsToNextTimer() const;

  UniqueFd epoll_;
  bool stopped_ = false;
  uint64_t next_timer_ = 1;
  // Shared, so that a callback which forgets itself does not destroy the function it runs in.
  std::map<int, std::shared_ptr<FdCallback>> watched_;
  std::map<std::pair<SteadyTime, uint64_t>, TimerCallback> timers_;
};

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_EVENT_LOOP_H_
