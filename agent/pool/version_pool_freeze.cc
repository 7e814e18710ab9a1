// Freezing on demand: when a version is made (MODE_ON_DEPLOY) and when somebody asks (`thaw snapshot create`).
#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/invoke/declared_request.h"
#include "agent/pool/version_pool.h"
#include "common/ids/ids.h"
#include "common/rpc/client.h"
#include "common/status/reasons.h"

namespace thaw::agent {
namespace {

using thaw::common::v1::CheckpointPolicy;

// For a container, the image's start, and the function's own.
constexpr absl::Duration kStartLimit = absl::Minutes(1);
// For all priming requests together. The scheduler's grant stands for two minutes, the freeze included.
constexpr absl::Duration kPrimingLimit = absl::Seconds(40);
// Before the scheduler is asked again after an attempt of its own that failed; how long to wait then, it says itself.
constexpr absl::Duration kAskAgain = absl::Seconds(1);

std::string NameOf(const VersionState& state) {
  return absl::StrCat(state.spec().app_name(), "/", state.spec().function_name());
}

}  // namespace

void VersionPool::FreezeNow(FreezeDone done) {
  Actions actions;
  absl::MutexLock lock(&mu_);
  const auto refuse = [&](absl::Status status) {
    actions.Add([done = std::move(done), status = std::move(status)]() mutable { done(std::move(status)); });
  };
  if (retired_) {
    refuse(WithReason(absl::UnavailableError(absl::StrCat(NameOf(state_), " has a newer version; ask again")),
                      reason::kVersionReplaced));
    return;
  }
  if (state_.spec().checkpoint().mode() == CheckpointPolicy::MODE_NEVER) {
    refuse(WithReason(absl::FailedPreconditionError(absl::StrCat(
                          NameOf(state_), " is never to be frozen by its policy; set another with `thaw function set ",
                          NameOf(state_), " --checkpoint manual`")),
                      reason::kCheckpointRefused));
    return;
  }
  if (freeze_job_.has_value() || !checkpoint_instance_.empty()) {
    refuse(WithRetryAfter(WithReason(absl::UnavailableError(absl::StrCat("an instance of ", NameOf(state_),
                                                                         " is being frozen already; ask again when that has ended")),
                                     reason::kCheckpointRefused),
                          absl::Seconds(5)));
    return;
  }
  // The warmest there is; a busy one is frozen after its call. One that has secrets which no snapshot may have is none of them.
  InstancePtr instance;
  for (const auto& [id, other] : instances_) {
    const bool serves = other->state() == InstanceState::kIdle || other->state() == InstanceState::kBusy;
    if (!serves || other->sealed || other->reserved) continue;
    if (instance == nullptr || other->answered > instance->answered) instance = other;
  }
  BeginFreezeJob(instance, /*manual=*/true, std::move(done), actions);
}

void VersionPool::ConsiderFreezeNow(Actions& actions) {
  if (retired_ || !state_.freeze_now() || state_.has_snapshot() || freeze_job_.has_value() ||
      !checkpoint_instance_.empty()) {
    return;
  }
  const absl::Time now = deps_.clock.Now();
  if (now < no_checkpoint_before_) {
    if (no_checkpoint_before_ != absl::InfiniteFuture()) ArmFreezeNow(no_checkpoint_before_ - now);
    return;
  }
  BeginFreezeJob(nullptr, /*manual=*/false, nullptr, actions);
}

void VersionPool::ArmFreezeNow(absl::Duration delay) {
  if (freeze_now_armed_) return;
  freeze_now_armed_ = true;
  deps_.timers.RunAfter(delay, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (self == nullptr) return;
    Actions actions;
    absl::MutexLock lock(&self->mu_);
    self->freeze_now_armed_ = false;
    self->ConsiderFreezeNow(actions);
  });
}

void VersionPool::BeginFreezeJob(const InstancePtr& instance, bool manual, FreezeDone done, Actions& actions) {
  FreezeJob& job = freeze_job_.emplace();
  job.start = instance == nullptr;
  job.instance_id = job.start ? NewHexId(8) : instance->id();
  job.manual = manual;
  job.done = std::move(done);
  checkpoint_instance_ = job.instance_id;
  actions.Add([self = shared_from_this(), version = state_.spec().version_id(), id = job.instance_id,
               answered = job.start ? 0 : instance->answered, manual] {
    self->deps_.events.WantsCheckpoint(version, id, answered, manual);
  });
}

bool VersionPool::OnFreezeJobGrant(const std::string& instance_id, bool granted, absl::string_view reason,
                                   Actions& actions) {
  if (!freeze_job_.has_value() || freeze_job_->instance_id != instance_id) return false;
  if (!granted) {
    // What is retried, and when, is the caller's to note: this only tells who waits.
    EndFreezeJob(instance_id,
                 WithReason(absl::FailedPreconditionError(absl::StrCat(
                                NameOf(state_), " may not be frozen now: ",
                                reason.empty() ? "the scheduler refused it without a reason" : reason)),
                            reason::kCheckpointRefused),
                 actions);
    return false;
  }
  if (!freeze_job_->start) return false;
  if (freeze_job_->granted) return true;
  freeze_job_->granted = true;
  StartForFreezing(actions);
  return true;
}

void VersionPool::StartForFreezing(Actions& actions) {
  const std::string id = freeze_job_->instance_id;
  if (retired_ || !deps_.memory.TryReserve(memory_bytes())) {
    FailFreezeJob(id,
                  retired_ ? absl::AbortedError("the version has been replaced")
                           : WithReason(absl::ResourceExhaustedError(absl::StrCat(
                                            "no memory on this node for one more instance of ", NameOf(state_),
                                            ", which is started to be frozen; it needs ", state_.spec().memory_mib(), " MiB")),
                                        reason::kNoMemory),
                  actions);
    return;
  }
  auto instance = std::make_shared<Instance>(id);
  instance->reserved = true;
  instances_.emplace(id, instance);
  auto request = std::make_shared<StartRequest>();
  // From its image, whatever snapshots there are: the new one is to hold nothing of an old one's. The empty slots are
  // left to the calls that come meanwhile.
  request->version = state_;
  request->version.clear_snapshot();
  request->version.clear_candidates();
  request->instance_id = id;
  request->awaits_freeze = true;
  instance->given_change = given_change_;
  request->call_deadline = deps_.clock.Now() + kStartLimit;
  actions.Add([self = shared_from_this(), instance, request] {
    const absl::Status queued = self->deps_.starts.Add([self, instance, request]() mutable {
      self->OnStarted(instance, self->deps_.starter.Start(std::move(*request)));
    });
    if (!queued.ok()) self->OnStarted(instance, queued);
  });
}

void VersionPool::Prime(const InstancePtr& instance, int next, Actions& actions) {
  const auto& priming = state_.spec().freeze().priming();
  const absl::Time now = deps_.clock.Now();
  if (next == 0) instance->priming_until = now + kPrimingLimit;
  if (next >= priming.size()) {
    instance->reserved = false;
    // Its first caller finds a running instance.
    instance->start.reset();
    BeginCheckpoint(instance, actions);
    return;
  }
  const auto& request = priming[next];
  const absl::Time deadline = std::min(instance->priming_until, now + FromProto(state_.spec().timeout()));
  instance->Transition(InstanceState::kBusy);
  instance->busy_since = now;
  actions.Add([self = shared_from_this(), instance, next, call = DeclaredRequest(request, deadline)]() mutable {
    instance->connection->Call(std::move(call), [self, instance, next](absl::StatusOr<FunctionReply> reply) {
      self->OnPrimed(instance, next, std::move(reply));
    });
  });
}

void VersionPool::OnPrimed(const InstancePtr& instance, int index, absl::StatusOr<FunctionReply> reply) {
  Actions actions;
  absl::MutexLock lock(&mu_);
  const int total = state_.spec().freeze().priming_size();
  const bool answered = reply.ok() && reply->status == 200;
  if (answered && !instance->exit.has_value() && !retired_) {
    ++instance->answered;
    instance->busy_since = absl::InfiniteFuture();
    instance->Transition(InstanceState::kIdle);
    Prime(instance, index + 1, actions);
    return;
  }
  const std::string how = retired_       ? "the version has been replaced"
                          : !reply.ok()  ? std::string(ExplainExit(*instance, reply.status()).message())
                          : !answered    ? absl::StrCat("it was answered with HTTP status ", reply->status)
                                         : "the function exited after it";
  FailFreezeJob(instance->id(),
                absl::FailedPreconditionError(absl::StrCat("priming request ", index + 1, " of ", total, " failed: ", how,
                                                           "; see `thaw logs ", NameOf(state_), "`")),
                actions);
  Stop(instance, actions);
  FinishRetirement(actions);
}

void VersionPool::FailFreezeJob(const std::string& instance_id, const absl::Status& status, Actions& actions) {
  checkpoint_instance_.clear();
  actions.Add([self = shared_from_this(), version = state_.spec().version_id(), instance_id, status] {
    self->deps_.events.CheckpointFinished(version, instance_id, status);
  });
  EndFreezeJob(instance_id, status, actions);
}

void VersionPool::EndFreezeJob(const std::string& instance_id, const absl::StatusOr<thaw::common::v1::SnapshotInfo>& result,
                               Actions& actions) {
  if (!freeze_job_.has_value() || freeze_job_->instance_id != instance_id) return;
  FreezeJob job = *std::move(freeze_job_);
  freeze_job_.reset();
  if (!result.ok()) {
    deps_.log->warn("event=freeze_now_failed version={} instance={} manual={} error=\"{}\"", state_.spec().version_id(),
                    instance_id, job.manual, result.status().ToString());
    if (!job.manual) ArmFreezeNow(kAskAgain);
  }
  if (job.done == nullptr) return;
  absl::StatusOr<thaw::common::v1::SnapshotInfo> answer = result;
  // The reason is what tells a gateway that this was the agent's word and not the network's.
  if (!answer.ok() && ReasonOf(answer.status()).empty()) {
    answer = WithReason(absl::FailedPreconditionError(answer.status().message()), reason::kCheckpointRefused);
  }
  actions.Add([done = std::move(job.done), answer = std::move(answer)]() mutable { done(std::move(answer)); });
}

void VersionPool::ReportMeasure(const InstancePtr& instance, Actions& actions) {
  if (!instance->measure.has_value()) return;
  if (!instance->measure->empty()) {
    actions.Add([self = shared_from_this(), report = instance->measure->Report(state_.spec().version_id())] {
      self->deps_.events.RestoreMeasured(report);
    });
  }
  instance->measure.reset();
}

}  // namespace thaw::agent
