#ifndef THAW_GATEWAY_INVOKE_ADMISSION_H_
#define THAW_GATEWAY_INVOKE_ADMISSION_H_

#include <atomic>
#include <cstddef>

#include "absl/status/status.h"

namespace thaw::gateway {

// The gateway's bounds over all callers: how many calls are in flight, and how many bytes of their bodies are held in
// memory at once. Threads: any.
class Admission {
 public:
  Admission(int max_calls, std::size_t max_body_bytes) : max_calls_(max_calls), max_body_bytes_(max_body_bytes) {}

  // RESOURCE_EXHAUSTED (QUEUE_FULL, RetryInfo) at the limit; each OK is paired with one LeaveCall().
  absl::Status EnterCall();
  void LeaveCall() { calls_.fetch_sub(1, std::memory_order_relaxed); }

  // The same for bytes.
  absl::Status ReserveBytes(std::size_t bytes);
  void FreeBytes(std::size_t bytes) { bytes_.fetch_sub(bytes, std::memory_order_relaxed); }

  int calls() const { return calls_.load(std::memory_order_relaxed); }
  std::size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  const int max_calls_;
  const std::size_t max_body_bytes_;
  std::atomic<int> calls_{0};
  std::atomic<std::size_t> bytes_{0};
};

// Bytes reserved while it lives; grows with a body that comes in parts. One thread at a time; movable.
class BodyReservation {
 public:
  explicit BodyReservation(Admission& admission) : admission_(&admission) {}
  BodyReservation(BodyReservation&& other) noexcept;
  BodyReservation& operator=(BodyReservation&&) = delete;
  ~BodyReservation() { Reset(); }

  // Makes it `bytes` in all, if that is more than it has. As Admission::ReserveBytes.
  absl::Status GrowTo(std::size_t bytes);
  void Reset();

 private:
  Admission* admission_;
  std::size_t bytes_ = 0;
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_INVOKE_ADMISSION_H_
