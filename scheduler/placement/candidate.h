#ifndef THAW_SCHEDULER_PLACEMENT_CANDIDATE_H_
#define THAW_SCHEDULER_PLACEMENT_CANDIDATE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "thaw/common/v1/catalogue.pb.h"

namespace thaw::scheduler {

// What is to be placed: calls of one version.
struct PlacementRequest {
  // `app/function`, for errors.
  std::string function;
  std::string version_id;
  // Of one instance.
  std::uint32_t memory_mib = 0;
  // Not chosen.
  std::vector<std::string> excluded_nodes;
  // The only one to choose; empty for any.
  std::string pinned_node;

  std::uint64_t memory_bytes() const { return std::uint64_t{memory_mib} << 20; }
};

// One node as placement sees it. Counts are those of the node's last heartbeat, less than a second or so old.
struct Candidate {
  std::string node_id;
  std::string address;
  common::v1::NodeState state = common::v1::NODE_STATE_UNSPECIFIED;
  // Why it is not ready.
  std::string reason;
  std::uint32_t cpus = 0;
  // 0: the node did not say, and counts as large enough.
  std::uint64_t memory_total_bytes = 0;
  std::uint64_t memory_reserved_bytes = 0;
  // Of that, what idle instances of other versions hold: the node stops those where it needs their room.
  std::uint64_t memory_idle_bytes = 0;
  // Memory of instances that leases were given for and that the node does not report yet.
  std::uint64_t memory_promised_bytes = 0;
  // Of the version asked for.
  std::uint32_t instances = 0;
  std::uint32_t busy_instances = 0;
  // Of all versions.
  std::uint32_t all_busy_instances = 0;
  std::uint32_t all_waiting_calls = 0;
  std::uint32_t leases = 0;
  // Whether it holds the snapshot that the version is restored from.
  bool holds_snapshot = false;
  // Whether that snapshot relies on what this node's CPU lacks: an instance here would start cold.
  bool unfit_for_snapshot = false;
};

// Whether the node has an instance of `request`'s version already, or can start one, if need be in the place of idle ones
// of other versions. (A slot does not matter: it holds no memory of an instance.)
bool HasRoom(const PlacementRequest& request, const Candidate& candidate);

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_PLACEMENT_CANDIDATE_H_
