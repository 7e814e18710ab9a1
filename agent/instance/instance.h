#ifndef THAW_AGENT_INSTANCE_INSTANCE_H_
#define THAW_AGENT_INSTANCE_INSTANCE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "agent/instance/slot_init.h"
#include "agent/invoke/function_connection.h"
#include "agent/pool/freeze_rule.h"
#include "agent/pool/slot.h"
#include "agent/start/start_kind.h"
#include "common/executor/executor.h"

namespace thaw::agent {

// An instance's life:
//
//            ┌────────────► kGone ◄───────────┐  (start failed, or stopped)
//   kStarting ──► kIdle ◄──► kBusy ──► kStopping
//                  ▲ │ └───────────────────▲ ▲
//                  │ └► kCheckpointing ────┘ │  (idle timeout, eviction, retirement; a freeze that lost it)
//                  └────────┘                └─ (broken or timed-out call, exit)
enum class InstanceState { kStarting, kIdle, kBusy, kCheckpointing, kStopping, kGone };

absl::string_view InstanceStateName(InstanceState state);

// Whether the picture above has that arrow.
bool IsLegalTransition(InstanceState from, InstanceState to);

// One function process and its slot. Guarded by its pool's lock, but for `id` and what the pool hands out while the
// state (kBusy, kCheckpointing, kStopping) gives it to one piece of work.
class Instance {
 public:
  explicit Instance(std::string id) : id_(std::move(id)) {}

  const std::string& id() const { return id_; }
  InstanceState state() const { return state_; }
  // Stops the process on an illegal transition: that is a bug of ours, and going on would hand one instance to two
  // calls.
  void Transition(InstanceState to);

  std::unique_ptr<Slot> slot;
  std::unique_ptr<FunctionConnection> connection;
  // The slot's, readable when the slot itself is another thread's.
  std::string ctl_dir;
  // What it is restored from; empty for none.
  std::string snapshot_id;
  // Until the first call has taken it.
  std::optional<StartRecord> start;
  // Answered calls of this process, those before its freeze included.
  std::uint64_t answered = 0;
  absl::Time busy_since = absl::InfiniteFuture();
  absl::Time idle_since = absl::InfiniteFuture();
  Timers::Id idle_timer = 0;
  // The scheduler has allowed its checkpoint, which waits for the call under way.
  bool checkpoint_granted = false;
  // Started to be primed and frozen: gets no calls until then.
  bool reserved = false;
  absl::Time priming_until = absl::InfiniteFuture();
  // Of a restored instance of a version whose policy is to learn, until its first calls have been reported.
  std::optional<RestoreMeasure> measure;
  // Its own code has asked for a checkpoint and waits for the outcome.
  bool checkpoint_wished = false;
  // It did so while it was kStarting: looked at when it has started.
  bool wished_early = false;
  // Held over orders that overlap its life (SlotInit::Give) and while the slot is taken away from it; before the pool's lock.
  absl::Mutex orders_mu;
  // The pool's count of changed config and secrets that it has been, or is being, told of.
  std::uint64_t given_change = 0;
  // It has secrets that no snapshot may have.
  bool sealed = false;
  // Set when its process has ended.
  std::optional<InitEvent> exit;

 private:
  const std::string id_;
  InstanceState state_ = InstanceState::kStarting;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_INSTANCE_INSTANCE_H_
