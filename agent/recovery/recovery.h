#ifndef THAW_AGENT_RECOVERY_RECOVERY_H_
#define THAW_AGENT_RECOVERY_RECOVERY_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/container/runtime.h"
#include "agent/metrics.h"
#include "agent/pool/pool.h"
#include "agent/snapshot/store.h"
#include "agent/start/restorer.h"
#include "agent/state/paths.h"
#include "common/clock/clock.h"
#include "spdlog/logger.h"

namespace thaw::agent {

// What a restarted agent does with what its former self left on this host, before it takes calls.
//
// Kept: a running instance that listens, and an empty slot, of a version that is still known. Everything else goes:
// containers that stand still or whose init does not answer, checkpoints and restores that were under way, canaries, slot
// directories without a container, half dumps, half laid-out snapshots, and laid-out ones that the store does not have. Calls that were under way are lost; their callers
// were told by the broken connection. Installed tools that no kept container has mounted go too. The snapshot store
// cleans up after itself when it is opened.
class Recovery {
 public:
  struct Deps {
    ContainerRuntime& runtime;
    SlotInitConnector& connector;
    Restorer& restorer;
    Pool& pool;
    AgentMetrics& metrics;
    const Clock& clock;
    Paths paths;
    // Those that new slots get, as InstallTools() names them.
    std::string tools;
    std::shared_ptr<spdlog::logger> log;
    SnapshotStore& store;
  };
  Recovery(std::string node_id, const Deps& deps) : node_id_(std::move(node_id)), deps_(deps) {}

  // UNAVAILABLE when the engine does not answer: the agent must not start then, or it would run beside its orphans.
  absl::Status Run(absl::Time deadline);

 private:
  // True when the container's slot was kept.
  bool Keep(const ContainerInfo& container);
  bool KeepOccupied(std::unique_ptr<Slot> slot, const InitStatus& status, VersionPool& pool);
  void RemoveHalfDone();

  const std::string node_id_;
  const Deps deps_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_RECOVERY_RECOVERY_H_
