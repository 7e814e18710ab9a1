#ifndef THAW_SCHEDULER_LEASE_LEASE_TABLE_H_
#define THAW_SCHEDULER_LEASE_LEASE_TABLE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "scheduler/metrics.h"
#include "thaw/common/v1/catalogue.pb.h"

namespace thaw::scheduler {

// A gateway that listens for the end of its leases. Threads: any; calls must not block, nor call the table.
class LeaseWatcher {
 public:
  virtual ~LeaseWatcher() = default;
  virtual void OnLeasesEnded(const std::vector<std::string>& lease_ids) = 0;
  virtual void OnFunctionsChanged(const std::vector<std::string>& function_ids) = 0;
  // The scheduler is stopping: nothing more will come.
  virtual void OnStopping() = 0;
};

// The leases that gateways hold, and who wants to hear of their end.
//
// A lease is known by its gateway, version and node: asking again for the same gives the same lease, renewed. Leases
// live in memory only; LeaseIssuer takes over those from before a restart. Threads: any.
class LeaseTable {
 public:
  struct Options {
    absl::Duration time_to_live = absl::Seconds(10);
    // Names this process in lease ids.
    std::string epoch;
  };
  enum class Renewal {
    kRenewed,
    // Not, or no longer, this gateway's.
    kEnded,
    // Given by another process of this scheduler, and unknown to this one.
    kForeign,
  };
  // What one node is to be ready for.
  struct NodeLeases {
    struct OfVersion {
      std::uint32_t leases = 0;
      // Of one instance.
      std::uint64_t memory_bytes = 0;
    };
    std::uint32_t leases = 0;
    std::map<std::string, OfVersion> versions;
  };

  // `clock` and `metrics` must outlive the table.
  LeaseTable(Options options, const Clock& clock, SchedulerMetrics& metrics);

  // The lease's id. RESOURCE_EXHAUSTED at the limit of all leases.
  absl::StatusOr<std::string> Grant(const std::string& gateway_id, const common::v1::VersionSpec& version,
                                    const std::string& node_id) ABSL_LOCKS_EXCLUDED(mu_);
  Renewal Renew(const std::string& gateway_id, const std::string& lease_id) ABSL_LOCKS_EXCLUDED(mu_);
  // Enters a foreign lease as if this process had given it now. Another lease of the same three is kept beside it:
  // the gateway knows both ids. One that another renewal has entered meanwhile is renewed; kEnded when that one was
  // another gateway's. RESOURCE_EXHAUSTED at the limit of all leases.
  absl::StatusOr<Renewal> Adopt(const std::string& gateway_id, const std::string& lease_id,
                                const common::v1::VersionSpec& version, const std::string& node_id)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Ids that are not this gateway's are passed over.
  void Release(const std::string& gateway_id, const std::vector<std::string>& lease_ids) ABSL_LOCKS_EXCLUDED(mu_);

  // These tell the watchers of the gateways concerned.
  void EndOfNode(absl::string_view node_id) ABSL_LOCKS_EXCLUDED(mu_);
  // Also tells all watchers that the functions changed.
  void EndOfFunctions(const std::vector<std::string>& function_ids) ABSL_LOCKS_EXCLUDED(mu_);
  void ExpireDue() ABSL_LOCKS_EXCLUDED(mu_);
  // Takes back a lease that no gateway has heard of yet.
  void Withdraw(const std::string& lease_id, LeaseEnd cause) ABSL_LOCKS_EXCLUDED(mu_);
  // Gives every lease `gap` more: the time in which this process stood still and could not renew.
  void Forgive(absl::Duration gap) ABSL_LOCKS_EXCLUDED(mu_);

  // RESOURCE_EXHAUSTED at the limit of watchers.
  absl::Status Watch(const std::string& gateway_id, std::shared_ptr<LeaseWatcher> watcher) ABSL_LOCKS_EXCLUDED(mu_);
  void Unwatch(const std::string& gateway_id, const LeaseWatcher* watcher) ABSL_LOCKS_EXCLUDED(mu_);
  // Tells all watchers; later ones are refused with UNAVAILABLE.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  absl::flat_hash_map<std::string, NodeLeases> ByNode() const ABSL_LOCKS_EXCLUDED(mu_);
  std::size_t size() const ABSL_LOCKS_EXCLUDED(mu_);
  absl::Duration time_to_live() const { return options_.time_to_live; }

 private:
  struct Entry {
    std::string gateway_id, function_id, version_id, node_id;
    std::uint64_t memory_bytes = 0;
    absl::Time expires_at;
  };
  using Watchers = std::vector<std::shared_ptr<LeaseWatcher>>;
  // Who is to be told which ids, once the lock is gone.
  using Notices = std::vector<std::pair<Watchers, std::vector<std::string>>>;

  static std::string KeyOf(absl::string_view gateway_id, absl::string_view version_id, absl::string_view node_id);
  void Insert(const std::string& lease_id, Entry entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Ends all leases for which `ends` says so; returns whom to tell.
  template <typename Predicate>
  Notices EndIf(LeaseEnd cause, Predicate ends) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Erase(const std::string& lease_id, LeaseEnd cause) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static void Tell(const Notices& notices);

  const Options options_;
  const Clock& clock_;
  SchedulerMetrics& metrics_;

  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, Entry> leases_ ABSL_GUARDED_BY(mu_);
  // Lease ids by KeyOf.
  absl::flat_hash_map<std::string, std::string> by_key_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, NodeLeases> by_node_ ABSL_GUARDED_BY(mu_);
  // No lease runs out before this.
  absl::Time next_expiry_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  absl::flat_hash_map<std::string, Watchers> watchers_ ABSL_GUARDED_BY(mu_);
  std::size_t watcher_count_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_LEASE_LEASE_TABLE_H_
