#ifndef THAW_SCHEDULER_SCHEDULER_H_
#define THAW_SCHEDULER_SCHEDULER_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/executor/executor.h"
#include "scheduler/catalogue/catalogue.h"
#include "scheduler/catalogue/secret_catalogue.h"
#include "scheduler/catalogue/snapshot_catalogue.h"
#include "scheduler/lease/lease_issuer.h"
#include "scheduler/lease/lease_table.h"
#include "scheduler/membership/checkpoint_grants.h"
#include "scheduler/membership/cluster.h"
#include "scheduler/membership/node_table.h"
#include "scheduler/metrics.h"
#include "scheduler/placement/placement.h"
#include "scheduler/store/metered_store.h"
#include "scheduler/store/store.h"
#include "spdlog/logger.h"

namespace thaw::scheduler {

// Everything of the scheduler but its network: the parts, put together, and the clockwork that drives them.
//
// Threads: any; the parts say which of their methods belong on the writer.
class Scheduler {
 public:
  struct Options {
    NodeTable::Options nodes;
    absl::Duration lease_ttl = absl::Seconds(10);
    std::uint32_t slots_per_node = 1;
  };
  // Nothing is owned; all must outlive the scheduler.
  struct Deps {
    Store& store;
    const Clock& clock;
    Timers& timers;
    // One thread, bounded; shut down before the scheduler is destroyed.
    Executor& writer;
    SchedulerMetrics& metrics;
    std::shared_ptr<spdlog::logger> logger;
    // Under which secrets lie in the store.
    SealingKey sealing_key;
  };

  // Reads the store and starts the clockwork. Fails as Store::Load and Store::Apply.
  static absl::StatusOr<std::unique_ptr<Scheduler>> Create(const Options& options, Deps deps);
  // As Stop().
  ~Scheduler();

  // Ends all streams of nodes and gateways with UNAVAILABLE, then the clockwork. Readers still answer.
  void Stop();

  Catalogue& catalogue() { return catalogue_; }
  SnapshotCatalogue& snapshots() { return snapshots_; }
  SecretCatalogue& secrets() { return secrets_; }
  NodeTable& nodes() { return nodes_; }
  CheckpointGrants& grants() { return grants_; }
  Cluster& cluster() { return cluster_; }
  LeaseTable& leases() { return leases_; }
  LeaseIssuer& issuer() { return issuer_; }
  Executor& writer() { return writer_; }

 private:
  Scheduler(const Options& options, Deps deps, std::unique_ptr<MeteredStore> store, const StoreContents& contents);

  // What a timer that fires holds on to: it may be about to run while the scheduler goes.
  struct Clockwork {
    absl::Mutex mu;
    // Null once stopped.
    Scheduler* scheduler ABSL_GUARDED_BY(mu) = nullptr;
    Timers::Id timer ABSL_GUARDED_BY(mu) = 0;
    absl::Time last_tick ABSL_GUARDED_BY(mu);
  };

  void ScheduleTick() ABSL_EXCLUSIVE_LOCKS_REQUIRED(clockwork_->mu);
  void Tick() ABSL_EXCLUSIVE_LOCKS_REQUIRED(clockwork_->mu);

  const absl::Duration tick_interval_;
  // More than this between two ticks and the process stood still (or the clock was set): nodes and gateways may have
  // spoken meanwhile without being heard.
  const absl::Duration longest_gap_;
  const Clock& clock_;
  Timers& timers_;
  Executor& writer_;
  std::unique_ptr<MeteredStore> store_;

  Catalogue catalogue_;
  SnapshotCatalogue snapshots_;
  SecretCatalogue secrets_;
  NodeTable nodes_;
  CheckpointGrants grants_;
  Cluster cluster_;
  LeaseTable leases_;
  Placement placement_;
  LeaseIssuer issuer_;

  // Its lock is held during a tick, so that Stop() returns after the last one.
  const std::shared_ptr<Clockwork> clockwork_ = std::make_shared<Clockwork>();
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_SCHEDULER_H_
