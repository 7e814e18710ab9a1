#include "scheduler/scheduler.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/ids/ids.h"
#include "common/status/status_macros.h"

namespace thaw::scheduler {

absl::StatusOr<std::unique_ptr<Scheduler>> Scheduler::Create(const Options& options, Deps deps) {
  auto store = std::make_unique<MeteredStore>(deps.store, deps.metrics, deps.clock);
  ASSIGN_OR_RETURN(const StoreContents contents, store->Load());
  deps.logger->info("event=store_loaded apps={} functions={} snapshots={} nodes={}", contents.apps.size(),
                    contents.functions.size(), contents.snapshots.size(), contents.nodes.size());
  std::unique_ptr<Scheduler> scheduler(new Scheduler(options, deps, std::move(store), contents));
  std::set<std::string> live;
  for (const auto& version : scheduler->catalogue_.LiveVersions()) live.insert(version->version_id());
  RETURN_IF_ERROR(scheduler->snapshots_.DropAllBut(live));
  std::set<std::string> app_ids;
  for (const auto& app : contents.apps) app_ids.insert(app.id());
  RETURN_IF_ERROR(scheduler->secrets_.DropAllBut(app_ids));
  for (const auto& name : scheduler->secrets_.UnreadableNames()) {
    deps.logger->error("event=secret_unreadable secret={} error=\"it was sealed with another key; put secrets.key of the "
                       "data directory back from a backup, or set the secret again\"", name);
  }
  return scheduler;
}

Scheduler::Scheduler(const Options& options, Deps deps, std::unique_ptr<MeteredStore> store,
                     const StoreContents& contents)
    : tick_interval_(std::min(options.nodes.heartbeat_interval / 4, absl::Milliseconds(250))),
      longest_gap_(std::max(options.nodes.heartbeat_interval, 4 * tick_interval_)),
      clock_(deps.clock),
      timers_(deps.timers),
      writer_(deps.writer),
      store_(std::move(store)),
      catalogue_(*store_, deps.clock, deps.metrics, contents),
      snapshots_(*store_, deps.clock, deps.metrics, contents),
      secrets_(*store_, deps.clock, deps.sealing_key, contents),
      nodes_(options.nodes, deps.clock, deps.metrics, contents.nodes),
      grants_(deps.clock, deps.metrics, contents.checkpoint_failures),
      cluster_({options.nodes.heartbeat_interval, options.nodes.lost_after, options.slots_per_node},
               {*store_, catalogue_, snapshots_, secrets_, nodes_, grants_, deps.metrics, deps.writer, deps.logger}),
      leases_({options.lease_ttl, NewHexId(4)}, deps.clock, deps.metrics),
      placement_(Placement::Default(deps.metrics)),
      issuer_({catalogue_, nodes_, cluster_, leases_, placement_}) {
  absl::MutexLock lock(&clockwork_->mu);
  clockwork_->scheduler = this;
  clockwork_->last_tick = clock_.Now();
  ScheduleTick();
}

Scheduler::~Scheduler() { Stop(); }

void Scheduler::Stop() {
  cluster_.Stop();
  leases_.Stop();
  absl::MutexLock lock(&clockwork_->mu);
  clockwork_->scheduler = nullptr;
  timers_.Cancel(clockwork_->timer);
}

void Scheduler::ScheduleTick() {
  clockwork_->timer = timers_.RunAfter(tick_interval_, [clockwork = clockwork_] {
    absl::MutexLock lock(&clockwork->mu);
    if (clockwork->scheduler == nullptr) return;
    clockwork->scheduler->clockwork_->mu.AssertHeld();  // The same lock by its other name.
    clockwork->scheduler->Tick();
  });
}

void Scheduler::Tick() {
  const absl::Time now = clock_.Now();
  const absl::Duration gap = now - clockwork_->last_tick - tick_interval_;
  clockwork_->last_tick = now;
  if (gap > longest_gap_) {
    nodes_.Forgive(gap);
    leases_.Forgive(gap);
  }
  cluster_.Tick();
  leases_.ExpireDue();
  ScheduleTick();
}

}  // namespace thaw::scheduler
