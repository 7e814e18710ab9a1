#include "scheduler/lease/lease_table.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/ids/ids.h"
#include "scheduler/errors.h"
#include "scheduler/lease/lease_id.h"
#include "scheduler/limits.h"

namespace thaw::scheduler {

LeaseTable::LeaseTable(Options options, const Clock& clock, SchedulerMetrics& metrics)
    : options_(std::move(options)), clock_(clock), metrics_(metrics) {
  metrics_.SetLeases(0);
}

std::string LeaseTable::KeyOf(absl::string_view gateway_id, absl::string_view version_id, absl::string_view node_id) {
  return absl::StrCat(version_id, "/", node_id, "/", gateway_id);
}

void LeaseTable::Insert(const std::string& lease_id, Entry entry) {
  entry.expires_at = clock_.Now() + options_.time_to_live;
  next_expiry_ = std::min(next_expiry_, entry.expires_at);
  NodeLeases& node = by_node_[entry.node_id];
  ++node.leases;
  auto& of_version = node.versions[entry.version_id];
  ++of_version.leases;
  of_version.memory_bytes = entry.memory_bytes;
  leases_[lease_id] = std::move(entry);
  metrics_.SetLeases(leases_.size());
}

absl::StatusOr<std::string> LeaseTable::Grant(const std::string& gateway_id, const common::v1::VersionSpec& version,
                                              const std::string& node_id) {
  absl::MutexLock lock(&mu_);
  const std::string key = KeyOf(gateway_id, version.version_id(), node_id);
  if (const auto it = by_key_.find(key); it != by_key_.end()) {
    leases_[it->second].expires_at = clock_.Now() + options_.time_to_live;
    return it->second;
  }
  if (leases_.size() >= limits::kMaxLeases) return errors::TooMany("leases", limits::kMaxLeases);
  const std::string lease_id =
      LeaseId{version.version_id(), node_id, options_.epoch, NewHexId(8)}.Encode();
  by_key_[key] = lease_id;
  Insert(lease_id, Entry{gateway_id, version.function_id(), version.version_id(), node_id,
                         std::uint64_t{version.memory_mib()} << 20, {}});
  metrics_.LeaseGranted(/*adopted=*/false);
  return lease_id;
}

LeaseTable::Renewal LeaseTable::Renew(const std::string& gateway_id, const std::string& lease_id) {
  absl::MutexLock lock(&mu_);
  const auto it = leases_.find(lease_id);
  if (it != leases_.end()) {
    if (it->second.gateway_id != gateway_id) return Renewal::kEnded;
    it->second.expires_at = clock_.Now() + options_.time_to_live;
    return Renewal::kRenewed;
  }
  // One of this process that is not in the table has ended, and a renewal must not bring it back.
  const auto id = LeaseId::Parse(lease_id);
  return id.has_value() && id->epoch != options_.epoch ? Renewal::kForeign : Renewal::kEnded;
}

absl::StatusOr<LeaseTable::Renewal> LeaseTable::Adopt(const std::string& gateway_id, const std::string& lease_id,
                                                      const common::v1::VersionSpec& version,
                                                      const std::string& node_id) {
  absl::MutexLock lock(&mu_);
  // Two renewals at the same time may both have found it foreign. Entered twice, it would count twice and leave once.
  if (const auto it = leases_.find(lease_id); it != leases_.end()) {
    if (it->second.gateway_id != gateway_id) return Renewal::kEnded;
    it->second.expires_at = clock_.Now() + options_.time_to_live;
    return Renewal::kRenewed;
  }
  if (leases_.size() >= limits::kMaxLeases) return errors::TooMany("leases", limits::kMaxLeases);
  by_key_.try_emplace(KeyOf(gateway_id, version.version_id(), node_id), lease_id);
  Insert(lease_id, Entry{gateway_id, version.function_id(), version.version_id(), node_id,
                         std::uint64_t{version.memory_mib()} << 20, {}});
  metrics_.LeaseGranted(/*adopted=*/true);
  return Renewal::kRenewed;
}

void LeaseTable::Release(const std::string& gateway_id, const std::vector<std::string>& lease_ids) {
  absl::MutexLock lock(&mu_);
  for (const auto& lease_id : lease_ids) {
    const auto it = leases_.find(lease_id);
    if (it != leases_.end() && it->second.gateway_id == gateway_id) Erase(lease_id, LeaseEnd::kReleased);
  }
}

void LeaseTable::Erase(const std::string& lease_id, LeaseEnd cause) {
  const auto it = leases_.find(lease_id);
  if (it == leases_.end()) return;
  const auto key = by_key_.find(KeyOf(it->second.gateway_id, it->second.version_id, it->second.node_id));
  if (key != by_key_.end() && key->second == lease_id) by_key_.erase(key);
  NodeLeases& node = by_node_[it->second.node_id];
  if (--node.versions[it->second.version_id].leases == 0) node.versions.erase(it->second.version_id);
  if (--node.leases == 0) by_node_.erase(it->second.node_id);
  leases_.erase(it);
  metrics_.SetLeases(leases_.size());
  metrics_.LeaseEnded(cause);
}

template <typename Predicate>
LeaseTable::Notices LeaseTable::EndIf(LeaseEnd cause, Predicate ends) {
  absl::flat_hash_map<std::string, std::vector<std::string>> by_gateway;
  for (const auto& [lease_id, entry] : leases_) {
    if (ends(entry)) by_gateway[entry.gateway_id].push_back(lease_id);
  }
  Notices notices;
  for (auto& [gateway_id, lease_ids] : by_gateway) {
    for (const auto& lease_id : lease_ids) Erase(lease_id, cause);
    if (const auto it = watchers_.find(gateway_id); it != watchers_.end()) {
      notices.emplace_back(it->second, std::move(lease_ids));
    }
  }
  return notices;
}

void LeaseTable::Tell(const Notices& notices) {
  for (const auto& [watchers, lease_ids] : notices) {
    for (const auto& watcher : watchers) watcher->OnLeasesEnded(lease_ids);
  }
}

void LeaseTable::EndOfNode(absl::string_view node_id) {
  Notices notices;
  {
    absl::MutexLock lock(&mu_);
    notices = EndIf(LeaseEnd::kNodeLost, [&](const Entry& entry) { return entry.node_id == node_id; });
  }
  Tell(notices);
}

void LeaseTable::EndOfFunctions(const std::vector<std::string>& function_ids) {
  Notices notices;
  Watchers all;
  {
    absl::MutexLock lock(&mu_);
    const absl::flat_hash_set<std::string> functions(function_ids.begin(), function_ids.end());
    notices = EndIf(LeaseEnd::kFunctionChanged,
                    [&](const Entry& entry) { return functions.contains(entry.function_id); });
    for (const auto& entry : watchers_) all.insert(all.end(), entry.second.begin(), entry.second.end());
  }
  Tell(notices);
  for (const auto& watcher : all) watcher->OnFunctionsChanged(function_ids);
}

void LeaseTable::Withdraw(const std::string& lease_id, LeaseEnd cause) {
  absl::MutexLock lock(&mu_);
  Erase(lease_id, cause);
}

void LeaseTable::ExpireDue() {
  Notices notices;
  {
    absl::MutexLock lock(&mu_);
    const absl::Time now = clock_.Now();
    if (now < next_expiry_) return;
    notices = EndIf(LeaseEnd::kExpired, [&](const Entry& entry) { return entry.expires_at <= now; });
    next_expiry_ = absl::InfiniteFuture();
    for (const auto& entry : leases_) next_expiry_ = std::min(next_expiry_, entry.second.expires_at);
  }
  Tell(notices);
}

void LeaseTable::Forgive(absl::Duration gap) {
  absl::MutexLock lock(&mu_);
  for (auto& entry : leases_) entry.second.expires_at += gap;
}

absl::Status LeaseTable::Watch(const std::string& gateway_id, std::shared_ptr<LeaseWatcher> watcher) {
  absl::MutexLock lock(&mu_);
  if (stopped_) return errors::Stopping();
  if (watcher_count_ >= limits::kMaxWatchers) return errors::TooMany("lease watchers", limits::kMaxWatchers);
  watchers_[gateway_id].push_back(std::move(watcher));
  ++watcher_count_;
  return absl::OkStatus();
}

void LeaseTable::Unwatch(const std::string& gateway_id, const LeaseWatcher* watcher) {
  std::shared_ptr<LeaseWatcher> dropped;  // Its last reference may be this one: not to die under the lock.
  absl::MutexLock lock(&mu_);
  const auto it = watchers_.find(gateway_id);
  if (it == watchers_.end()) return;
  const auto found = std::find_if(it->second.begin(), it->second.end(),
                                  [&](const auto& entry) { return entry.get() == watcher; });
  if (found == it->second.end()) return;
  dropped = std::move(*found);
  it->second.erase(found);
  if (it->second.empty()) watchers_.erase(it);
  --watcher_count_;
}

void LeaseTable::Stop() {
  Watchers all;
  {
    absl::MutexLock lock(&mu_);
    stopped_ = true;
    for (const auto& entry : watchers_) all.insert(all.end(), entry.second.begin(), entry.second.end());
  }
  for (const auto& watcher : all) watcher->OnStopping();
}

absl::flat_hash_map<std::string, LeaseTable::NodeLeases> LeaseTable::ByNode() const {
  absl::MutexLock lock(&mu_);
  return by_node_;
}

std::size_t LeaseTable::size() const {
  absl::MutexLock lock(&mu_);
  return leases_.size();
}

}  // namespace thaw::scheduler
