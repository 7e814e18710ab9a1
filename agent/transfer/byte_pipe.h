#ifndef THAW_AGENT_TRANSFER_BYTE_PIPE_H_
#define THAW_AGENT_TRANSFER_BYTE_PIPE_H_

#include <cstddef>
#include <deque>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace thaw::agent {

// A bounded queue of parts of a byte stream between one producer and one consumer that blocks. The producer may block too
// (Write), or be a reactor that must not (Push and CallWhenRoom). Threads: one on each side.
class BytePipe {
 public:
  explicit BytePipe(std::size_t max_parts) : max_parts_(max_parts) {}

  // Producer. Blocks while the queue is full; the consumer's reason after Abandon, DEADLINE_EXCEEDED.
  absl::Status Write(std::string part, absl::Time deadline) ABSL_LOCKS_EXCLUDED(mu_);
  // Producer. Never blocks: may put one part above the bound, after which the producer calls CallWhenRoom.
  void Push(std::string part) ABSL_LOCKS_EXCLUDED(mu_);
  // Producer. True: there is room now. False: `room` is called once there is, on the consumer's thread.
  bool CallWhenRoom(absl::AnyInvocable<void()> room) ABSL_LOCKS_EXCLUDED(mu_);
  // Producer. Ends the stream, well or with an error; the first call counts.
  void Finish(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_);

  // Consumer. The next part, never empty; "" at a good end; the producer's error; DEADLINE_EXCEEDED.
  absl::StatusOr<std::string> Read(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mu_);
  // Consumer. Nothing more will be read: a blocked producer is released.
  void Abandon(absl::Status why) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const std::size_t max_parts_;
  absl::Mutex mu_;
  std::deque<std::string> parts_ ABSL_GUARDED_BY(mu_);
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status end_ ABSL_GUARDED_BY(mu_);
  bool abandoned_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status why_abandoned_ ABSL_GUARDED_BY(mu_);
  absl::AnyInvocable<void()> room_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_TRANSFER_BYTE_PIPE_H_
