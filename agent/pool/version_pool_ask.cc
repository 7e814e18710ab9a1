// The part of VersionPool that lends an idle instance's connection, its function's only one, for a question of the agent's.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/pool/version_pool.h"
#include "common/rpc/client.h"

namespace thaw::agent {

void VersionPool::Ask(const std::string& instance_id, FunctionRequest question, FunctionConnection::Done done) {
  Actions actions;
  absl::MutexLock lock(&mu_);
  const auto found = instances_.find(instance_id);
  const InstancePtr instance = found == instances_.end() ? nullptr : found->second;
  const auto place = std::find(idle_.begin(), idle_.end(), instance);
  if (place == idle_.end()) {
    const absl::Status refusal =
        instance == nullptr
            ? absl::NotFoundError(absl::StrCat("no instance ", instance_id, " is here"))
            : absl::FailedPreconditionError(absl::StrCat("instance ", instance_id, " can't be asked now: it is ",
                                                         InstanceStateName(instance->state()), "; ask again"));
    actions.Add([done = std::move(done), refusal]() mutable { done(refusal); });
    return;
  }
  idle_.erase(place);
  if (instance->idle_timer != 0) deps_.timers.Cancel(std::exchange(instance->idle_timer, 0));
  instance->Transition(InstanceState::kBusy);
  instance->busy_since = deps_.clock.Now();
  actions.Add([self = shared_from_this(), instance, question = std::move(question), done = std::move(done)]() mutable {
    instance->connection->Call(
        std::move(question), [self, instance, done = std::move(done)](absl::StatusOr<FunctionReply> reply) mutable {
          self->OnAsked(instance);
          done(std::move(reply));
        });
  });
}

void VersionPool::OnAsked(const InstancePtr& instance) {
  Actions actions;
  absl::MutexLock lock(&mu_);
  instance->busy_since = absl::InfiniteFuture();
  instance->Transition(InstanceState::kIdle);
  if (instance->exit.has_value() || retired_) {
    Stop(instance, actions);
    if (!waiting_.empty()) ConsiderStart(actions);
    FinishRetirement(actions);
    return;
  }
  if (instance->checkpoint_granted && !AwaitsStandIn(instance, actions)) {
    BeginCheckpoint(instance, actions);
    return;
  }
  // Not BecomeIdle(): its rest goes on, and whoever is stopped or called next is the same as without the question.
  idle_.insert(std::find_if(idle_.begin(), idle_.end(),
                            [&](const InstancePtr& other) { return other->idle_since > instance->idle_since; }),
               instance);
  Dispatch(actions);
  if (instance->state() == InstanceState::kIdle) ArmIdleTimer(instance);
}

void VersionPool::ArmIdleTimer(const InstancePtr& instance) {
  const absl::Duration rested = deps_.clock.Now() - instance->idle_since;
  instance->idle_timer = deps_.timers.RunAfter(
      std::max(absl::ZeroDuration(), FromProto(state_.spec().idle_timeout()) - rested),
      [weak = weak_from_this(), id = instance->id()] {
        if (auto self = weak.lock()) self->OnIdleTimeout(id);
      });
}

}  // namespace thaw::agent
