#ifndef THAW_AGENT_CONTAINER_SLOT_SPEC_H_
#define THAW_AGENT_CONTAINER_SLOT_SPEC_H_

#include <cstdint>
#include <string>

#include "agent/container/profile.h"
#include "agent/container/runtime.h"
#include "agent/state/paths.h"

namespace thaw::agent {

// The labels of the agent's containers, by which it finds its own again after a restart.
inline constexpr char kNodeLabel[] = "thaw.node";
inline constexpr char kRoleLabel[] = "thaw.role";
inline constexpr char kSlotLabel[] = "thaw.slot";
inline constexpr char kVersionLabel[] = "thaw.version";
inline constexpr char kFunctionLabel[] = "thaw.function";
// Which of the installed tools the container has mounted, as InstallTools() names them.
inline constexpr char kToolsLabel[] = "thaw.tools";
// Values of kRoleLabel. A probe's container that is found at the agent's start is left over from a crash.
inline constexpr char kSlotRole[] = "slot";
inline constexpr char kProbeRole[] = "probe";

// Processes and threads in a slot. Fn allows 50; a JVM has some 30 threads before the user's first one, and CRIU
// makes a helper for each task that it dumps or restores.
inline constexpr std::int64_t kSlotMaxPids = 512;

// What a slot's container gets beside the function's memory, for thaw-init and for CRIU, whose buffers count to the
// same cgroup: without it a function near its limit would be killed by its own checkpoint.
inline constexpr std::uint64_t kSlotOverheadBytes = 32ull << 20;

// The memory limit of a slot's container, which is also what a slot reserves of its node; 0 for 0 (no limit).
std::uint64_t SlotMemoryBytes(std::uint32_t memory_mib);

struct SlotRequest {
  std::string node_id;
  // 16 hex digits.
  std::string slot_id;
  // As InstallTools() names them.
  std::string tools;
  std::string version_id;
  std::string function_id;
  // `sha256:…`
  std::string image_id;
  // The function's own limit; 0 is none.
  std::uint32_t memory_mib = 0;
  // 0 is no limit.
  std::uint32_t cpu_millis = 0;
  // As ContainerSpec::network.
  std::string network = "bridge";
};

// The container of a slot, as docs/design/init-protocol.md has it: `/thaw/init --slot` with the slot's directories
// bound in (they must be there when it is created), /tmp of half the memory limit, since what lies there counts to
// the memory: a function that fills it sees a full disk and not the OOM killer.
ContainerSpec MakeSlotSpec(const SlotRequest& request, const Profile& profile, const Paths& paths);

}  // namespace thaw::agent

#endif  // THAW_AGENT_CONTAINER_SLOT_SPEC_H_
