#include "agent/node/snapshot_standing.h"

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"

namespace thaw::agent {
namespace {

template <typename Holders>
SnapshotStanding AmongHolders(const std::string& snapshot_id, const Holders& holders,
                              const std::string& node_id) {
  const auto rank = [&snapshot_id](const std::string& node) {
    return Sha256Hex(absl::StrCat(snapshot_id, "/", node));
  };
  const std::string own = rank(node_id);
  for (const auto& holder : holders) {
    if (holder.node_id() != node_id && rank(holder.node_id()) > own) return SnapshotStanding::kHeldElsewhere;
  }
  return SnapshotStanding::kKeep;
}

}  // namespace

SnapshotStanding StandingOf(const thaw::common::v1::SnapshotInfo& snapshot,
                            const std::vector<VersionState>& versions, const std::string& node_id) {
  for (const VersionState& version : versions) {
    if (version.spec().version_id() != snapshot.version_id()) continue;
    for (const auto& candidate : version.candidates()) {
      if (candidate.snapshot().id() != snapshot.id()) continue;
      return AmongHolders(snapshot.id(), candidate.holders(), node_id);
    }
    if (!version.has_snapshot()) return SnapshotStanding::kKeep;
    if (version.snapshot().id() == snapshot.id()) {
      return AmongHolders(snapshot.id(), version.snapshot_holders(), node_id);
    }
  }
  return SnapshotStanding::kNotCurrent;
}

}  // namespace thaw::agent
