#include "scheduler/catalogue/snapshot_catalogue.h"

#include <algorithm>
#include <utility>

#include "common/rpc/client.h"
#include "common/status/status_macros.h"
#include "scheduler/errors.h"
#include "scheduler/learning/arms.h"
#include "scheduler/limits.h"

namespace thaw::scheduler {
namespace {

bool Holds(const common::v1::SnapshotInfo& snapshot, absl::string_view node_id) {
  return std::find(snapshot.holders().begin(), snapshot.holders().end(), node_id) != snapshot.holders().end();
}

bool IsChosen(const common::v1::SnapshotInfo& snapshot) {
  return snapshot.experience().role() == common::v1::SnapshotExperience::ROLE_CHOSEN;
}

// Whether `other`, which is usable, keeps `snapshot` out.
bool TakesThePlaceOf(const common::v1::SnapshotInfo& other, const common::v1::SnapshotInfo& snapshot,
                     const common::v1::VersionSpec& version) {
  if (version.checkpoint().mode() != common::v1::CheckpointPolicy::MODE_LEARNED) return true;
  return IsChosen(other) || ArmOf(other.invocations()) == ArmOf(snapshot.invocations());
}

}  // namespace

SnapshotCatalogue::SnapshotCatalogue(Store& store, const Clock& clock, SchedulerMetrics& metrics,
                                     const StoreContents& contents)
    : store_(store), clock_(clock), metrics_(metrics) {
  absl::MutexLock lock(&mu_);
  for (const auto& snapshot : contents.snapshots) Insert(snapshot);
  for (const auto& removed : contents.removed_snapshots) removed_[removed.id] = removed.removed_at;
  metrics_.SetSnapshots(snapshots_.size());
}

absl::StatusOr<SnapshotCatalogue::Verdict> SnapshotCatalogue::AddHolder(
    const common::v1::SnapshotInfo& snapshot, const std::string& node_id, const common::v1::VersionSpec& version,
    absl::FunctionRef<bool(const common::v1::SnapshotInfo&)> usable, Entrance entrance,
    std::vector<std::string>* displaced) {
  absl::MutexLock writing(&write_mu_);
  return AddHolderLocked(snapshot, node_id, version, usable, entrance, displaced);
}

absl::StatusOr<SnapshotCatalogue::Verdict> SnapshotCatalogue::AddHolderLocked(
    const common::v1::SnapshotInfo& snapshot, const std::string& node_id, const common::v1::VersionSpec& version,
    absl::FunctionRef<bool(const common::v1::SnapshotInfo&)> usable, Entrance entrance,
    std::vector<std::string>* displaced) {
  common::v1::SnapshotInfo entry;
  std::vector<common::v1::SnapshotInfo> others;
  bool known = false;
  {
    absl::ReaderMutexLock lock(&mu_);
    if (removed_.contains(snapshot.id())) return Verdict::kUnwanted;
    if (const auto it = snapshots_.find(snapshot.id()); it != snapshots_.end()) {
      if (it->second.version_id() != snapshot.version_id()) return Verdict::kUnwanted;
      if (Holds(it->second, node_id)) return Verdict::kKept;
      entry = it->second;
      known = true;
    } else if (const auto of_version = by_version_.find(snapshot.version_id()); of_version != by_version_.end()) {
      for (const auto& id : of_version->second) others.push_back(snapshots_.find(id)->second);
    }
  }
  WriteBatch batch;
  if (!known) {
    std::erase_if(others, [&](const common::v1::SnapshotInfo& other) {
      return entrance != Entrance::kReplacesAll && !TakesThePlaceOf(other, snapshot, version);
    });
    for (const auto& other : others) {
      if (entrance != Entrance::kReplacesAll && usable(other)) return Verdict::kUnwanted;
      batch.Remove(WriteBatch::Table::kSnapshot, other.id()).Put(RemovedSnapshot{other.id(), clock_.Now()});
    }
    entry = snapshot;
    entry.clear_holders();
    entry.clear_experience();
    entry.set_function_id(version.function_id());
    entry.set_function_name(version.function_name());
    entry.set_app_name(version.app_name());
    if (entry.node_id().empty()) entry.set_node_id(node_id);
    if (!entry.has_created_at()) *entry.mutable_created_at() = ToProto(clock_.Now());
    batch.Put(entry);
  }
  entry.add_holders(node_id);
  std::sort(entry.mutable_holders()->begin(), entry.mutable_holders()->end());
  batch.AddHolder(entry.id(), node_id);
  RETURN_IF_ERROR(store_.Apply(batch));
  absl::MutexLock lock(&mu_);
  for (const auto& other : others) {
    Erase(other.id());
    removed_[other.id()] = clock_.Now();
    if (displaced != nullptr) displaced->push_back(other.id());
  }
  Insert(entry);
  metrics_.SetSnapshots(snapshots_.size());
  return Verdict::kKept;
}

absl::StatusOr<std::string> SnapshotCatalogue::RemoveHolder(absl::string_view snapshot_id, const std::string& node_id) {
  absl::MutexLock writing(&write_mu_);
  return RemoveHolderLocked(snapshot_id, node_id);
}

absl::StatusOr<std::string> SnapshotCatalogue::RemoveHolderLocked(absl::string_view snapshot_id,
                                                                  const std::string& node_id) {
  common::v1::SnapshotInfo entry;
  {
    absl::ReaderMutexLock lock(&mu_);
    const auto it = snapshots_.find(snapshot_id);
    if (it == snapshots_.end() || !Holds(it->second, node_id)) return "";
    entry = it->second;
  }
  auto& holders = *entry.mutable_holders();
  holders.erase(std::find(holders.begin(), holders.end(), node_id));
  WriteBatch batch;
  if (holders.empty()) {
    batch.Remove(WriteBatch::Table::kSnapshot, entry.id());
  } else {
    batch.RemoveHolder(entry.id(), node_id);
  }
  RETURN_IF_ERROR(store_.Apply(batch));
  absl::MutexLock lock(&mu_);
  if (holders.empty()) {
    Erase(entry.id());
    metrics_.SetSnapshots(snapshots_.size());
  } else {
    snapshots_[entry.id()] = entry;
  }
  return entry.version_id();
}

absl::StatusOr<SnapshotCatalogue::Reconciliation> SnapshotCatalogue::Reconcile(
    const std::string& node_id, const std::vector<common::v1::SnapshotInfo>& held,
    absl::FunctionRef<std::shared_ptr<const common::v1::VersionSpec>(absl::string_view)> version_of,
    absl::FunctionRef<bool(const common::v1::SnapshotInfo&)> usable) {
  absl::MutexLock writing(&write_mu_);
  Reconciliation result;
  std::set<std::string> held_ids;
  for (const auto& snapshot : held) held_ids.insert(snapshot.id());
  std::vector<std::string> lost_ids;
  std::set<std::string> known_ids;
  {
    absl::ReaderMutexLock lock(&mu_);
    for (const auto& [id, snapshot] : snapshots_) {
      if (!Holds(snapshot, node_id)) continue;
      known_ids.insert(id);
      if (!held_ids.contains(id)) lost_ids.push_back(id);
    }
  }
  // Struck out first: a snapshot that nobody holds any more makes room for another one of its version.
  for (const auto& id : lost_ids) {
    ASSIGN_OR_RETURN(const std::string version_id, RemoveHolderLocked(id, node_id));
    result.changed_version_ids.insert(version_id);
  }
  for (const auto& snapshot : held) {
    const auto version = version_of(snapshot.version_id());
    Verdict verdict = Verdict::kUnwanted;
    if (version != nullptr) {
      ASSIGN_OR_RETURN(verdict, AddHolderLocked(snapshot, node_id, *version, usable, Entrance::kFreePlace, nullptr));
    }
    if (verdict == Verdict::kUnwanted) {
      result.unwanted_snapshot_ids.push_back(snapshot.id());
    } else if (!known_ids.contains(snapshot.id())) {
      result.changed_version_ids.insert(snapshot.version_id());
    }
  }
  return result;
}

absl::StatusOr<std::set<std::string>> SnapshotCatalogue::ForgetNode(const std::string& node_id) {
  absl::MutexLock writing(&write_mu_);
  std::vector<std::string> ids;
  {
    absl::ReaderMutexLock lock(&mu_);
    for (const auto& [id, snapshot] : snapshots_) {
      if (Holds(snapshot, node_id)) ids.push_back(id);
    }
  }
  std::set<std::string> changed;
  for (const auto& id : ids) {
    ASSIGN_OR_RETURN(const std::string version_id, RemoveHolderLocked(id, node_id));
    changed.insert(version_id);
  }
  return changed;
}

absl::StatusOr<common::v1::SnapshotInfo> SnapshotCatalogue::Delete(absl::string_view snapshot_id) {
  absl::MutexLock writing(&write_mu_);
  ASSIGN_OR_RETURN(common::v1::SnapshotInfo snapshot, Get(snapshot_id));
  RETURN_IF_ERROR(store_.Apply(WriteBatch()
                                   .Remove(WriteBatch::Table::kSnapshot, snapshot.id())
                                   .Put(RemovedSnapshot{snapshot.id(), clock_.Now()})));
  absl::MutexLock lock(&mu_);
  Erase(snapshot.id());
  removed_[snapshot.id()] = clock_.Now();
  metrics_.SetSnapshots(snapshots_.size());
  return snapshot;
}

absl::Status SnapshotCatalogue::DropVersion(const std::string& version_id) {
  absl::MutexLock writing(&write_mu_);
  const std::vector<common::v1::SnapshotInfo> snapshots = AllOfVersion(version_id);
  WriteBatch batch;
  batch.Remove(WriteBatch::Table::kCheckpointFailure, version_id);
  for (const auto& snapshot : snapshots) {
    // Remembered, because the very same version comes back when a changed config is changed back: a holder that was
    // away meanwhile must not revive a snapshot that people were told is gone.
    batch.Remove(WriteBatch::Table::kSnapshot, snapshot.id()).Put(RemovedSnapshot{snapshot.id(), clock_.Now()});
  }
  RETURN_IF_ERROR(store_.Apply(batch));
  absl::MutexLock lock(&mu_);
  for (const auto& snapshot : snapshots) {
    Erase(snapshot.id());
    removed_[snapshot.id()] = clock_.Now();
  }
  metrics_.SetSnapshots(snapshots_.size());
  return absl::OkStatus();
}

absl::Status SnapshotCatalogue::DropAllBut(const std::set<std::string>& live_version_ids) {
  std::set<std::string> dead;
  {
    absl::ReaderMutexLock lock(&mu_);
    for (const auto& [version_id, snapshot_ids] : by_version_) {
      if (!live_version_ids.contains(version_id)) dead.insert(version_id);
    }
  }
  for (const auto& version_id : dead) RETURN_IF_ERROR(DropVersion(version_id));

  absl::MutexLock writing(&write_mu_);
  WriteBatch batch;
  std::vector<std::string> old;
  {
    absl::ReaderMutexLock lock(&mu_);
    for (const auto& [id, removed_at] : removed_) {
      if (clock_.Now() - removed_at <= limits::kRemovedSnapshotMemory) continue;
      batch.Remove(WriteBatch::Table::kRemovedSnapshot, id);
      old.push_back(id);
    }
  }
  RETURN_IF_ERROR(store_.Apply(batch));
  absl::MutexLock lock(&mu_);
  for (const auto& id : old) removed_.erase(id);
  return absl::OkStatus();
}

absl::StatusOr<common::v1::SnapshotInfo> SnapshotCatalogue::Get(absl::string_view snapshot_id) const {
  absl::ReaderMutexLock lock(&mu_);
  const auto it = snapshots_.find(snapshot_id);
  if (it == snapshots_.end()) return errors::SnapshotNotFound(snapshot_id);
  return it->second;
}

std::vector<common::v1::SnapshotInfo> SnapshotCatalogue::List(absl::string_view function_id) const {
  std::vector<common::v1::SnapshotInfo> list;
  {
    absl::ReaderMutexLock lock(&mu_);
    for (const auto& [id, snapshot] : snapshots_) {
      if (function_id.empty() || snapshot.function_id() == function_id) list.push_back(snapshot);
    }
  }
  std::stable_sort(list.begin(), list.end(), [](const auto& a, const auto& b) {
    return FromProto(a.created_at()) > FromProto(b.created_at());
  });
  return list;
}

absl::Status SnapshotCatalogue::SetExperiences(
    const std::vector<std::pair<std::string, common::v1::SnapshotExperience>>& experiences) {
  absl::MutexLock writing(&write_mu_);
  WriteBatch batch;
  std::vector<common::v1::SnapshotInfo> changed;
  {
    absl::ReaderMutexLock lock(&mu_);
    for (const auto& [id, experience] : experiences) {
      const auto it = snapshots_.find(id);
      if (it == snapshots_.end()) continue;
      common::v1::SnapshotInfo& snapshot = changed.emplace_back(it->second);
      *snapshot.mutable_experience() = experience;
      if (experience.ByteSizeLong() == 0) snapshot.clear_experience();
    }
  }
  for (const auto& snapshot : changed) batch.Put(snapshot);
  RETURN_IF_ERROR(store_.Apply(batch));
  absl::MutexLock lock(&mu_);
  for (const auto& snapshot : changed) {
    common::v1::SnapshotInfo& entry = snapshots_[snapshot.id()];
    if (snapshot.has_experience()) {
      *entry.mutable_experience() = snapshot.experience();
    } else {
      entry.clear_experience();
    }
  }
  return absl::OkStatus();
}

std::optional<common::v1::SnapshotInfo> SnapshotCatalogue::OfVersion(absl::string_view version_id) const {
  std::vector<common::v1::SnapshotInfo> all = AllOfVersion(version_id);
  if (all.empty()) return std::nullopt;
  return std::move(all.front());
}

std::vector<common::v1::SnapshotInfo> SnapshotCatalogue::AllOfVersion(absl::string_view version_id) const {
  std::vector<common::v1::SnapshotInfo> all;
  {
    absl::ReaderMutexLock lock(&mu_);
    const auto it = by_version_.find(version_id);
    if (it == by_version_.end()) return all;
    for (const auto& id : it->second) all.push_back(snapshots_.find(id)->second);
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return IsChosen(a) != IsChosen(b) ? IsChosen(a) : a.invocations() < b.invocations();
  });
  return all;
}

void SnapshotCatalogue::Insert(const common::v1::SnapshotInfo& snapshot) {
  by_version_[snapshot.version_id()].insert(snapshot.id());
  snapshots_[snapshot.id()] = snapshot;
}

void SnapshotCatalogue::Erase(absl::string_view snapshot_id) {
  const auto it = snapshots_.find(snapshot_id);
  if (it == snapshots_.end()) return;
  if (const auto of_version = by_version_.find(it->second.version_id()); of_version != by_version_.end()) {
    of_version->second.erase(it->first);
    if (of_version->second.empty()) by_version_.erase(of_version);
  }
  snapshots_.erase(it);
}

}  // namespace thaw::scheduler
