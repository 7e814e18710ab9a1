#ifndef THAW_AGENT_RECOVERY_VERSION_REMOVAL_H_
#define THAW_AGENT_RECOVERY_VERSION_REMOVAL_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/pool/pool.h"
#include "agent/pool/slot.h"
#include "agent/snapshot/key_locks.h"
#include "agent/snapshot/store.h"
#include "agent/state/paths.h"
#include "common/clock/clock.h"
#include "spdlog/logger.h"

namespace thaw::agent {

// Removes what versions leave on the disk, and keeps that apart from versions that come back: a version's id
// says all that it is, so one that is deployed again has the directory and the snapshots of the one that was
// removed.
//
// All slots are made through it. Whatever a version's new pool does on the disk, it does with a slot; so
// while the version is being removed no slot of it is made, and while anything could make or use one it is
// not removed.
//
// Threads: any; the methods block.
class VersionRemoval final : public SlotFactory {
 public:
  struct Deps {
    SlotFactory& slots;
    SnapshotStore& store;
    Paths paths;
    const Clock& clock;
    std::shared_ptr<spdlog::logger> log;
  };
  explicit VersionRemoval(const Deps& deps) : deps_(deps) {}

  // Removes the version's snapshots and directory, unless `pool` has it (again), and tells which snapshots
  // have gone. What can't be removed is logged, and stays.
  std::vector<std::string> Remove(const Pool& pool, const std::string& version_id);

  // As the factory's own, after the version's removal where one is under way: DEADLINE_EXCEEDED when that
  // takes until `deadline`.
  absl::StatusOr<std::unique_ptr<Slot>> Create(const VersionState& version, absl::Time deadline) override;
  void Destroy(std::unique_ptr<Slot> slot) override;

 private:
  const Deps deps_;
  KeyLocks removals_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_RECOVERY_VERSION_REMOVAL_H_
