#include "agent/node/node_snapshots.h"

#include <utility>
#include <vector>

namespace thaw::agent {

absl::Status NodeSnapshots::Fetch(const VersionState& version, absl::Time deadline) {
  std::vector<Holder> holders;
  for (const auto& holder : version.snapshot_holders()) {
    if (holder.node_id() != node_id_) holders.push_back({holder.node_id(), holder.address()});
  }
  return fetcher_.Fetch(version.snapshot().id(), version.spec().version_id(), holders, deadline).status();
}

void NodeSnapshots::ReportHeld(const thaw::common::v1::SnapshotInfo& snapshot) {
  thaw::scheduler::v1::NodeMessage message;
  *message.mutable_snapshot_held()->mutable_snapshot() = snapshot;
  link_.Send(std::move(message));
}

void NodeSnapshots::ReportGone(const std::string& snapshot_id, const std::string& reason) {
  thaw::scheduler::v1::NodeMessage message;
  message.mutable_snapshot_gone()->set_snapshot_id(snapshot_id);
  message.mutable_snapshot_gone()->set_reason(reason);
  link_.Send(std::move(message));
}

}  // namespace thaw::agent
