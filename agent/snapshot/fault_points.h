#ifndef THAW_AGENT_SNAPSHOT_FAULT_POINTS_H_
#define THAW_AGENT_SNAPSHOT_FAULT_POINTS_H_

#include <functional>

#include "absl/status/status.h"

namespace thaw::agent {

// The steps of the store at which the disk may fill or the agent may die. A test hooks them; each must leave every
// snapshot whole or absent.
enum class FaultPoint {
  kChunkWrite,            // before a chunk's bytes are written to staging
  kChunkRename,           // written, not yet under its name
  kChunksSync,            // all chunks have their names, none is synced
  kManifestWrite,         // all chunks are on disk
  kManifestRename,        // before the commit point
  kManifestRenamed,       // after it
  kMaterializeFile,       // before a file's bytes are laid out
  kMaterializeRename,     // all laid out, not yet under its name
  kRemoveManifest,        // before a removed snapshot's manifest goes
  kRemoveChunks,          // the manifest has gone, its chunks are there
  kQuarantineManifest,    // the quarantine's directory is there, the manifest is still in service
  kQuarantineChunks,      // the manifest is out of service, its chunks are not yet looked at
};

inline constexpr FaultPoint kAllFaultPoints[] = {
    FaultPoint::kChunkWrite,        FaultPoint::kChunkRename,        FaultPoint::kChunksSync,
    FaultPoint::kManifestWrite,     FaultPoint::kManifestRename,     FaultPoint::kManifestRenamed,
    FaultPoint::kMaterializeFile,   FaultPoint::kMaterializeRename,  FaultPoint::kRemoveManifest,
    FaultPoint::kRemoveChunks,      FaultPoint::kQuarantineManifest, FaultPoint::kQuarantineChunks};

// Called at each point, on any of the store's threads. What it returns is taken as the step's own failure.
using FaultHook = std::function<absl::Status(FaultPoint)>;

}  // namespace thaw::agent

#endif  // THAW_AGENT_SNAPSHOT_FAULT_POINTS_H_
