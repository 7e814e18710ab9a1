#include "agent/transfer/byte_pipe.h"

#include <utility>

namespace thaw::agent {

absl::Status BytePipe::Write(std::string part, absl::Time deadline) {
  if (part.empty()) return absl::OkStatus();
  absl::MutexLock lock(&mu_);
  auto room = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return abandoned_ || parts_.size() < max_parts_; };
  if (!mu_.AwaitWithDeadline(absl::Condition(&room), deadline)) {
    return absl::DeadlineExceededError("the stream's reader is too slow");
  }
  if (abandoned_) return why_abandoned_;
  parts_.push_back(std::move(part));
  return absl::OkStatus();
}

void BytePipe::Push(std::string part) {
  if (part.empty()) return;
  absl::MutexLock lock(&mu_);
  if (!abandoned_) parts_.push_back(std::move(part));
}

bool BytePipe::CallWhenRoom(absl::AnyInvocable<void()> room) {
  absl::MutexLock lock(&mu_);
  if (abandoned_ || parts_.size() < max_parts_) return true;
  room_ = std::move(room);
  return false;
}

void BytePipe::Finish(absl::Status status) {
  absl::MutexLock lock(&mu_);
  if (finished_) return;
  finished_ = true;
  end_ = std::move(status);
}

absl::StatusOr<std::string> BytePipe::Read(absl::Time deadline) {
  std::string part;
  absl::AnyInvocable<void()> room;
  {
    absl::MutexLock lock(&mu_);
    auto something = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return finished_ || !parts_.empty(); };
    if (!mu_.AwaitWithDeadline(absl::Condition(&something), deadline)) {
      return absl::DeadlineExceededError("the stream's writer is too slow");
    }
    // An error overtakes what is queued: nobody wants the rest of a broken stream.
    if (finished_ && !end_.ok()) return end_;
    if (parts_.empty()) return std::string();
    part = std::move(parts_.front());
    parts_.pop_front();
    if (room_ && parts_.size() < max_parts_) room = std::exchange(room_, nullptr);
  }
  if (room) room();
  return part;
}

void BytePipe::Abandon(absl::Status why) {
  absl::MutexLock lock(&mu_);
  if (abandoned_) return;
  abandoned_ = true;
  why_abandoned_ = std::move(why);
  parts_.clear();
  // Never called: its reactor is being finished by the consumer.
  room_ = nullptr;
}

}  // namespace thaw::agent
