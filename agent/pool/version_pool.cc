#include "agent/pool/version_pool.h"

#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "agent/container/slot_spec.h"
#include "agent/pool/stand_in.h"
#include "agent/pool/start_rule.h"
#include "agent/start/given.h"
#include "common/ids/ids.h"
#include "common/rpc/client.h"
#include "common/status/reasons.h"

namespace thaw::agent {
namespace {

using thaw::common::v1::CheckpointPolicy;

// How long a broken call waits for init to say how the process ended.
constexpr absl::Duration kExitNewsWait = absl::Milliseconds(200);
constexpr absl::Duration kResetLimit = absl::Seconds(10);
constexpr absl::Duration kSlotRetryPause = absl::Seconds(5);
// After an additional instance could not be started, how long those that serve are left to it.
constexpr absl::Duration kExtraStartPause = absl::Seconds(5);
constexpr double kMeanWeight = 0.2;

void Blend(absl::Duration& mean, absl::Duration seen) {
  mean = mean == absl::ZeroDuration() ? seen : mean * (1 - kMeanWeight) + seen * kMeanWeight;
}

bool IsAnswer(const absl::StatusOr<FunctionReply>& reply) {
  // fn-contract: 200, 502 (the function failed) and 504 (it timed out by its own account) leave the instance in service;
  // any other status means that it can't be trusted to go on.
  return reply.ok() && (reply->status == 200 || reply->status == 502 || reply->status == 504);
}

absl::Status Replaced(const VersionState& state) {
  return WithReason(absl::UnavailableError(absl::StrCat("version ", state.spec().version_id(), " of function ",
                                                        state.spec().function_name(), " has been replaced; ask again")),
                    reason::kVersionReplaced);
}

// What went wrong with a call, with the function's name, its limit where time was the matter, and where to look next.
absl::Status Named(const absl::Status& status, const thaw::common::v1::VersionSpec& spec) {
  const std::string limit = absl::IsDeadlineExceeded(status)
                                ? absl::StrCat(" (it has ", absl::FormatDuration(FromProto(spec.timeout())), " per call)")
                                : "";
  absl::Status named(status.code(), absl::StrCat("function ", spec.function_name(), ": ", status.message(), limit,
                                                 "; see what it wrote with `thaw logs`"));
  status.ForEachPayload([&named](absl::string_view url, const absl::Cord& payload) { named.SetPayload(url, payload); });
  return named;
}

absl::Status CallerGone() { return absl::CancelledError("the caller has gone; nothing was sent"); }

bool Cancelled(const Call& call) { return call.cancellation != nullptr && call.cancellation->cancelled(); }

AgentMetrics::InvocationOutcome OutcomeOf(const absl::StatusOr<FunctionReply>& reply) {
  using Outcome = AgentMetrics::InvocationOutcome;
  if (!reply.ok()) return absl::IsDeadlineExceeded(reply.status()) ? Outcome::kTimedOut : Outcome::kBroken;
  if (reply->status == 200) return Outcome::kOk;
  return reply->status == 504 ? Outcome::kTimedOut : reply->status == 502 ? Outcome::kFunctionFailed : Outcome::kBroken;
}

}  // namespace

std::shared_ptr<VersionPool> VersionPool::Create(VersionState state, const PoolOptions& options, const PoolDeps& deps) {
  return std::shared_ptr<VersionPool>(new VersionPool(std::move(state), options, deps));
}

VersionPool::VersionPool(VersionState state, const PoolOptions& options, const PoolDeps& deps)
    : options_(options),
      deps_(deps),
      state_(std::move(state)),
      mean_container_(options.assumed_container),
      mean_restore_(options.assumed_restore),
      mean_cold_start_(options.assumed_cold_start) {}

std::uint64_t VersionPool::memory_bytes() const { return SlotMemoryBytes(state_.spec().memory_mib()); }

VersionState VersionPool::state() const {
  absl::MutexLock lock(&mu_);
  return state_;
}

// ---------------------------------------------------------------- calls

void VersionPool::Invoke(Call call) {
  Actions actions;
  if (Cancelled(call)) {
    actions.Add([done = std::move(call.done)]() mutable { done(CallerGone()); });
    return;
  }
  absl::MutexLock lock(&mu_);
  if (retired_ || waiting_.size() >= options_.max_waiting_calls) {
    absl::Status refusal =
        retired_ ? Replaced(state_)
                 : WithRetryAfter(WithReason(absl::ResourceExhaustedError(absl::StrCat(
                                                 waiting_.size(), " calls already wait for function ",
                                                 state_.spec().function_name(), " on this node; try again later")),
                                             reason::kQueueFull),
                                  absl::Seconds(1));
    deps_.metrics.CountInvocation(StartKind::kWarm, AgentMetrics::InvocationOutcome::kRefused);
    actions.Add([done = std::move(call.done), refusal = std::move(refusal)]() mutable { done(std::move(refusal)); });
    return;
  }
  waiting_.push_back(Waiter{next_waiter_++, std::move(call), deps_.clock.Now()});
  Dispatch(actions);
  if (waiting_.empty()) return;
  Waiter& last = waiting_.back();
  if (last.expiry == 0) WatchWaiter(last, actions);
  ConsiderStart(actions);
  ArmReconsider();
}

void VersionPool::WatchWaiter(Waiter& waiter, Actions& actions) {
  waiter.expiry = deps_.timers.RunAfter(waiter.call.deadline - deps_.clock.Now(),
                                        [weak = weak_from_this(), id = waiter.id] {
                                          if (auto self = weak.lock()) self->OnWaiterExpired(id);
                                        });
  if (waiter.call.cancellation == nullptr) return;
  // Not under the lock: where the caller has gone since, the hook runs at once and takes it.
  actions.Add([weak = weak_from_this(), cancellation = waiter.call.cancellation, id = waiter.id] {
    cancellation->OnCancel([weak, id] {
      if (auto self = weak.lock()) self->OnWaiterCancelled(id);
    });
  });
}

void VersionPool::Dispatch(Actions& actions) {
  while (!waiting_.empty() && !idle_.empty()) {
    Waiter waiter = std::move(waiting_.front());
    waiting_.pop_front();
    if (waiter.expiry != 0) deps_.timers.Cancel(waiter.expiry);
    if (Cancelled(waiter.call)) {
      actions.Add([done = std::move(waiter.call.done)]() mutable { done(CallerGone()); });
      continue;
    }
    RunCall(TakeIdle(), std::move(waiter), actions);
  }
}

VersionPool::InstancePtr VersionPool::TakeIdle() {
  auto taken = std::find_if(idle_.rbegin(), idle_.rend(),
                            [](const InstancePtr& instance) { return !instance->checkpoint_granted; });
  if (taken == idle_.rend()) taken = idle_.rbegin();
  InstancePtr instance = std::move(*taken);
  idle_.erase(std::next(taken).base());
  return instance;
}

void VersionPool::RunCall(const InstancePtr& instance, Waiter waiter, Actions& actions) {
  const absl::Time now = deps_.clock.Now();
  if (instance->idle_timer != 0) deps_.timers.Cancel(std::exchange(instance->idle_timer, 0));
  instance->Transition(InstanceState::kBusy);
  instance->busy_since = now;
  ++calls_counted_;
  if (instance->checkpoint_granted) ++calls_helped_;
  StartRecord record = instance->start.value_or(StartRecord());
  instance->start.reset();
  const StartPhases& start = record.phases;
  record.phases.queue =
      std::max(absl::ZeroDuration(), now - waiter.since - start.container - start.fetch - start.restore);
  const absl::Time deadline = std::min(waiter.call.deadline, now + FromProto(state_.spec().timeout()));
  auto call = std::make_shared<Call>(std::move(waiter.call));
  actions.Add([self = shared_from_this(), instance, call, record = std::move(record), deadline]() mutable {
    FunctionRequest request = call->make_request(deadline);
    request.deadline = deadline;
    instance->connection->Call(std::move(request),
                               [self, instance, call, record](absl::StatusOr<FunctionReply> reply) mutable {
                                 self->OnReply(instance, std::move(call), std::move(record), std::move(reply));
                               });
  });
}

void VersionPool::OnReply(const InstancePtr& instance, std::shared_ptr<Call> call, StartRecord record,
                          absl::StatusOr<FunctionReply> reply) {
  Actions actions;
  absl::MutexLock lock(&mu_);
  const absl::Time now = deps_.clock.Now();
  record.phases.function = now - instance->busy_since;
  if (IsAnswer(reply)) {
    deps_.metrics.CountInvocation(record.kind, OutcomeOf(reply));
    if (record.kind != StartKind::kWarm) deps_.metrics.ObserveFirstResponse(record.phases.function);
    Blend(mean_call_, record.phases.function);
    ++instance->answered;
    if (instance->measure.has_value() && instance->measure->Add(record.phases.function)) ReportMeasure(instance, actions);
    instance->busy_since = absl::InfiniteFuture();
    CallResult result{*std::move(reply), std::move(record), instance->id()};
    // The answer goes out before anything else is begun with the instance.
    actions.Add([call, result = std::move(result)]() mutable { call->done(std::move(result)); });
    if (instance->exit.has_value() || retired_) {
      instance->Transition(InstanceState::kIdle);
      Stop(instance, actions);
      FinishRetirement(actions);
    } else {
      BecomeIdle(instance, actions);
    }
    return;
  }
  if (absl::IsUnavailable(reply.status()) && !WasSent(reply.status())) {
    // The instance was gone before the call reached it: the call is as good as new.
    Stop(instance, actions);
    waiting_.push_front(Waiter{next_waiter_++, std::move(*call), now});
    WatchWaiter(waiting_.front(), actions);
    if (retired_) {
      FailWaiters(Replaced(state_), actions);
    } else {
      Dispatch(actions);
      ConsiderStart(actions);
      ArmReconsider();
    }
    return;
  }
  deps_.metrics.CountInvocation(record.kind, OutcomeOf(reply));
  absl::Status broken;
  if (reply.ok()) {
    broken = MarkSent(WithReason(
        absl::InternalError(absl::StrCat("function ", state_.spec().function_name(), " answered with HTTP status ",
                                         reply->status, "; only 200, 502 and 504 are allowed")),
        reason::kFunctionBadAnswer, {{"status", absl::StrCat(reply->status)}}));
  } else {
    broken = Named(reply.status(), state_.spec());
  }
  if (instance->exit.has_value() || ReasonOf(broken) != reason::kFunctionExited) {
    broken = ExplainExit(*instance, broken);
    Stop(instance, actions);
    actions.Add([call, broken]() mutable { call->done(std::move(broken)); });
    Dispatch(actions);
    ConsiderStart(actions);
    return;
  }
  deps_.timers.RunAfter(kExitNewsWait, [self = shared_from_this(), instance, call, record, broken]() mutable {
    self->OnBroken(instance, std::move(call), record, std::move(broken));
  });
}

void VersionPool::OnBroken(const InstancePtr& instance, std::shared_ptr<Call> call, const StartRecord& record,
                           absl::Status status) {
  (void)record;
  Actions actions;
  absl::MutexLock lock(&mu_);
  status = ExplainExit(*instance, status);
  Stop(instance, actions);
  actions.Add([call, status]() mutable { call->done(std::move(status)); });
  Dispatch(actions);
  ConsiderStart(actions);
}

absl::Status VersionPool::ExplainExit(const Instance& instance, const absl::Status& status) const {
  if (!instance.exit.has_value() || ReasonOf(status) != reason::kFunctionExited) return status;
  const InitEvent& exit = *instance.exit;
  if (exit.out_of_memory) {
    return MarkSent(WithReason(
        absl::InternalError(absl::StrCat("function ", state_.spec().function_name(), " was killed for using more than its ",
                                         state_.spec().memory_mib(), " MiB of memory while it answered; give it more with "
                                         "`thaw functions update --memory`")),
        reason::kFunctionOutOfMemory, {{"memory_mib", absl::StrCat(state_.spec().memory_mib())}}));
  }
  const std::string how = exit.signal.empty() ? absl::StrCat("with code ", exit.code) : absl::StrCat("by ", exit.signal);
  return MarkSent(WithReason(absl::InternalError(absl::StrCat("function ", state_.spec().function_name(), " exited ", how,
                                                              " while it answered; see `thaw logs`")),
                             reason::kFunctionExited));
}

void VersionPool::OnWaiterExpired(std::uint64_t waiter_id) {
  Actions actions;
  absl::MutexLock lock(&mu_);
  const auto it = std::find_if(waiting_.begin(), waiting_.end(),
                               [waiter_id](const Waiter& waiter) { return waiter.id == waiter_id; });
  if (it == waiting_.end()) return;
  deps_.metrics.CountInvocation(StartKind::kWarm, AgentMetrics::InvocationOutcome::kTimedOut);
  actions.Add([done = std::move(it->call.done), name = state_.spec().function_name()]() mutable {
    done(WithReason(absl::DeadlineExceededError(absl::StrCat(
                        "no instance of function ", name, " was free before the call's deadline; nothing was sent")),
                    reason::kNoInstanceInTime));
  });
  waiting_.erase(it);
}

void VersionPool::OnWaiterCancelled(std::uint64_t waiter_id) {
  Actions actions;
  absl::MutexLock lock(&mu_);
  const auto it = std::find_if(waiting_.begin(), waiting_.end(),
                               [waiter_id](const Waiter& waiter) { return waiter.id == waiter_id; });
  if (it == waiting_.end()) return;
  if (it->expiry != 0) deps_.timers.Cancel(it->expiry);
  // With the whole call, whose request may be large; destroyed after the lock, as it may own anything.
  actions.Add([call = std::make_shared<Call>(std::move(it->call))] { call->done(CallerGone()); });
  waiting_.erase(it);
}

void VersionPool::FailWaiters(const absl::Status& status, Actions& actions) {
  for (Waiter& waiter : waiting_) {
    if (waiter.expiry != 0) deps_.timers.Cancel(waiter.expiry);
    deps_.metrics.CountInvocation(StartKind::kWarm, AgentMetrics::InvocationOutcome::kRefused);
    actions.Add([done = std::move(waiter.call.done), status]() mutable { done(status); });
  }
  waiting_.clear();
}

// ---------------------------------------------------------------- starting

void VersionPool::ConsiderStart(Actions& actions) {
  if (retired_) return;
  while (true) {
    StartRuleInput input;
    input.waiting = waiting_.size();
    input.max_instances = options_.max_instances_per_version;
    input.mean_call = mean_call_;
    input.expected_start = state_.has_snapshot() ? mean_restore_ : mean_cold_start_;
    if (empty_slots_.empty()) input.expected_start += mean_container_;
    for (const auto& [id, instance] : instances_) {
      // It takes no calls before it has been frozen.
      if (instance->reserved) continue;
      if (instance->state() == InstanceState::kStarting) ++input.starting;
      if (instance->state() == InstanceState::kIdle || instance->state() == InstanceState::kBusy ||
          instance->state() == InstanceState::kCheckpointing) {
        ++input.serving;
      }
      if (instance->state() == InstanceState::kBusy) {
        input.oldest_running = std::max(input.oldest_running, deps_.clock.Now() - instance->busy_since);
      }
    }
    if (!ShouldStartInstance(input)) return;
    if (input.serving + input.starting > 0 && deps_.clock.Now() < next_extra_start_) return;
    if (!StartOne(actions)) {
      // With others coming, the call's turn comes too; alone it needs room made.
      if (input.serving + input.starting == 0) actions.Add([self = shared_from_this()] { self->MakeRoomOrFail(); });
      return;
    }
  }
}

void VersionPool::MakeRoomOrFail() {
  std::string version;
  std::uint64_t bytes = 0;
  {
    absl::MutexLock lock(&mu_);
    version = state_.spec().version_id();
    bytes = memory_bytes();
  }
  // Not under the lock: it takes the other versions' locks. What it frees comes a moment later; the next
  // reconsideration finds it.
  if (deps_.events.MakeRoom(version, bytes)) return;
  Actions actions;
  absl::MutexLock lock(&mu_);
  if (!instances_.empty()) return;
  const std::uint64_t free = deps_.memory.total() - std::min(deps_.memory.total(), deps_.memory.reserved());
  FailWaiters(WithRetryAfter(WithReason(absl::ResourceExhaustedError(absl::StrCat(
                                            "no memory for function ", state_.spec().function_name(),
                                            " on this node: it needs ", state_.spec().memory_mib(), " MiB, ", free >> 20,
                                            " MiB are free; try again later, or add a node")),
                                        reason::kNoMemory),
                             absl::Seconds(1)),
              actions);
}

std::optional<std::string> VersionPool::StartOne(Actions& actions) {
  if (!deps_.memory.TryReserve(memory_bytes())) return std::nullopt;
  auto instance = std::make_shared<Instance>(NewHexId(8));
  instances_.emplace(instance->id(), instance);
  auto request = std::make_shared<StartRequest>();
  request->version = candidate_turn_.Next(state_);
  instance->snapshot_id = request->version.snapshot().id();
  request->replaced = [self = shared_from_this(), instance](const std::string& snapshot_id) {
    return self->Replacement(instance, snapshot_id);
  };
  request->instance_id = instance->id();
  request->awaits_freeze = AwaitsFreeze();
  instance->given_change = given_change_;
  request->call_deadline = waiting_.empty() ? absl::InfiniteFuture() : waiting_.front().call.deadline;
  if (!empty_slots_.empty()) {
    request->slot = std::move(empty_slots_.back());
    empty_slots_.pop_back();
  }
  actions.Add([self = shared_from_this(), instance, request] {
    const absl::Status queued = self->deps_.starts.Add([self, instance, request]() mutable {
      self->OnStarted(instance, self->deps_.starter.Start(std::move(*request)));
    });
    if (!queued.ok()) {
      self->OnStarted(instance, queued);
      if (request->slot != nullptr) self->AdoptSlot(std::move(request->slot));
    }
  });
  return instance->id();
}

std::optional<VersionState> VersionPool::Replacement(const InstancePtr& instance, const std::string& snapshot_id) {
  absl::MutexLock lock(&mu_);
  const bool stands = state_.snapshot().id() == snapshot_id ||
                      std::any_of(state_.candidates().begin(), state_.candidates().end(), [&](const auto& candidate) {
                        return candidate.snapshot().id() == snapshot_id;
                      });
  if (stands) return std::nullopt;
  VersionState newest = candidate_turn_.Next(state_);
  if (!newest.has_snapshot()) return std::nullopt;
  instance->snapshot_id = newest.snapshot().id();
  return newest;
}

void VersionPool::OnStarted(const InstancePtr& instance, absl::StatusOr<StartedInstance> started) {
  if (started.ok()) {
    // Not under the lock: the handler takes it.
    started->slot->init().SetEventHandler(
        [weak = weak_from_this(), id = instance->id()](const InitEvent& event) {
          if (auto self = weak.lock()) self->OnInitEvent(id, event);
        });
  }
  Actions actions;
  absl::MutexLock lock(&mu_);
  if (!started.ok()) {
    instance->Transition(InstanceState::kGone);
    instances_.erase(instance->id());
    deps_.memory.Release(memory_bytes());
    deps_.log->warn("event=start_failed version={} instance={} error=\"{}\"", state_.spec().version_id(), instance->id(),
                    started.status().ToString());
    if (instance->reserved) {
      FailFreezeJob(instance->id(), started.status(), actions);
      FinishRetirement(actions);
      return;
    }
    const bool others = std::any_of(instances_.begin(), instances_.end(), [](const auto& entry) {
      const InstanceState state = entry.second->state();
      return !entry.second->reserved && (state == InstanceState::kStarting || state == InstanceState::kIdle ||
                                         state == InstanceState::kBusy || state == InstanceState::kCheckpointing);
    });
    if (others) {
      // Those go on serving the queue, or have yet to say whether they can; the next attempt is not made at once.
      next_extra_start_ = deps_.clock.Now() + kExtraStartPause;
    } else {
      // Whoever waited while this start went wrong is told: trying again for each of them would take as long each time.
      FailWaiters(started.status(), actions);
    }
    FreezeGranted(actions);
    FinishRetirement(actions);
    return;
  }
  const StartPhases& phases = started->record.phases;
  if (phases.container > absl::ZeroDuration()) Blend(mean_container_, phases.container);
  Blend(started->record.kind == StartKind::kCold ? mean_cold_start_ : mean_restore_, phases.fetch + phases.restore);
  deps_.metrics.ObserveStart(started->record);
  deps_.log->info("event=started version={} instance={} slot={} kind={} container_ms={:.1f} fetch_ms={:.1f} restore_ms={:.1f}",
                  state_.spec().version_id(), instance->id(), started->slot->id(),
                  std::string(StartKindName(started->record.kind)), absl::ToDoubleMilliseconds(phases.container),
                  absl::ToDoubleMilliseconds(phases.fetch), absl::ToDoubleMilliseconds(phases.restore));
  instance->ctl_dir = started->slot->ctl_dir();
  instance->slot = std::move(started->slot);
  instance->connection = std::move(started->connection);
  if (started->record.kind != StartKind::kCold && state_.spec().checkpoint().mode() == CheckpointPolicy::MODE_LEARNED) {
    instance->measure.emplace(instance->snapshot_id, phases.restore);
  }
  instance->start = std::move(started->record);
  instance->answered = started->answered_before;
  instance->sealed = started->sealed;
  if (std::exchange(instance->wished_early, false)) OnCheckpointWished(instance, actions);
  if (instance->reserved) {
    instance->Transition(InstanceState::kIdle);
    if (!retired_) {
      Prime(instance, 0, actions);
      return;
    }
    FailFreezeJob(instance->id(), Replaced(state_), actions);
    Stop(instance, actions);
    FinishRetirement(actions);
    return;
  }
  BecomeIdle(instance, actions);
  GiveWhereDue(actions);
  if (retired_) {
    Stop(instance, actions);
    FinishRetirement(actions);
    return;
  }
  FreezeGranted(actions);
  PrepareSlots(actions);
}

void VersionPool::ArmReconsider() {
  if (reconsider_armed_ || waiting_.empty() || retired_) return;
  reconsider_armed_ = true;
  deps_.timers.RunAfter(options_.reconsider_interval, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (self == nullptr) return;
    Actions actions;
    absl::MutexLock lock(&self->mu_);
    self->reconsider_armed_ = false;
    self->Dispatch(actions);
    if (self->waiting_.empty()) return;
    self->ConsiderStart(actions);
    self->ArmReconsider();
  });
}

// ---------------------------------------------------------------- idling and stopping

void VersionPool::BecomeIdle(const InstancePtr& instance, Actions& actions) {
  instance->Transition(InstanceState::kIdle);
  instance->idle_since = deps_.clock.Now();
  if (instance->checkpoint_granted && !retired_ && !AwaitsStandIn(instance, actions)) {
    BeginCheckpoint(instance, actions);
    return;
  }
  idle_.push_back(instance);
  Dispatch(actions);
  if (instance->state() != InstanceState::kIdle) {
    MaybeAskForCheckpoint(instance, actions);
    return;
  }
  ArmIdleTimer(instance);
  MaybeAskForCheckpoint(instance, actions);
}

void VersionPool::OnIdleTimeout(const std::string& instance_id) {
  Actions actions;
  absl::MutexLock lock(&mu_);
  const auto it = instances_.find(instance_id);
  if (it == instances_.end()) return;
  const InstancePtr instance = it->second;
  const absl::Duration idle_timeout = FromProto(state_.spec().idle_timeout());
  // A timer that could not be cancelled in time may belong to an earlier rest.
  if (instance->state() != InstanceState::kIdle || deps_.clock.Now() - instance->idle_since < idle_timeout) return;
  if (checkpoint_instance_ == instance_id) {
    // The scheduler is being asked; the answer is on its way, and stopping now would waste a warm instance.
    instance->idle_since = deps_.clock.Now();
    ArmIdleTimer(instance);
    checkpoint_instance_.clear();
    return;
  }
  deps_.log->info("event=idle_timeout version={} instance={}", state_.spec().version_id(), instance_id);
  Stop(instance, actions);
}

bool VersionPool::EvictIdle() {
  Actions actions;
  absl::MutexLock lock(&mu_);
  if (idle_.empty()) return false;
  Stop(InstancePtr(idle_.front()), actions);
  return true;
}

absl::Time VersionPool::oldest_idle() const {
  absl::MutexLock lock(&mu_);
  return idle_.empty() ? absl::InfiniteFuture() : idle_.front()->idle_since;
}

void VersionPool::Stop(const InstancePtr& instance, Actions& actions) {
  if (instance->idle_timer != 0) deps_.timers.Cancel(std::exchange(instance->idle_timer, 0));
  idle_.erase(std::remove(idle_.begin(), idle_.end(), instance), idle_.end());
  ReportMeasure(instance, actions);
  if (checkpoint_instance_ == instance->id() && instance->state() != InstanceState::kCheckpointing) {
    checkpoint_instance_.clear();
    EndFreezeJob(instance->id(), absl::AbortedError("the instance ended before its checkpoint"), actions);
    if (instance->checkpoint_granted) {
      actions.Add([self = shared_from_this(), id = instance->id(), version = state_.spec().version_id()] {
        self->deps_.events.CheckpointFinished(version, id, absl::AbortedError("the instance ended before its checkpoint"));
      });
    }
  }
  instance->Transition(InstanceState::kStopping);
  actions.Add([self = shared_from_this(), instance] {
    const absl::Status queued = self->deps_.housekeeping.Add([self, instance] {
      std::unique_ptr<Slot> slot;
      {
        absl::MutexLock orders(&instance->orders_mu);
        slot = std::move(instance->slot);
      }
      instance->connection->Close();
      slot->init().SetEventHandler(nullptr);
      const absl::Status reset = slot->init().Reset(kResetLimit);
      if (reset.ok()) {
        self->OnStopped(instance, std::move(slot));
        return;
      }
      self->deps_.log->warn("event=slot_lost slot={} error=\"{}\"", slot->id(), reset.ToString());
      self->deps_.slots.Destroy(std::move(slot));
      self->OnStopped(instance, nullptr);
    });
    if (!queued.ok()) self->deps_.log->error("event=stop_not_queued instance={} error=\"{}\"", instance->id(), queued.ToString());
  });
}

void VersionPool::OnStopped(const InstancePtr& instance, std::unique_ptr<Slot> emptied) {
  Actions actions;
  absl::MutexLock lock(&mu_);
  instance->Transition(InstanceState::kGone);
  instances_.erase(instance->id());
  deps_.memory.Release(memory_bytes());
  if (emptied != nullptr) KeepEmpty(std::move(emptied), actions);
  Dispatch(actions);
  if (!waiting_.empty()) ConsiderStart(actions);
  PrepareSlots(actions);
  FinishRetirement(actions);
}

void VersionPool::OnInitEvent(const std::string& instance_id, const InitEvent& event) {
  if (event.kind == InitEvent::Kind::kCheckpointReady) return;  // The checkpointer listens for itself while it works.
  Actions actions;
  absl::MutexLock lock(&mu_);
  const auto it = instances_.find(instance_id);
  if (it == instances_.end()) return;
  const InstancePtr instance = it->second;
  if (event.kind == InitEvent::Kind::kCheckpointWished) {
    OnCheckpointWished(instance, actions);
    return;
  }
  instance->exit = event;
  if (event.kind == InitEvent::Kind::kDisconnected) instance->exit->signal = "the end of its container";
  if (instance->state() != InstanceState::kIdle) return;
  deps_.log->warn("event=idle_instance_exited version={} instance={} code={} signal={} oom={}", state_.spec().version_id(),
                  instance_id, event.code, event.signal, event.out_of_memory);
  Stop(instance, actions);
}

// ---------------------------------------------------------------- slots

void VersionPool::KeepEmpty(std::unique_ptr<Slot> slot, Actions& actions) {
  if (retired_) {
    Destroy(std::move(slot), actions);
    return;
  }
  empty_slots_.push_back(std::move(slot));
  if (empty_slots_.size() > state_.desired_slots()) {
    deps_.timers.RunAfter(options_.spare_slot_time, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->TrimSlots();
    });
  }
}

void VersionPool::TrimSlots() {
  Actions actions;
  absl::MutexLock lock(&mu_);
  // One a time: each spare slot has its own timer, and a slot that was used meanwhile brings a new one.
  if (empty_slots_.size() <= state_.desired_slots()) return;
  std::unique_ptr<Slot> oldest = std::move(empty_slots_.front());
  empty_slots_.erase(empty_slots_.begin());
  Destroy(std::move(oldest), actions);
}

void VersionPool::Destroy(std::unique_ptr<Slot> slot, Actions& actions) {
  ++jobs_;
  actions.Add([self = shared_from_this(), shared = std::make_shared<std::unique_ptr<Slot>>(std::move(slot))] {
    const absl::Status queued = self->deps_.housekeeping.Add([self, shared] {
      self->deps_.slots.Destroy(std::move(*shared));
      Actions later;
      absl::MutexLock lock(&self->mu_);
      --self->jobs_;
      self->FinishRetirement(later);
    });
    if (!queued.ok()) self->deps_.log->error("event=slot_removal_not_queued error=\"{}\"", queued.ToString());
  });
}

void VersionPool::PrepareSlots(Actions& actions) {
  if (retired_ || deps_.clock.Now() < no_slots_before_) return;
  while (empty_slots_.size() + slots_being_made_ < state_.desired_slots()) {
    ++slots_being_made_;
    ++jobs_;
    actions.Add([self = shared_from_this(), version = state_] {
      const absl::Status queued = self->deps_.starts.Add([self, version] {
        absl::StatusOr<std::unique_ptr<Slot>> slot =
            self->deps_.slots.Create(version, self->deps_.clock.Now() + self->options_.slot_time_limit);
        Actions later;
        absl::MutexLock lock(&self->mu_);
        --self->slots_being_made_;
        --self->jobs_;
        if (slot.ok()) {
          self->KeepEmpty(*std::move(slot), later);
        } else {
          // The next word from the scheduler, or the next start, asks again; not at once, or a broken engine would be
          // asked without end.
          self->no_slots_before_ = self->deps_.clock.Now() + kSlotRetryPause;
          self->deps_.log->warn("event=slot_not_made version={} error=\"{}\"", version.spec().version_id(),
                                slot.status().ToString());
        }
        self->FinishRetirement(later);
      });
      if (!queued.ok()) {
        absl::MutexLock lock(&self->mu_);
        --self->slots_being_made_;
        --self->jobs_;
      }
    });
  }
}

void VersionPool::Update(VersionState state) {
  Actions actions;
  absl::MutexLock lock(&mu_);
  if (retired_) return;
  if (!GivesTheSame(state_, state)) ++given_change_;
  state_ = std::move(state);
  GiveWhereDue(actions);
  PrepareSlots(actions);
  ConsiderFreezeNow(actions);
}

// ---------------------------------------------------------------- recovery, retirement, load

void VersionPool::AdoptInstance(std::string instance_id, std::unique_ptr<Slot> slot,
                                std::unique_ptr<FunctionConnection> connection, std::uint64_t answered,
                                bool sealed) {
  auto instance = std::make_shared<Instance>(std::move(instance_id));
  SlotInit& init = slot->init();
  {
    absl::MutexLock lock(&mu_);
    deps_.memory.Reserve(memory_bytes());
    instance->ctl_dir = slot->ctl_dir();
    instance->slot = std::move(slot);
    instance->connection = std::move(connection);
    instance->answered = answered;
    instance->sealed = sealed;
    instances_.emplace(instance->id(), instance);
  }
  // Between the two, as the handler takes the lock and finds the instance by its id; while it counts as
  // starting, nobody takes its slot away.
  init.SetEventHandler([weak = weak_from_this(), id = instance->id()](const InitEvent& event) {
    if (auto self = weak.lock()) self->OnInitEvent(id, event);
  });
  Actions actions;
  absl::MutexLock lock(&mu_);
  BecomeIdle(instance, actions);
}

void VersionPool::AdoptSlot(std::unique_ptr<Slot> slot) {
  Actions actions;
  absl::MutexLock lock(&mu_);
  KeepEmpty(std::move(slot), actions);
}

void VersionPool::Retire(absl::AnyInvocable<void()> drained) {
  Actions actions;
  absl::MutexLock lock(&mu_);
  if (retired_) return;
  retired_ = true;
  drained_ = std::move(drained);
  // What has been granted goes on to its end.
  if (freeze_job_.has_value() && freeze_job_->start && !freeze_job_->granted) {
    EndFreezeJob(std::string(freeze_job_->instance_id), Replaced(state_), actions);
  }
  FailWaiters(Replaced(state_), actions);
  const std::vector<InstancePtr> idle = idle_;
  for (const InstancePtr& instance : idle) Stop(instance, actions);
  for (std::unique_ptr<Slot>& slot : empty_slots_) Destroy(std::move(slot), actions);
  empty_slots_.clear();
  FinishRetirement(actions);
}

void VersionPool::FinishRetirement(Actions& actions) {
  if (!retired_ || !instances_.empty() || jobs_ > 0 || drained_ == nullptr) return;
  actions.Add(std::exchange(drained_, nullptr));
}

VersionLoad VersionPool::Load() const {
  absl::MutexLock lock(&mu_);
  VersionLoad load;
  load.instances = instances_.size();
  for (const auto& [id, instance] : instances_) {
    load.starting += instance->state() == InstanceState::kStarting;
    load.idle += instance->state() == InstanceState::kIdle;
    load.busy += instance->state() == InstanceState::kBusy;
    load.checkpointing += instance->state() == InstanceState::kCheckpointing;
  }
  load.empty_slots = empty_slots_.size();
  load.waiting = waiting_.size();
  return load;
}

std::vector<std::string> VersionPool::ControlDirs() const {
  absl::MutexLock lock(&mu_);
  std::vector<std::string> dirs;
  for (const auto& [id, instance] : instances_) {
    if (!instance->ctl_dir.empty()) dirs.push_back(instance->ctl_dir);
  }
  for (const auto& slot : empty_slots_) dirs.push_back(slot->ctl_dir());
  return dirs;
}

}  // namespace thaw::agent
