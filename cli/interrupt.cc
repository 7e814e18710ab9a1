#include "cli/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <thread>
#include <utility>

namespace thaw::cli {

SignalInterrupt::SignalInterrupt() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // Detached: it lives until the process ends, and main() keeps this object until then.
  std::thread([this, signals] {
    int signal = 0;
    while (sigwait(&signals, &signal) == 0) Received();
  }).detach();
}

void SignalInterrupt::Received() {
  std::function<void()> action;
  {
    absl::MutexLock lock(&mu_);
    if (++received_ > 1) {
      static constexpr char kMessage[] = "\nthaw: stopped before everything was put back\n";
      [[maybe_unused]] const auto written = write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
      _exit(130);
    }
    requested_ = true;
    if (!cleaning_up_) action = action_;
  }
  if (action) action();
}

void SignalInterrupt::OnRequest(std::function<void()> action) {
  absl::MutexLock lock(&mu_);
  action_ = std::move(action);
}

bool SignalInterrupt::requested() const {
  absl::MutexLock lock(&mu_);
  return requested_ && !cleaning_up_;
}

bool SignalInterrupt::Sleep(absl::Duration duration) {
  absl::MutexLock lock(&mu_);
  const auto wants_out = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return requested_ && !cleaning_up_; };
  return !mu_.AwaitWithTimeout(absl::Condition(&wants_out), duration);
}

void SignalInterrupt::BeginCleanup() {
  absl::MutexLock lock(&mu_);
  cleaning_up_ = true;
}

}  // namespace thaw::cli
