#include "agent/instance/instance.h"

#include <cstdio>
#include <cstdlib>

namespace thaw::agent {

absl::string_view InstanceStateName(InstanceState state) {
  switch (state) {
    case InstanceState::kStarting: return "starting";
    case InstanceState::kIdle: return "idle";
    case InstanceState::kBusy: return "busy";
    case InstanceState::kCheckpointing: return "checkpointing";
    case InstanceState::kStopping: return "stopping";
    case InstanceState::kGone: return "gone";
  }
  return "unknown";
}

bool IsLegalTransition(InstanceState from, InstanceState to) {
  using State = InstanceState;
  switch (from) {
    case State::kStarting: return to == State::kIdle || to == State::kGone;
    case State::kIdle: return to == State::kBusy || to == State::kCheckpointing || to == State::kStopping;
    case State::kBusy: return to == State::kIdle || to == State::kStopping;
    case State::kCheckpointing: return to == State::kIdle || to == State::kStopping;
    case State::kStopping: return to == State::kGone;
    case State::kGone: return false;
  }
  return false;
}

void Instance::Transition(InstanceState to) {
  if (!IsLegalTransition(state_, to)) {
    std::fprintf(stderr, "instance %s: illegal transition %s -> %s\n", id_.c_str(),
                 std::string(InstanceStateName(state_)).c_str(), std::string(InstanceStateName(to)).c_str());
    std::abort();
  }
  state_ = to;
}

absl::string_view StartKindName(StartKind kind) {
  switch (kind) {
    case StartKind::kWarm: return "warm";
    case StartKind::kRestored: return "restored";
    case StartKind::kRestoredRemote: return "restored-remote";
    case StartKind::kCold: return "cold";
  }
  return "unknown";
}

}  // namespace thaw::agent
