#ifndef THAW_AGENT_SNAPSHOT_STORE_H_
#define THAW_AGENT_SNAPSHOT_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "thaw/agent/v1/manifest.pb.h"

namespace thaw::agent {

// The snapshots on this host: manifests, and the content-addressed chunks that they share.
//
// A snapshot is either whole here or not here: the manifest's rename is the commit point, and it happens after all
// chunks are in place. What was made here survives a power cut; a copy of another node's may be damaged by one, which is
// found at the next start or use. All files are root's alone (0600, directories 0700).
//
// A chunk that proves damaged, whoever finds out, takes every snapshot that uses it out of service: it is quarantined,
// List() no longer has it, GetManifest() is NOT_FOUND. The sound chunks stay for a while, so that fetching it again from
// another holder brings only what was damaged.
//
// Threads: any. All methods touch the disk and none may be called from a reactor.
class SnapshotStore {
 public:
  virtual ~SnapshotStore() = default;

  // Stores everything below `source_dir` and publishes it. `draft` has all that the caller knows (info without
  // id and sizes, pipes, versions); the answer is the manifest as published, with id, sizes and entries.
  // `source_dir` is only read.
  //
  //   RESOURCE_EXHAUSTED   no disk space (reason DISK_FULL), or beyond the store's limit; nothing was published
  virtual absl::StatusOr<v1::Manifest> Publish(const std::string& source_dir, v1::Manifest draft) = 0;

  // NOT_FOUND; DATA_LOSS when the manifest is damaged (it is then quarantined).
  virtual absl::StatusOr<v1::Manifest> GetManifest(const std::string& snapshot_id) = 0;
  virtual std::vector<thaw::common::v1::SnapshotInfo> List() = 0;

  virtual bool HasChunk(absl::string_view sha256) = 0;
  // A chunk as stored (one zstd frame), checked against its name: DATA_LOSS when it is damaged, and the chunk is
  // moved to quarantine so that it is never served; NOT_FOUND.
  virtual absl::StatusOr<std::string> ReadChunk(absl::string_view sha256) = 0;
  // Checks `data` (one zstd frame) against `sha256` and keeps it; DATA_LOSS when it is something else.
  virtual absl::Status PutChunk(absl::string_view sha256, absl::string_view data) = 0;
  // Publishes a manifest whose chunks have all been put. DATA_LOSS when its id is not its own digest or it contradicts
  // itself; FAILED_PRECONDITION names a chunk that is missing, or its format is newer than this build;
  // RESOURCE_EXHAUSTED when it is beyond the store's limit, and its chunks are gone then.
  virtual absl::Status Adopt(const v1::Manifest& manifest) = 0;

  // Lays the snapshot's files out at `target_dir`, ready for CRIU: each byte checked, the directory appears whole or
  // not at all. OK at once when it is there already, looked at or not: Verify does that. The parent of `target_dir` must
  // exist. DATA_LOSS (reason SNAPSHOT_DAMAGED) when a chunk is damaged; the snapshot is then in quarantine.
  virtual absl::Status Materialize(const std::string& snapshot_id, const std::string& target_dir) = 0;
  // Hashes what Materialize laid out, in parallel; DATA_LOSS (reason SNAPSHOT_DAMAGED) names the first file that differs,
  // is missing, or does not belong there. Before each restore: CRIU runs with power on these files. The snapshot itself
  // may be sound: remove `target_dir` and Materialize again, which checks each chunk.
  virtual absl::Status Verify(const std::string& snapshot_id, const std::string& target_dir) = 0;

  // While the answer lives, the snapshot is not evicted to make room: who is about to restore it holds this from before
  // GetManifest() until CRIU has read it all. Whether the snapshot is here makes no difference. The answer must not
  // outlive the store. A store that evicts nothing answers null.
  virtual std::shared_ptr<void> Use(const std::string&) { return nullptr; }
  // Asked before so many bytes of chunks are put: RESOURCE_EXHAUSTED, with the limit and what to do, when they won't
  // fit into the store's limit. Evicts what is needed least.
  virtual absl::Status MakeRoom(std::uint64_t) { return absl::OkStatus(); }

  // Takes a damaged snapshot out of service: moved aside for a person to look at (a bounded number of them), with the
  // reason beside it. Chunks that prove damaged go with it; sound ones that others share stay. OK when it is in
  // quarantine already; NOT_FOUND.
  virtual absl::Status Quarantine(const std::string& snapshot_id, absl::string_view reason) = 0;
  // Forgets the snapshot, and its chunks that no other one uses. OK when it is not here.
  virtual absl::Status Remove(const std::string& snapshot_id) = 0;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_SNAPSHOT_STORE_H_
