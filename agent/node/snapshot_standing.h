#ifndef THAW_AGENT_NODE_SNAPSHOT_STANDING_H_
#define THAW_AGENT_NODE_SNAPSHOT_STANDING_H_

#include <string>
#include <vector>

#include "agent/pool/version_state.h"
#include "agent/snapshot/quota.h"

namespace thaw::agent {

// What the cluster would lose with `node_id`'s copy of the snapshot, by what the scheduler has told of the
// versions.
//
// A snapshot that several nodes hold is kept by one of them, which all work out alike from its id and their
// names: else two that evict it at the same time, each for the other's copy, would leave none. A version that
// is known without a snapshot keeps all of its own: the scheduler may not have heard of a new one yet.
SnapshotStanding StandingOf(const thaw::common::v1::SnapshotInfo& snapshot,
                            const std::vector<VersionState>& versions, const std::string& node_id);

}  // namespace thaw::agent

#endif  // THAW_AGENT_NODE_SNAPSHOT_STANDING_H_
