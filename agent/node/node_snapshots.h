#ifndef THAW_AGENT_NODE_NODE_SNAPSHOTS_H_
#define THAW_AGENT_NODE_NODE_SNAPSHOTS_H_

#include <string>

#include "agent/node/scheduler_link.h"
#include "agent/start/sources.h"
#include "agent/transfer/snapshot_fetcher.h"

namespace thaw::agent {

// Snapshots of other nodes, and the scheduler's news of ours. Threads: any.
class NodeSnapshots final : public SnapshotSource {
 public:
  NodeSnapshots(SnapshotFetcher& fetcher, SchedulerLink& link, std::string node_id)
      : fetcher_(fetcher), link_(link), node_id_(std::move(node_id)) {}

  absl::Status Fetch(const VersionState& version, absl::Time deadline) override;
  void ReportHeld(const thaw::common::v1::SnapshotInfo& snapshot) override;
  void ReportGone(const std::string& snapshot_id, const std::string& reason) override;

 private:
  SnapshotFetcher& fetcher_;
  SchedulerLink& link_;
  const std::string node_id_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_NODE_NODE_SNAPSHOTS_H_
