#ifndef THAW_AGENT_SNAPSHOT_DISK_STORE_H_
#define THAW_AGENT_SNAPSHOT_DISK_STORE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "agent/snapshot/chunk_codec.h"
#include "agent/snapshot/chunk_index.h"
#include "agent/snapshot/fault_points.h"
#include "agent/snapshot/files.h"
#include "agent/snapshot/key_locks.h"
#include "agent/snapshot/manifest.h"
#include "agent/snapshot/parallel.h"
#include "agent/snapshot/store.h"
#include "common/clock/clock.h"
#include "common/executor/thread_pool.h"

namespace thaw::agent {

// The store on a disk. Below its root:
//
//   lock                      held while a store is open: two agents never share one root
//   manifests/<snapshot>      a serialized Manifest; its appearance here is the commit point
//   chunks/<sha256>           one zstd frame
//   staging/                  what is being written; emptied at Open
//   quarantine/<time>-<snapshot>/{manifest,reason,chunks/}
//                             for a person to look at: the newest max_quarantined of them
//
// A chunk that proves damaged takes every snapshot that uses it out of service: none of them is whole any more. Fetching
// one again then brings only what is missing, as the sound chunks stay for a while.
class DiskSnapshotStore final : public SnapshotStore {
 public:
  struct Options {
    std::string root;
    // At most kMaxChunkBytes, which is format 1's size; smaller ones are for tests.
    std::size_t chunk_bytes = kMaxChunkBytes;
    std::size_t max_quarantined = 8;
    // Threads that one operation's compressing and hashing is spread over, the caller's included.
    std::size_t threads = 2;
    // How long chunks that no snapshot uses are kept for one that is being fetched.
    absl::Duration keep_unused = absl::Minutes(15);
    // Must outlive the store; null is the real one.
    const Clock* clock = nullptr;
    // Called, on the thread that found out, after a snapshot went into quarantine; also for those that Open finds
    // unusable, before it returns. Must not block.
    std::function<void(const std::string& snapshot_id, const std::string& reason)> on_quarantined;
    // Called with the bytes of all chunks after they changed. Must not block.
    std::function<void(std::uint64_t)> on_stored_bytes;
    // Called with the bytes of all chunks before a snapshot gets into service, its own chunks included, on the thread
    // that brings it, without a lock; may evict others. Its error keeps the snapshot out. May be empty.
    std::function<absl::Status(std::uint64_t bytes)> make_room = nullptr;
    FaultHook fault;
  };

  // A snapshot that is here, and what speaks for keeping it.
  struct Holding {
    thaw::common::v1::SnapshotInfo info;
    // By GetManifest(), Materialize(), Verify() or Use(); of one that was not used since Open: when it was made.
    absl::Time last_used;
    // Somebody has a Use() of it.
    bool in_use = false;
  };

  // What Open found left of an earlier life.
  struct Recovery {
    std::size_t snapshots = 0;
    std::size_t removed_staging = 0;
    // Chunks that no snapshot uses, whole or half written.
    std::size_t removed_chunks = 0;
    // Snapshots whose manifest is damaged or whose chunks are not all there, with the reason; now in quarantine.
    std::vector<std::pair<std::string, std::string>> quarantined;
  };

  // Makes the root if need be (its parent must exist) and recovers.
  //
  //   FAILED_PRECONDITION  another process has this root open
  //   RESOURCE_EXHAUSTED   no disk space (reason DISK_FULL)
  static absl::StatusOr<std::unique_ptr<DiskSnapshotStore>> Open(Options options);
  ~DiskSnapshotStore() override;

  const Recovery& recovery() const { return recovery_; }
  // Of all chunks, whether used by a snapshot or only kept for one that is being fetched.
  std::uint64_t stored_bytes() const { return index_.total_bytes(); }

  absl::StatusOr<v1::Manifest> Publish(const std::string& source_dir, v1::Manifest draft) override;
  absl::StatusOr<v1::Manifest> GetManifest(const std::string& snapshot_id) override;
  std::vector<thaw::common::v1::SnapshotInfo> List() override ABSL_LOCKS_EXCLUDED(mu_);
  bool HasChunk(absl::string_view sha256) override;
  absl::StatusOr<std::string> ReadChunk(absl::string_view sha256) override;
  absl::Status PutChunk(absl::string_view sha256, absl::string_view data) override;
  absl::Status Adopt(const v1::Manifest& manifest) override;
  absl::Status Materialize(const std::string& snapshot_id, const std::string& target_dir) override;
  absl::Status Verify(const std::string& snapshot_id, const std::string& target_dir) override;
  absl::Status Quarantine(const std::string& snapshot_id, absl::string_view reason) override;
  absl::Status Remove(const std::string& snapshot_id) override;
  std::shared_ptr<void> Use(const std::string& snapshot_id) override ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status MakeRoom(std::uint64_t bytes) override;

  std::vector<Holding> Holdings() const ABSL_LOCKS_EXCLUDED(mu_);
  // As Remove(), but FAILED_PRECONDITION, and nothing done, while somebody has a Use() of it.
  absl::Status Evict(const std::string& snapshot_id) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Snapshot {
    thaw::common::v1::SnapshotInfo info;
    // Distinct, sorted; the snapshot is one use of each.
    std::vector<std::string> chunks;
  };

  struct Uses {
    int now = 0;
    absl::Time last = absl::InfinitePast();
  };

  explicit DiskSnapshotStore(Options options);

  absl::Status OpenRoot();
  absl::Status Recover();
  absl::Status RecoverManifest(const std::string& snapshot_id);

  absl::Status Fault(FaultPoint point) const;
  absl::Time Now() const;
  void ReportBytes() const;
  void Touch(const std::string& snapshot_id) ABSL_LOCKS_EXCLUDED(mu_);
  // The rest of a removal: `snapshot` is out of service already where it is not null.
  absl::Status Delete(const std::string& snapshot_id, std::shared_ptr<const Snapshot> snapshot)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Writes a chunk's frame into the store; the caller has claimed it (kMustWrite).
  absl::Status WriteChunk(const std::string& sha256, absl::string_view frame);
  // A chunk's frame and, in `raw`, its content, checked; DATA_LOSS when it is damaged or its file is gone.
  absl::StatusOr<std::string> LoadChunk(const std::string& sha256, ChunkCodec::Lease& lease, absl::string_view* raw) const;
  // Ends the uses and deletes what nobody needs.
  void ReleaseChunks(const std::vector<std::string>& chunks, ChunkIndex::Unused unused);
  void DeleteChunks(const std::vector<std::string>& chunks);
  void DropExpiredChunks();

  // Where a snapshot comes from: the only copy there is, or one of several.
  enum class Origin { kMadeHere, kCopied };
  // Renames the manifest into place; what was made here is synced to the disk first. The caller holds the snapshot's lock
  // and one use of each chunk, which passes to the snapshot when this returns OK.
  absl::Status Commit(const v1::Manifest& manifest, std::vector<std::string> chunks, Origin origin)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<std::shared_ptr<const Snapshot>> Find(const std::string& snapshot_id) const ABSL_LOCKS_EXCLUDED(mu_);
  std::shared_ptr<const Snapshot> Take(const std::string& snapshot_id) ABSL_LOCKS_EXCLUDED(mu_);

  // Publish() on a thread of publisher_.
  absl::StatusOr<v1::Manifest> PublishHere(const std::string& source_dir, v1::Manifest draft);
  absl::Status LayOut(const v1::Manifest& manifest, const std::string& target_dir);

  // Takes the chunk out of service if it is damaged (it then lies in staging, under DamagedName), and tells whether it is.
  bool SetAsideIfDamaged(const std::string& sha256);
  // After a reader has met damage: sets the chunk aside and quarantines all snapshots that use it.
  void ChunkIsDamaged(const std::string& sha256);
  std::vector<std::string> UsersOf(const std::string& sha256) const ABSL_LOCKS_EXCLUDED(mu_);
  // Makes a quarantine directory and moves the manifest and those of `chunks` that were set aside into it; sound ones are
  // linked there, so that what lies there is complete.
  absl::Status FillQuarantine(const std::string& name, const std::vector<std::string>& chunks, absl::string_view reason);
  void TrimQuarantine();

  const Options options_;
  const RealClock real_clock_;
  const Clock* const clock_;
  const std::string zero_sha256_;
  files::Fd root_, lock_, manifests_, chunks_, staging_, quarantine_;
  Recovery recovery_;

  ChunkCodec codec_;
  ChunkIndex index_;
  // By snapshot: who publishes, removes or quarantines it. By target directory: who lays it out. A thread that holds a
  // target's lock may take a snapshot's, never the other way round, and never two of a kind.
  KeyLocks snapshot_locks_;
  KeyLocks target_locks_;

  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, std::shared_ptr<const Snapshot>> snapshots_ ABSL_GUARDED_BY(mu_);
  // Of snapshots that are here, and of those that somebody has a Use() of.
  absl::flat_hash_map<std::string, Uses> uses_ ABSL_GUARDED_BY(mu_);

  // Last, so that its threads end first.
  ParallelWork work_;
  // Publishing is in nobody's way: one thread of the lowest weight, without helpers.
  ParallelWork alone_{0};
  ThreadPool publisher_{{.name = "publishing", .threads = 1, .max_queued = 1000, .background = true}};
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_SNAPSHOT_DISK_STORE_H_
