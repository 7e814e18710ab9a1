#ifndef THAW_AGENT_SNAPSHOT_LAID_OUT_H_
#define THAW_AGENT_SNAPSHOT_LAID_OUT_H_

#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "agent/snapshot/store.h"
#include "agent/state/paths.h"

namespace thaw::agent {

// The directories cracdata/<snapshot> in the versions' CRaC volumes, where snapshots lie ready for CRIU. Each
// is a whole memory image with whatever secrets the function had read, so none may outlive the store's copy
// of its snapshot: what is given up or removed goes from here, too.
//
// Threads: any; all methods touch the disk. The store must outlive this.
class LaidOutSnapshots {
 public:
  LaidOutSnapshots(SnapshotStore& store, Paths paths) : store_(store), paths_(std::move(paths)) {}

  // Removes what is laid out of a snapshot that the store does not have (any more), in whichever version's
  // volume it lies: without the manifest nobody knows which. OK when the store has it, or nothing is laid
  // out. INVALID_ARGUMENT when `snapshot_id` is no snapshot's id; INTERNAL names the directory that could not
  // be removed.
  //
  // A restore that is reading the directory fails, and its call starts cold.
  absl::Status RemoveUnlessStored(const std::string& snapshot_id);

  // Takes the snapshot off this node: the store's copy, then what is laid out of it. OK when neither is here;
  // errors are those of the store and of RemoveUnlessStored().
  absl::Status RemoveSnapshot(const std::string& snapshot_id);

  // For the agent's start, before anything is restored: removes all that is laid out of snapshots that the
  // store does not have. Answers with how many directories went.
  std::size_t RemoveAllUnstored();

 private:
  SnapshotStore& store_;
  const Paths paths_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_SNAPSHOT_LAID_OUT_H_
