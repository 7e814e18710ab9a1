#ifndef THAW_AGENT_CPU_NODE_CPU_H_
#define THAW_AGENT_CPU_NODE_CPU_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/cpu/features.h"
#include "thaw/common/v1/catalogue.pb.h"

namespace thaw::agent {

// What this node's CPU can do, and what the node says that it can.
struct NodeCpu {
  HostCpu host;
  // What the scheduler is told, and what snapshots must be content with: the host's, or what the operator said.
  CpuFeatures reported;
  // What functions that start here are held to, whatever they ask for themselves: the highest level within `reported`;
  // kNative where the node reports what it has. So a node that says it is old makes snapshots that old nodes can restore.
  CpuLevel limit = CpuLevel::kNative;

  // A Node with nothing but its id and its CPU.
  common::v1::Node AsNode(const std::string& node_id) const;
};

// `told` is --cpu-features: empty or `native` for what the host has, a level (`x86-64-v2`), or features in /proc/cpuinfo's
// words, with commas between them.
//
//   INVALID_ARGUMENT     a feature that the host has not, or a level on another architecture than x86_64
absl::StatusOr<NodeCpu> MakeNodeCpu(HostCpu host, absl::string_view told);

// What a function with this `baseline` (FreezeSettings.cpu_baseline) is held to on this node: the lower of the baseline and
// the node's own limit. kNative on other architectures than x86_64, and for a baseline that this agent does not know.
CpuLevel EffectiveLevel(const NodeCpu& cpu, absl::string_view baseline);

// What a process that was started here with `level` and this command may rely on: SnapshotInfo.cpu_features. It has more
// than the level where the command is a runtime with a choice that no setting reaches.
CpuFeatures FrozenFeatures(const NodeCpu& cpu, CpuLevel level, const std::vector<std::string>& argv);

}  // namespace thaw::agent

#endif  // THAW_AGENT_CPU_NODE_CPU_H_
