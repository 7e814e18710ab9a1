#ifndef THAW_SCHEDULER_MEMBERSHIP_CLUSTER_H_
#define THAW_SCHEDULER_MEMBERSHIP_CLUSTER_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/executor/executor.h"
#include "scheduler/catalogue/catalogue.h"
#include "scheduler/catalogue/secret_catalogue.h"
#include "scheduler/catalogue/snapshot_catalogue.h"
#include "scheduler/learning/learner.h"
#include "scheduler/membership/checkpoint_grants.h"
#include "scheduler/membership/node_table.h"
#include "scheduler/store/store.h"
#include "spdlog/logger.h"
#include "thaw/common/v1/catalogue.pb.h"
#include "thaw/scheduler/v1/scheduler.pb.h"

namespace thaw::scheduler {

// The scheduler's end of one node's stream. Threads: any; calls must not block, nor call the cluster.
class NodeLink {
 public:
  virtual ~NodeLink() = default;
  // Queues a command; dropped once the link is closed.
  virtual void Send(v1::SchedulerMessage message) = 0;
  // Ends the stream with `status`.
  virtual void Close(absl::Status status) = 0;
};

// Told of what ends leases. Threads: any; calls must not block, nor call the cluster.
class ClusterListener {
 public:
  virtual ~ClusterListener() = default;
  virtual void OnNodeLost(const std::string& node_id) = 0;
  virtual void OnFunctionsChanged(const std::vector<std::string>& function_ids) = 0;
};

// What happens to one part of what the cluster knows when another changes: nodes come and go, functions change,
// snapshots appear and vanish, and every node is told what it needs to know of every version.
//
// A node always has, or is being sent, the latest state of every live version: states are built and queued under one
// lock, so that an older one never overtakes a newer one.
//
// Threads: any, except that what writes to the store belongs on the store's executor (marked "writer").
class Cluster final : public CatalogueListener {
 public:
  struct Options {
    absl::Duration heartbeat_interval = absl::Seconds(1);
    absl::Duration lost_after = absl::Seconds(5);
    std::uint32_t slots_per_node = 1;
  };
  // Nothing is owned; all must outlive the cluster.
  struct Deps {
    Store& store;
    Catalogue& catalogue;
    SnapshotCatalogue& snapshots;
    SecretCatalogue& secrets;
    NodeTable& nodes;
    CheckpointGrants& grants;
    SchedulerMetrics& metrics;
    // One thread.
    Executor& writer;
    std::shared_ptr<spdlog::logger> logger;
  };
  // Names one stream.
  struct Session {
    SessionId id = 0;
    std::string node_id;
  };

  // Becomes the catalogue's listener.
  Cluster(Options options, Deps deps);

  // Set before the first call; null for none.
  void SetListener(ClusterListener* listener) { listener_ = listener; }

  // Writer. A node's first message. Its copies are reconciled with the catalogue, then the link gets the welcome, every
  // version's state, and what to remove. A stream that the node had before is closed with ABORTED.
  //
  //   INVALID_ARGUMENT    the node's id or address is none
  //   RESOURCE_EXHAUSTED  too many nodes
  //   as Store::Apply
  absl::StatusOr<Session> Connect(const v1::Register& registration, std::shared_ptr<NodeLink> link)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Any later message. INVALID_ARGUMENT for a second registration or an empty message; as Store::Apply.
  absl::Status OnMessage(const Session& session, const v1::NodeMessage& message) ABSL_LOCKS_EXCLUDED(mu_);
  // Whether OnMessage() will write for it.
  static bool NeedsWriter(const v1::NodeMessage& message);
  // The stream is gone.
  void Disconnect(const Session& session) ABSL_LOCKS_EXCLUDED(mu_);

  // Looks for silent nodes and late checkpoints; call it several times per heartbeat interval.
  void Tick() ABSL_LOCKS_EXCLUDED(mu_);

  // Writer. NOT_FOUND; as Store::Apply.
  absl::Status DeleteSnapshot(absl::string_view snapshot_id) ABSL_LOCKS_EXCLUDED(mu_);

  // Writers. The nodes are told. As SecretCatalogue's, and NOT_FOUND for the app.
  absl::StatusOr<common::v1::Secret> SetSecret(const common::v1::SetSecretRequest& request) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status DeleteSecret(const common::v1::DeleteSecretRequest& request) ABSL_LOCKS_EXCLUDED(mu_);

  // As the node is told of it (membership/fitting.h); whole where `node_id` is empty or unknown. NOT_FOUND.
  absl::StatusOr<v1::VersionState> GetVersion(absl::string_view version_id, absl::string_view node_id = "") const
      ABSL_LOCKS_EXCLUDED(mu_);
  // The snapshot a version is restored from; nothing when there is none, all its holders are lost, or the version's
  // policy is never to be frozen. Of several candidates the first, with the holders of all.
  std::optional<common::v1::SnapshotInfo> UsableSnapshot(const common::v1::VersionSpec& version) const;
  // Why freezing the version failed last; empty when it did not.
  std::string CheckpointErrorOf(absl::string_view version_id) const;

  // Closes every stream with UNAVAILABLE and refuses new ones.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  // CatalogueListener; on the writer.
  void OnFunctionsChanged(const std::vector<FunctionChange>& changes) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Stream {
    SessionId session = 0;
    std::shared_ptr<NodeLink> link;
    // As registered: its CPU decides what it is told of.
    common::v1::Node node;
    // Versions it was told are gone, so that it is told once only.
    absl::flat_hash_set<std::string> told_removed;
  };

  absl::Status OnCheckpointResult(const Session& session, const v1::CheckpointResult& result);
  // `manual`: it was made by a person's wish, and takes the place of what the version has.
  absl::Status OnSnapshotHeld(const Session& session, const common::v1::SnapshotInfo& snapshot, bool manual = false);
  absl::Status OnRestoreReport(const Session& session, const v1::RestoreReport& report);
  // Writer. Keeps what was learned, removes what is of no use any more, and tells the nodes.
  absl::Status KeepLearned(const common::v1::VersionSpec& version, const Learner& learner);
  // Writer. Snapshots that a version has beyond those it may have by its policy.
  void DropSurplus(const common::v1::VersionSpec& version);
  absl::Status OnSnapshotGone(const Session& session, const v1::SnapshotGone& gone);
  void OnCheckpointRequest(const Session& session, const v1::CheckpointRequest& request);
  void OnHeartbeat(const Session& session, const v1::Heartbeat& heartbeat);

  bool IsUsable(const common::v1::SnapshotInfo& snapshot) const;
  v1::VersionState BuildState(const common::v1::VersionSpec& version) const;
  // With MODE_ON_DEPLOY, the node that is to freeze the version now; empty for none.
  std::string FreezerOf(const common::v1::VersionSpec& version) const;
  // What is sent to every node, as this one gets it.
  static v1::SchedulerMessage StateFor(const common::v1::Node& node, const v1::VersionState& state,
                                       const std::string& freezer);
  // Brings the nodes' knowledge of these versions up to date, where it is not.
  void Publish(const std::set<std::string>& version_ids) ABSL_LOCKS_EXCLUDED(mu_);
  void PublishAll() ABSL_LOCKS_EXCLUDED(mu_);
  // Those of the app that name the secret.
  void PublishUsersOf(const std::string& app_id, const std::string& secret) ABSL_LOCKS_EXCLUDED(mu_);
  // The versions that name the node as a holder.
  std::set<std::string> VersionsHeldBy(const std::string& node_id) const;
  void HandleTransition(const NodeTable::Transition& transition) ABSL_LOCKS_EXCLUDED(mu_);
  void SendTo(const std::string& node_id, v1::SchedulerMessage message) ABSL_LOCKS_EXCLUDED(mu_);
  void TellVersionRemoved(const Session& session, const std::string& version_id) ABSL_LOCKS_EXCLUDED(mu_);
  void KeepFailure(const CheckpointFailure& failure);
  void ForgetNode(const std::string& node_id);

  const Options options_;
  const Deps deps_;
  ClusterListener* listener_ = nullptr;

  // Taken before the locks of the catalogues and the node table, whose holders never call here.
  mutable absl::Mutex mu_;
  std::map<std::string, Stream> streams_ ABSL_GUARDED_BY(mu_);
  // What every stream was last sent, by version.
  std::map<std::string, v1::VersionState, std::less<>> published_ ABSL_GUARDED_BY(mu_);
  // Who was told to freeze a version on deploy; only while there is somebody.
  std::map<std::string, std::string, std::less<>> freezers_ ABSL_GUARDED_BY(mu_);
  // Of versions that have settled on a snapshot, by its id. The writer's.
  std::map<std::string, DriftWatch, std::less<>> drift_;
  SessionId last_session_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_MEMBERSHIP_CLUSTER_H_
