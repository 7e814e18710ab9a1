// The part of VersionPool that tells instances of changed config and secrets.
#include "agent/pool/version_pool.h"
#include "agent/start/given.h"

namespace thaw::agent {
namespace {

using thaw::common::v1::CheckpointPolicy;

constexpr absl::Duration kGiveLimit = absl::Seconds(5);

}  // namespace

bool VersionPool::AwaitsFreeze() const {
  // By the other policies it is an instance of its own that is frozen, or one that somebody chooses: those that serve need
  // not wait for what may never come.
  const auto mode = state_.spec().checkpoint().mode();
  const bool by_calls = mode == CheckpointPolicy::MODE_UNSPECIFIED || mode == CheckpointPolicy::MODE_AFTER_INVOCATIONS ||
                        mode == CheckpointPolicy::MODE_LEARNED;
  return by_calls && !state_.has_snapshot() && no_checkpoint_before_ != absl::InfiniteFuture();
}

void VersionPool::GiveWhereDue(Actions& actions) {
  const bool late_is_due = HasLateSecrets(state_) && !AwaitsFreeze();
  for (const auto& [id, instance] : instances_) {
    // One that starts is looked at when it has started, one that is being frozen when that is over.
    if (instance->state() != InstanceState::kIdle && instance->state() != InstanceState::kBusy) continue;
    const bool may_be_frozen_still = instance->checkpoint_granted || checkpoint_instance_ == id;
    const bool seal = late_is_due && !instance->sealed && !may_be_frozen_still;
    if (!seal && instance->given_change == given_change_) continue;
    instance->sealed = instance->sealed || seal;
    instance->given_change = given_change_;
    actions.Add([self = shared_from_this(), instance = instance] {
      const absl::Status queued = self->deps_.housekeeping.Add([self, instance] { self->Give(*instance); });
      if (!queued.ok()) {
        self->deps_.log->error("event=give_not_queued instance={} error=\"{}\"", instance->id(), queued.ToString());
      }
    });
  }
}

void VersionPool::Give(Instance& instance) {
  // One at a time for an instance, each with what holds when its turn comes: an older value never follows a newer one.
  absl::MutexLock orders(&instance.orders_mu);
  Given given;
  {
    absl::MutexLock lock(&mu_);
    if (instance.slot == nullptr || instance.state() == InstanceState::kStopping) return;
    given = MakeGiven(state_, instance.sealed);
  }
  const absl::Status status = instance.slot->init().Give(given, kGiveLimit);
  if (status.ok()) {
    deps_.log->info("event=given instance={} config={} secrets={}", instance.id(), given.config.size(), given.secrets.size());
    return;
  }
  // A function that ends this moment needs nothing; one that lives on with old values must not go unseen.
  deps_.log->warn("event=give_failed instance={} error=\"{}\"", instance.id(), status.ToString());
}

}  // namespace thaw::agent
