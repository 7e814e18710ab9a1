#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/pool/version_pool.h"

namespace thaw::agent {
namespace {

using thaw::common::v1::CheckpointPolicy;

constexpr absl::Duration kRefusalLimit = absl::Seconds(5);

}  // namespace

std::string VersionPool::ReasonAgainstWish(const std::string& instance_id) const {
  const std::string& name = state_.spec().function_name();
  if (retired_) return absl::StrCat("this version of function ", name, " has been replaced");
  if (state_.spec().checkpoint().mode() == CheckpointPolicy::MODE_NEVER) {
    return absl::StrCat("function ", name, " is never to be frozen: change its policy with `thaw functions update`");
  }
  if (state_.has_snapshot()) {
    return absl::StrCat("function ", name, " has a snapshot already: ", state_.snapshot().id());
  }
  if (!checkpoint_instance_.empty() && checkpoint_instance_ != instance_id) {
    return absl::StrCat("another instance of function ", name, " is being frozen");
  }
  if (deps_.clock.Now() < no_checkpoint_before_) {
    return absl::StrCat("the cluster has refused one of function ", name, " a moment ago: try again later");
  }
  return "";
}

void VersionPool::OnCheckpointWished(const InstancePtr& instance, Actions& actions) {
  // Who stops it has the slot for itself, and nobody waits there any more.
  if (instance->state() == InstanceState::kStopping || instance->state() == InstanceState::kGone) return;
  if (instance->slot == nullptr) {
    // Its init is listened to before the start has been entered here: until then there is nothing to answer
    // it through.
    instance->wished_early = true;
    return;
  }
  instance->checkpoint_wished = true;
  std::string why_not = ReasonAgainstWish(instance->id());
  deps_.log->info("event=checkpoint_wished version={} instance={} refused=\"{}\"", state_.spec().version_id(), instance->id(),
                  why_not);
  if (!why_not.empty()) {
    RefuseWish(instance, std::move(why_not), actions);
    return;
  }
  // Asked for already, by the count of its calls: that answer is this wish's, too.
  if (checkpoint_instance_ == instance->id()) return;
  checkpoint_instance_ = instance->id();
  actions.Add([self = shared_from_this(), version = state_.spec().version_id(), id = instance->id(),
               answered = instance->answered] { self->deps_.events.WantsCheckpoint(version, id, answered, false); });
}

void VersionPool::RefuseWish(const InstancePtr& instance, std::string why, Actions& actions) {
  if (!std::exchange(instance->checkpoint_wished, false)) return;
  actions.Add([self = shared_from_this(), instance, why = std::move(why)] {
    const absl::Status queued = self->deps_.housekeeping.Add([self, instance, why] {
      std::shared_ptr<SlotInit> init;
      {
        absl::MutexLock lock(&self->mu_);
        // Stopping hands the slot to whoever empties it; who waited there is gone by then.
        if (instance->state() == InstanceState::kStopping || instance->state() == InstanceState::kGone) return;
        init = instance->slot->shared_init();
      }
      const absl::Status told = init->Refuse(why, kRefusalLimit);
      if (!told.ok()) self->deps_.log->warn("event=refusal_not_told instance={} error=\"{}\"", instance->id(), told.ToString());
    });
    // The function gives up by itself after a while.
    if (!queued.ok()) self->deps_.log->warn("event=refusal_not_queued instance={} error=\"{}\"", instance->id(), queued.ToString());
  });
}

}  // namespace thaw::agent
