#ifndef THAW_CLI_INTERRUPT_H_
#define THAW_CLI_INTERRUPT_H_

#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace thaw::cli {

// Ctrl-C as a value, and the only way this program sleeps. Threads: any.
class Interrupt {
 public:
  virtual ~Interrupt() = default;
  // Whether the user wants out. False again once cleaning up has begun.
  virtual bool requested() const = 0;
  // Sleeps; returns false at once when the user wants out.
  virtual bool Sleep(absl::Duration duration) = 0;
  // From here on work is done to leave things as they were found: requested() is false and Sleep() sleeps.
  virtual void BeginCleanup() = 0;

  // CANCELLED when the user wants out.
  absl::Status Check() const { return requested() ? absl::CancelledError("interrupted") : absl::OkStatus(); }
};

// Waits for SIGINT, SIGTERM and SIGHUP on a thread of its own. The first one asks for the end; a second one
// ends the process at once with status 130.
class SignalInterrupt final : public Interrupt {
 public:
  // Call before any other thread starts: it blocks the signals in the calling thread, whose children inherit
  // that.
  SignalInterrupt();
  ~SignalInterrupt() override = default;

  // Called from the signal thread on the first signal, to unblock what waits (calls in flight, say). One at
  // most.
  void OnRequest(std::function<void()> action) ABSL_LOCKS_EXCLUDED(mu_);

  bool requested() const override ABSL_LOCKS_EXCLUDED(mu_);
  bool Sleep(absl::Duration duration) override ABSL_LOCKS_EXCLUDED(mu_);
  void BeginCleanup() override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Received();

  mutable absl::Mutex mu_;
  bool requested_ ABSL_GUARDED_BY(mu_) = false;
  bool cleaning_up_ ABSL_GUARDED_BY(mu_) = false;
  int received_ ABSL_GUARDED_BY(mu_) = 0;
  std::function<void()> action_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::cli

#endif  // THAW_CLI_INTERRUPT_H_
