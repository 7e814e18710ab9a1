#ifndef THAW_SCHEDULER_CATALOGUE_SNAPSHOT_CATALOGUE_H_
#define THAW_SCHEDULER_CATALOGUE_SNAPSHOT_CATALOGUE_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/clock/clock.h"
#include "scheduler/metrics.h"
#include "scheduler/store/store.h"
#include "thaw/common/v1/catalogue.pb.h"

namespace thaw::scheduler {

// Snapshots and who holds them: one per version, or, where the function's policy is to learn, a few candidates, one for
// each number of calls (learning/arms.h).
//
// A snapshot leaves the catalogue when nobody holds it any more (then the version may be frozen again), when a person
// removes it, when a newer one replaces it, and when its version goes. Where a holder may be away meanwhile, the id is
// remembered, so that the copy does not come back into use with its holder.
//
// Threads and writes: as Catalogue. Writers may fail as Store::Apply, and then nothing has changed.
class SnapshotCatalogue {
 public:
  // What a node that reported a copy should do with it.
  enum class Verdict {
    // It counts as a holder.
    kKept,
    // The copy is of no use: it should remove it.
    kUnwanted,
  };

  // What registering a node changed.
  struct Reconciliation {
    // Copies on the node that are to be removed.
    std::vector<std::string> unwanted_snapshot_ids;
    // Versions whose snapshot or holders changed.
    std::set<std::string> changed_version_ids;
  };

  SnapshotCatalogue(Store& store, const Clock& clock, SchedulerMetrics& metrics, const StoreContents& contents);

  // How an unknown snapshot stands to those that its version has.
  enum class Entrance {
    // It takes a place that is free, or held by one that is not usable any more.
    kFreePlace,
    // It takes the place of all of them: a person wanted it.
    kReplacesAll,
  };

  // A node has a whole copy of `snapshot`, made or fetched. An unknown one enters the catalogue, unless it was removed
  // before or there is no place for it: its version has another one that `usable` still counts on; where the version's
  // policy is to learn, one for the same number of calls, or one that is settled on.
  // `version` is the snapshot's, live; names and function are taken from it.
  absl::StatusOr<Verdict> AddHolder(const common::v1::SnapshotInfo& snapshot, const std::string& node_id,
                                    const common::v1::VersionSpec& version,
                                    absl::FunctionRef<bool(const common::v1::SnapshotInfo&)> usable,
                                    Entrance entrance = Entrance::kFreePlace, std::vector<std::string>* displaced = nullptr)
      ABSL_LOCKS_EXCLUDED(write_mu_, mu_);

  // Keeps what has been learned of snapshots, or, with an empty message, forgets it; unknown ids are passed over.
  absl::Status SetExperiences(const std::vector<std::pair<std::string, common::v1::SnapshotExperience>>& experiences)
      ABSL_LOCKS_EXCLUDED(write_mu_, mu_);

  // A node's copy is gone. Returns the version whose holders changed; empty when it was not known as a holder.
  absl::StatusOr<std::string> RemoveHolder(absl::string_view snapshot_id, const std::string& node_id)
      ABSL_LOCKS_EXCLUDED(write_mu_, mu_);

  // `held` is all that the node has; `version_of` finds a live version, or null. Copies that the catalogue thought it
  // had are struck out.
  absl::StatusOr<Reconciliation> Reconcile(
      const std::string& node_id, const std::vector<common::v1::SnapshotInfo>& held,
      absl::FunctionRef<std::shared_ptr<const common::v1::VersionSpec>(absl::string_view)> version_of,
      absl::FunctionRef<bool(const common::v1::SnapshotInfo&)> usable) ABSL_LOCKS_EXCLUDED(write_mu_, mu_);

  // The node was away for so long that it counts as gone for good. Returns the versions whose snapshot or holders changed.
  absl::StatusOr<std::set<std::string>> ForgetNode(const std::string& node_id) ABSL_LOCKS_EXCLUDED(write_mu_, mu_);

  // A person's removal. Returns what it was, holders included. NOT_FOUND.
  absl::StatusOr<common::v1::SnapshotInfo> Delete(absl::string_view snapshot_id) ABSL_LOCKS_EXCLUDED(write_mu_, mu_);

  // The version is gone, and with it its snapshot and its count of failures.
  absl::Status DropVersion(const std::string& version_id) ABSL_LOCKS_EXCLUDED(write_mu_, mu_);

  // Drops what belongs to no version of `live`: after a crash between a function's removal and its snapshot's.
  absl::Status DropAllBut(const std::set<std::string>& live_version_ids) ABSL_LOCKS_EXCLUDED(write_mu_, mu_);

  // NOT_FOUND.
  absl::StatusOr<common::v1::SnapshotInfo> Get(absl::string_view snapshot_id) const ABSL_LOCKS_EXCLUDED(mu_);
  // Newest first; of one function, or all where `function_id` is empty.
  std::vector<common::v1::SnapshotInfo> List(absl::string_view function_id) const ABSL_LOCKS_EXCLUDED(mu_);
  // The version's snapshot; of several the one that is settled on, else the one with the fewest calls.
  std::optional<common::v1::SnapshotInfo> OfVersion(absl::string_view version_id) const ABSL_LOCKS_EXCLUDED(mu_);
  // All of them, in that order.
  std::vector<common::v1::SnapshotInfo> AllOfVersion(absl::string_view version_id) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Snapshots = std::map<std::string, common::v1::SnapshotInfo, std::less<>>;

  // The same with the writer's lock held.
  absl::StatusOr<Verdict> AddHolderLocked(const common::v1::SnapshotInfo& snapshot, const std::string& node_id,
                                          const common::v1::VersionSpec& version,
                                          absl::FunctionRef<bool(const common::v1::SnapshotInfo&)> usable,
                                          Entrance entrance, std::vector<std::string>* displaced)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mu_) ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<std::string> RemoveHolderLocked(absl::string_view snapshot_id, const std::string& node_id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mu_) ABSL_LOCKS_EXCLUDED(mu_);
  void Insert(const common::v1::SnapshotInfo& snapshot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Erase(absl::string_view snapshot_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Store& store_;
  const Clock& clock_;
  SchedulerMetrics& metrics_;

  absl::Mutex write_mu_ ABSL_ACQUIRED_BEFORE(mu_);
  mutable absl::Mutex mu_;
  Snapshots snapshots_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, std::set<std::string>> by_version_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, absl::Time> removed_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_CATALOGUE_SNAPSHOT_CATALOGUE_H_
