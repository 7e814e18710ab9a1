#include "gateway/invoke/admission.h"

#include <utility>

#include "common/status/status_macros.h"
#include "gateway/errors.h"

namespace thaw::gateway {

absl::Status Admission::EnterCall() {
  if (calls_.fetch_add(1, std::memory_order_relaxed) < max_calls_) return absl::OkStatus();
  LeaveCall();
  return TooManyCalls(max_calls_);
}

absl::Status Admission::ReserveBytes(std::size_t bytes) {
  if (bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= max_body_bytes_) return absl::OkStatus();
  FreeBytes(bytes);
  return TooManyBodyBytes(max_body_bytes_);
}

BodyReservation::BodyReservation(BodyReservation&& other) noexcept
    : admission_(other.admission_), bytes_(std::exchange(other.bytes_, 0)) {}

absl::Status BodyReservation::GrowTo(std::size_t bytes) {
  if (bytes <= bytes_) return absl::OkStatus();
  RETURN_IF_ERROR(admission_->ReserveBytes(bytes - bytes_));
  bytes_ = bytes;
  return absl::OkStatus();
}

void BodyReservation::Reset() { admission_->FreeBytes(std::exchange(bytes_, 0)); }

}  // namespace thaw::gateway
