#include "scheduler/membership/checkpoint_grants.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/limits.h"

namespace thaw::scheduler {
namespace {

absl::Duration BackoffAfter(std::uint32_t failures) {
  return limits::kCheckpointFirstBackoff * (std::int64_t{1} << (std::min(failures, limits::kMaxCheckpointFailures) - 1));
}

}  // namespace

CheckpointGrants::CheckpointGrants(const Clock& clock, SchedulerMetrics& metrics,
                                   const std::vector<CheckpointFailure>& failures)
    : clock_(clock), metrics_(metrics) {
  absl::MutexLock lock(&mu_);
  for (const auto& failure : failures) versions_[failure.version_id].failure = failure;
}

CheckpointGrants::Decision CheckpointGrants::Request(const std::string& version_id, const std::string& node_id,
                                                     const std::string& instance_id, bool snapshot_exists,
                                                     bool manual) {
  const auto decide = [this](GrantOutcome outcome, std::optional<absl::Duration> retry_after, std::string reason) {
    metrics_.CheckpointGrant(outcome);
    return Decision{outcome, retry_after, std::move(reason), clock_.Now()};
  };
  if (snapshot_exists && !manual) {
    return decide(GrantOutcome::kRefusedSnapshotExists, limits::kCheckpointRecheck, "the version has a snapshot");
  }
  absl::MutexLock lock(&mu_);
  const absl::Time now = clock_.Now();
  const auto it = versions_.find(version_id);
  if (it != versions_.end()) {
    const Entry& entry = it->second;
    if (entry.grant.has_value() &&
        (entry.grant->node_id != node_id || entry.grant->instance_id != instance_id)) {
      const absl::Duration left = std::max(entry.grant->expires_at - now, absl::Seconds(1));
      return decide(GrantOutcome::kRefusedBusy, std::min(left, limits::kCheckpointFirstBackoff),
                    absl::StrCat("instance ", entry.grant->instance_id, " on node ", entry.grant->node_id,
                                 " is being frozen"));
    }
    const CheckpointFailure& failure = entry.failure;
    if (!manual && !entry.grant.has_value() && failure.failures >= limits::kMaxCheckpointFailures) {
      return decide(GrantOutcome::kRefusedGivenUp, std::nullopt,
                    absl::StrCat("freezing failed ", failure.failures, " times, the last time with: ",
                                 failure.last_error));
    }
    if (!manual && !entry.grant.has_value() && failure.failures > 0) {
      const absl::Time next = failure.failed_at + BackoffAfter(failure.failures);
      if (now < next) {
        return decide(GrantOutcome::kRefusedBackoff, next - now,
                      absl::StrCat("freezing failed: ", failure.last_error));
      }
    }
  }
  versions_[version_id].grant = Grant{node_id, instance_id, now + limits::kCheckpointGrantTime, manual};
  return decide(GrantOutcome::kGranted, std::nullopt, "");
}

bool CheckpointGrants::IsManual(absl::string_view version_id, absl::string_view node_id,
                                absl::string_view instance_id) const {
  absl::MutexLock lock(&mu_);
  const auto it = versions_.find(version_id);
  return it != versions_.end() && it->second.grant.has_value() && it->second.grant->manual &&
         it->second.grant->node_id == node_id && it->second.grant->instance_id == instance_id;
}

CheckpointGrants::Decision CheckpointGrants::Refuse(GrantOutcome outcome, std::string reason) {
  metrics_.CheckpointGrant(outcome);
  return Decision{outcome, std::nullopt, std::move(reason), clock_.Now()};
}

bool CheckpointGrants::OnPublished(const std::string& version_id) {
  metrics_.CheckpointGrant(GrantOutcome::kPublished);
  return Forget(version_id);
}

CheckpointFailure CheckpointGrants::OnFailed(const std::string& version_id, const std::string& node_id,
                                             const std::string& instance_id, absl::string_view error) {
  absl::MutexLock lock(&mu_);
  Entry& entry = versions_[version_id];
  if (entry.expired_node_id == node_id && entry.expired_instance_id == instance_id) {
    // Better than what was known when the grant ran out.
    entry.failure.last_error = std::string(error);
    return entry.failure;
  }
  // Of an earlier process of this scheduler, or of nobody: it counts all the same, but another's grant stays.
  if (entry.grant.has_value() && entry.grant->node_id == node_id && entry.grant->instance_id == instance_id) {
    entry.grant.reset();
  }
  metrics_.CheckpointGrant(GrantOutcome::kFailed);
  return CountFailure(version_id, entry, error);
}

std::vector<CheckpointFailure> CheckpointGrants::ExpireDue() {
  absl::MutexLock lock(&mu_);
  std::vector<CheckpointFailure> failures;
  for (auto& [version_id, entry] : versions_) {
    if (!entry.grant.has_value() || clock_.Now() < entry.grant->expires_at) continue;
    entry.expired_node_id = entry.grant->node_id;
    entry.expired_instance_id = entry.grant->instance_id;
    const std::string error =
        absl::StrCat("node ", entry.grant->node_id, " did not report the end of the checkpoint within ",
                     absl::FormatDuration(limits::kCheckpointGrantTime));
    entry.grant.reset();
    metrics_.CheckpointGrant(GrantOutcome::kExpired);
    failures.push_back(CountFailure(version_id, entry, error));
  }
  return failures;
}

void CheckpointGrants::OnNodeLost(absl::string_view node_id) {
  absl::MutexLock lock(&mu_);
  for (auto& [version_id, entry] : versions_) {
    if (!entry.grant.has_value() || entry.grant->node_id != node_id) continue;
    entry.grant.reset();
    metrics_.CheckpointGrant(GrantOutcome::kNodeLost);
  }
}

bool CheckpointGrants::Forget(absl::string_view version_id) {
  absl::MutexLock lock(&mu_);
  const auto it = versions_.find(version_id);
  if (it == versions_.end()) return false;
  const bool had_failures = it->second.failure.failures > 0;
  versions_.erase(it);
  return had_failures;
}

std::optional<CheckpointFailure> CheckpointGrants::LastFailure(absl::string_view version_id) const {
  absl::MutexLock lock(&mu_);
  const auto it = versions_.find(version_id);
  if (it == versions_.end() || it->second.failure.failures == 0) return std::nullopt;
  return it->second.failure;
}

CheckpointFailure& CheckpointGrants::CountFailure(const std::string& version_id, Entry& entry, absl::string_view error) {
  entry.failure.version_id = version_id;
  ++entry.failure.failures;
  entry.failure.last_error = std::string(error);
  entry.failure.failed_at = clock_.Now();
  return entry.failure;
}

}  // namespace thaw::scheduler
