#ifndef THAW_SCHEDULER_MEMBERSHIP_CHECKPOINT_GRANTS_H_
#define THAW_SCHEDULER_MEMBERSHIP_CHECKPOINT_GRANTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "scheduler/metrics.h"
#include "scheduler/store/store.h"

namespace thaw::scheduler {

// Who may freeze what: one instance per version at a time.
//
// A grant's life: given; then published, failed, run out (kCheckpointGrantTime), or its node lost. A failure or a
// grant that ran out counts against the version: the next grant waits kCheckpointFirstBackoff, twice as long each
// time, and after kMaxCheckpointFailures there is none, until the version's failures are forgotten. A lost node's
// grant is free at once and counts against nobody.
//
// Threads: any. What must be kept for after a restart is returned to the caller, who stores it.
class CheckpointGrants {
 public:
  struct Decision {
    GrantOutcome outcome = GrantOutcome::kGranted;
    // Nothing: not for this version.
    std::optional<absl::Duration> retry_after;
    std::string reason;
    absl::Time decided_at;
    bool granted() const { return outcome == GrantOutcome::kGranted; }
  };

  // `clock` and `metrics` must outlive this. `failures` are those from before a restart.
  CheckpointGrants(const Clock& clock, SchedulerMetrics& metrics, const std::vector<CheckpointFailure>& failures);

  // Asking again for the instance that has the grant renews it: its node may not have heard the answer.
  // `snapshot_exists`: the version has one that some node can be restored from; of a version that learns, one for as
  // many calls as this instance has answered.
  // `manual`: a person wishes it. Then neither a snapshot nor earlier failures stand in its way.
  Decision Request(const std::string& version_id, const std::string& node_id, const std::string& instance_id,
                   bool snapshot_exists, bool manual = false) ABSL_LOCKS_EXCLUDED(mu_);

  // Whether that instance's grant was given to a person's wish.
  bool IsManual(absl::string_view version_id, absl::string_view node_id, absl::string_view instance_id) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // A refusal for a cause that lies elsewhere.
  Decision Refuse(GrantOutcome outcome, std::string reason);

  // The checkpoint was published: the version starts over without failures. True when there were any on record.
  bool OnPublished(const std::string& version_id) ABSL_LOCKS_EXCLUDED(mu_);
  // It went wrong; counted unless that happened when its grant ran out.
  CheckpointFailure OnFailed(const std::string& version_id, const std::string& node_id,
                             const std::string& instance_id, absl::string_view error)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Grants that ran out, each a failure.
  std::vector<CheckpointFailure> ExpireDue() ABSL_LOCKS_EXCLUDED(mu_);
  void OnNodeLost(absl::string_view node_id) ABSL_LOCKS_EXCLUDED(mu_);
  // The version is gone, or a person removed its snapshot: whatever was counted is void. True when there was anything.
  bool Forget(absl::string_view version_id) ABSL_LOCKS_EXCLUDED(mu_);

  std::optional<CheckpointFailure> LastFailure(absl::string_view version_id) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Grant {
    std::string node_id, instance_id;
    absl::Time expires_at;
    bool manual = false;
  };
  struct Entry {
    std::optional<Grant> grant;
    // The last grant that ran out: its failure is counted, should its node still report one.
    std::string expired_node_id, expired_instance_id;
    CheckpointFailure failure;
  };

  CheckpointFailure& CountFailure(const std::string& version_id, Entry& entry, absl::string_view error)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Clock& clock_;
  SchedulerMetrics& metrics_;
  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, Entry> versions_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_MEMBERSHIP_CHECKPOINT_GRANTS_H_
