// From an instance that is warm enough to a published snapshot.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/pool/stand_in.h"
#include "agent/pool/version_pool.h"
#include "common/status/reasons.h"

namespace thaw::agent {

void VersionPool::MaybeAskForCheckpoint(const InstancePtr& instance, Actions& actions) {
  if (instance->sealed || !checkpoint_instance_.empty() || deps_.clock.Now() < no_checkpoint_before_ ||
      !WantsFreezing(state_, instance->answered)) {
    return;
  }
  checkpoint_instance_ = instance->id();
  actions.Add([self = shared_from_this(), version = state_.spec().version_id(), id = instance->id(),
               answered = instance->answered] { self->deps_.events.WantsCheckpoint(version, id, answered, false); });
}

void VersionPool::OnCheckpointGrant(const std::string& instance_id, bool granted, absl::Duration retry_after,
                                    absl::string_view reason) {
  Actions actions;
  absl::MutexLock lock(&mu_);
  if (OnFreezeJobGrant(instance_id, granted, reason, actions)) return;
  const auto it = instances_.find(instance_id);
  const bool there = it != instances_.end() && it->second->state() != InstanceState::kStopping &&
                     it->second->state() != InstanceState::kGone && checkpoint_instance_ == instance_id && !retired_;
  if (!granted) {
    if (checkpoint_instance_ == instance_id) checkpoint_instance_.clear();
    if (it != instances_.end()) {
      RefuseWish(it->second,
                 absl::StrCat("the cluster does not want one of this function now", reason.empty() ? "" : ": ", reason), actions);
    }
    no_checkpoint_before_ =
        retry_after == absl::ZeroDuration() ? absl::InfiniteFuture() : deps_.clock.Now() + retry_after;
    ConsiderFreezeNow(actions);
    GiveWhereDue(actions);
    return;
  }
  if (!there) {
    EndFreezeJob(instance_id, absl::AbortedError("the instance ended before its checkpoint"), actions);
    actions.Add([self = shared_from_this(), version = state_.spec().version_id(), instance_id] {
      self->deps_.events.CheckpointFinished(version, instance_id,
                                            absl::AbortedError("the instance ended before its checkpoint"));
    });
    return;
  }
  const InstancePtr instance = it->second;
  if (instance->checkpoint_granted || instance->state() == InstanceState::kCheckpointing) return;
  instance->checkpoint_granted = true;
  freeze_granted_ = deps_.clock.Now();
  CountCallsAnew();
  stand_in_.clear();
  if (instance->state() == InstanceState::kIdle && !AwaitsStandIn(instance, actions)) BeginCheckpoint(instance, actions);
}

void VersionPool::ForgetCheckpointRequest() {
  Actions actions;
  absl::MutexLock lock(&mu_);
  if (freeze_job_.has_value() && freeze_job_->start && !freeze_job_->granted) {
    checkpoint_instance_.clear();
    EndFreezeJob(std::string(freeze_job_->instance_id),
                 WithReason(absl::UnavailableError("the scheduler went away before it answered; ask again"),
                            reason::kCheckpointRefused),
                 actions);
    return;
  }
  const auto it = instances_.find(checkpoint_instance_);
  if (it == instances_.end()) return;
  // What was granted goes on: its result is told to the new stream.
  if (it->second->checkpoint_granted || it->second->state() == InstanceState::kCheckpointing) return;
  EndFreezeJob(checkpoint_instance_,
               WithReason(absl::UnavailableError("the scheduler went away before it answered; ask again"),
                          reason::kCheckpointRefused),
               actions);
  checkpoint_instance_.clear();
}

bool VersionPool::AwaitsStandIn(const InstancePtr& instance, Actions& actions) {
  StandInInput input;
  input.has_snapshot = state_.has_snapshot();
  const absl::Time now = deps_.clock.Now();
  input.since_last_call = now - instance->idle_since;
  input.since_granted = now - freeze_granted_;
  input.counted_for = now - counting_since_;
  input.calls = calls_counted_;
  input.helped = calls_helped_;
  if (!stand_in_.empty()) input.since_asked = now - stand_in_asked_;
  for (const auto& [id, other] : instances_) {
    if (id == instance->id() || other->reserved) continue;
    if (other->state() == InstanceState::kIdle || other->state() == InstanceState::kBusy) ++input.others_serving;
    if (id == stand_in_ && other->state() == InstanceState::kStarting) input.starting = true;
  }
  const StandIn decision = DecideStandIn(input);
  if (decision == StandIn::kNotNeeded) return false;
  if (input.counted_for >= kAlone) CountCallsAnew();
  if (decision == StandIn::kStart) {
    if (instances_.size() >= options_.max_instances_per_version) return false;
    const std::optional<std::string> started = StartOne(actions);
    if (!started.has_value()) return false;
    stand_in_ = *started;
    stand_in_asked_ = now;
  }
  if (!std::exchange(freeze_check_armed_, true)) {
    deps_.timers.RunAfter(kAlone, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (self == nullptr) return;
      Actions later;
      absl::MutexLock lock(&self->mu_);
      self->freeze_check_armed_ = false;
      self->FreezeGranted(later);
    });
  }
  return true;
}

void VersionPool::CountCallsAnew() {
  counting_since_ = deps_.clock.Now();
  calls_counted_ = 0;
  calls_helped_ = 0;
}

void VersionPool::FreezeGranted(Actions& actions) {
  const std::vector<InstancePtr> idle = idle_;
  for (const InstancePtr& instance : idle) {
    if (instance->checkpoint_granted && !retired_ && !AwaitsStandIn(instance, actions)) BeginCheckpoint(instance, actions);
  }
}

void VersionPool::BeginCheckpoint(const InstancePtr& instance, Actions& actions) {
  if (instance->idle_timer != 0) deps_.timers.Cancel(std::exchange(instance->idle_timer, 0));
  idle_.erase(std::remove(idle_.begin(), idle_.end(), instance), idle_.end());
  instance->checkpoint_granted = false;
  instance->Transition(InstanceState::kCheckpointing);
  ++jobs_;
  CheckpointRequest request;
  request.version = state_;
  request.instance_id = instance->id();
  request.answered = instance->answered;
  request.slot = instance->slot.get();
  request.connection = instance->connection.get();
  request.sealed = instance->sealed;
  instance->given_change = given_change_;
  actions.Add([self = shared_from_this(), instance, request] {
    const absl::Status queued =
        self->deps_.checkpoints.Add([self, instance, request] { self->RunCheckpoint(instance, request); });
    if (queued.ok()) return;
    self->deps_.events.CheckpointFinished(request.version.spec().version_id(), request.instance_id, queued);
    Actions later;
    absl::MutexLock lock(&self->mu_);
    --self->jobs_;
    self->checkpoint_instance_.clear();
    self->EndFreezeJob(instance->id(), queued, later);
    self->BecomeIdle(instance, later);
  });
}

void VersionPool::RunCheckpoint(const InstancePtr& instance, CheckpointRequest request) {
  const absl::Time begun = deps_.clock.Now();
  const std::string version = request.version.spec().version_id();
  const FrozenInstance frozen = deps_.checkpointer.Freeze(request);
  // The freeze took the events for itself; the ones that follow are the pool's again.
  if (frozen.instance == InstanceAfter::kServing) {
    instance->slot->init().SetEventHandler([weak = weak_from_this(), id = instance->id()](const InitEvent& event) {
      if (auto self = weak.lock()) self->OnInitEvent(id, event);
    });
  }
  std::unique_ptr<Slot> canary;
  {
    Actions actions;
    absl::MutexLock lock(&mu_);
    if (frozen.status.ok()) instance->checkpoint_wished = false;
    RefuseWish(instance, std::string(frozen.status.message()), actions);
    instance->sealed = instance->sealed || frozen.sealed;
    if (frozen.instance == InstanceAfter::kLost || instance->exit.has_value() || retired_) {
      Stop(instance, actions);
      if (!waiting_.empty()) ConsiderStart(actions);
    } else {
      BecomeIdle(instance, actions);
    }
    if (frozen.status.ok() && !empty_slots_.empty()) {
      canary = std::move(empty_slots_.back());
      empty_slots_.pop_back();
    }
  }
  absl::StatusOr<thaw::common::v1::SnapshotInfo> result = absl::UnknownError("not published");
  if (!frozen.status.ok()) {
    result = frozen.status;
  } else {
    absl::StatusOr<Checkpointer::Published> published = deps_.checkpointer.Publish(request, frozen, std::move(canary));
    if (published.ok()) {
      canary = std::move(published->canary_slot);
      result = std::move(published->snapshot);
    } else {
      result = published.status();
    }
  }
  if (result.ok()) {
    deps_.metrics.CountCheckpoint(AgentMetrics::CheckpointOutcome::kPublished);
    deps_.metrics.checkpoint_duration->Observe(absl::ToDoubleSeconds(deps_.clock.Now() - begun));
    deps_.metrics.checkpoint_frozen->Observe(absl::ToDoubleSeconds(frozen.report.frozen));
    deps_.metrics.checkpoint_bytes->Observe(static_cast<double>(result->raw_bytes()));
    deps_.log->info("event=checkpoint_published version={} instance={} snapshot={} raw_bytes={} stored_bytes={}", version,
                    request.instance_id, result->id(), result->raw_bytes(), result->stored_bytes());
  } else {
    deps_.metrics.CountCheckpoint(ReasonOf(result.status()) == reason::kCanaryFailed
                                      ? AgentMetrics::CheckpointOutcome::kCanaryFailed
                                  : ReasonOf(result.status()) == reason::kCheckpointRefused
                                      ? AgentMetrics::CheckpointOutcome::kRefused
                                      : AgentMetrics::CheckpointOutcome::kFailed);
    deps_.log->warn("event=checkpoint_failed version={} instance={} error=\"{}\"", version, request.instance_id,
                    result.status().ToString());
  }
  {
    Actions actions;
    absl::MutexLock lock(&mu_);
    --jobs_;
    checkpoint_instance_.clear();
    if (canary != nullptr) KeepEmpty(std::move(canary), actions);
    // What the scheduler makes of it comes with the version's next state.
    const bool replaces = freeze_job_.has_value() && freeze_job_->instance_id == request.instance_id && freeze_job_->manual;
    if (result.ok() && (replaces || !state_.has_snapshot())) {
      *state_.mutable_snapshot() = *result;
      state_.clear_snapshot_holders();
    }
    if (result.ok() && replaces) state_.clear_candidates();
    GiveWhereDue(actions);
    PrepareSlots(actions);
    FinishRetirement(actions);
  }
  deps_.events.CheckpointFinished(version, request.instance_id, result);
  // After the scheduler's news: who asked may look at once.
  Actions actions;
  absl::MutexLock lock(&mu_);
  EndFreezeJob(request.instance_id, result, actions);
}

}  // namespace thaw::agent
