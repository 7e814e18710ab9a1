#ifndef THAW_TESTS_FAKES_FAKE_SNAPSHOT_STORE_H_
#define THAW_TESTS_FAKES_FAKE_SNAPSHOT_STORE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "agent/snapshot/chunk_codec.h"
#include "agent/snapshot/parallel.h"
#include "agent/snapshot/store.h"

namespace thaw::testing {

// Snapshots in memory, under the contract suite that the real store passes too
// (tests/contract/snapshot_store_contract.h).
//
// Threads: any.
class FakeSnapshotStore final : public agent::SnapshotStore {
 public:
  enum class Op {
    kPublish,
    kGetManifest,
    kReadChunk,
    kPutChunk,
    kAdopt,
    kMaterialize,
    kVerify,
    kQuarantine,
    kRemove,
    kMakeRoom,
  };
  enum class Trees {
    // Nothing touches the disk: Publish takes any source_dir (SetSource() says what is in it, or its name is its only
    // file's content), Materialize only notes the target.
    kInMemory,
    // Publish reads, and Materialize and Verify write and read, real directories.
    kOnDisk,
  };

  explicit FakeSnapshotStore(Trees trees = Trees::kInMemory);

  // --- what the test arranges ---

  // The files below a source directory, path to content. In-memory trees only.
  void SetSource(const std::string& source_dir, std::map<std::string, std::string> files);
  // The next `times` calls of `op` fail with `status` and do nothing.
  void FailNext(Op op, absl::Status status, int times = 1);
  // Runs before the next call of `op` (kMaterialize, kVerify, kRemove), on its thread; it may block, and hold
  // up that call alone.
  void BeforeNext(Op op, std::function<void()> hook);
  // Flips a byte of a stored chunk, or of the manifest, or of what is laid out at a target.
  void DamageChunk(const std::string& sha256);
  void DamageManifest(const std::string& snapshot_id);
  void DamageLaidOut(const std::string& target_dir);
  // Called after each Materialize() that laid something out, without a lock, before it returns.
  void OnMaterialized(std::function<void()> hook);
  // As if the directory were removed from outside. In-memory trees only.
  void ForgetLaidOut(const std::string& target_dir);

  // --- what the test asks ---

  // How often `op` was called, failed calls included.
  int Calls(Op op) const;
  // How many have a Use() of it now.
  int in_use(const std::string& snapshot_id) const;
  // Target directory to snapshot.
  std::map<std::string, std::string> laid_out() const;
  // Snapshot and reason, oldest first.
  std::vector<std::pair<std::string, std::string>> quarantined() const;

  // --- SnapshotStore ---

  absl::StatusOr<agent::v1::Manifest> Publish(const std::string& source_dir, agent::v1::Manifest draft) override;
  absl::StatusOr<agent::v1::Manifest> GetManifest(const std::string& snapshot_id) override;
  std::vector<thaw::common::v1::SnapshotInfo> List() override;
  bool HasChunk(absl::string_view sha256) override;
  absl::StatusOr<std::string> ReadChunk(absl::string_view sha256) override;
  absl::Status PutChunk(absl::string_view sha256, absl::string_view data) override;
  absl::Status Adopt(const agent::v1::Manifest& manifest) override;
  absl::Status Materialize(const std::string& snapshot_id, const std::string& target_dir) override;
  absl::Status Verify(const std::string& snapshot_id, const std::string& target_dir) override;
  absl::Status Quarantine(const std::string& snapshot_id, absl::string_view reason) override;
  absl::Status Remove(const std::string& snapshot_id) override;
  std::shared_ptr<void> Use(const std::string& snapshot_id) override;
  absl::Status MakeRoom(std::uint64_t bytes) override;

 private:
  struct Snapshot {
    agent::v1::Manifest manifest;
    bool damaged = false;
  };

  void RunHook(Op op) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status LayOut(const std::string& snapshot_id, const std::string& target_dir) ABSL_LOCKS_EXCLUDED(mu_);
  // Counts the call; the failure that the test has arranged, if any.
  absl::Status Begin(Op op) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<agent::v1::Manifest> Get(const std::string& snapshot_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckChunk(const std::string& sha256) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Drops the chunk and quarantines all that use it.
  void LoseChunk(const std::string& sha256) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Forget(const std::string& snapshot_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Trees trees_;
  agent::ChunkCodec codec_;
  agent::ParallelWork work_;
  mutable absl::Mutex mu_;
  std::map<std::string, Snapshot> snapshots_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::string> chunks_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::map<std::string, std::string>> sources_ ABSL_GUARDED_BY(mu_);
  // Target to snapshot and whether it was damaged since.
  std::map<std::string, std::pair<std::string, bool>> laid_out_ ABSL_GUARDED_BY(mu_);
  std::vector<std::pair<std::string, std::string>> quarantined_ ABSL_GUARDED_BY(mu_);
  std::function<void()> on_materialized_ ABSL_GUARDED_BY(mu_);
  std::map<Op, std::vector<absl::Status>> failures_ ABSL_GUARDED_BY(mu_);
  std::map<Op, std::function<void()>> hooks_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int> in_use_ ABSL_GUARDED_BY(mu_);
  std::map<Op, int> calls_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_FAKES_FAKE_SNAPSHOT_STORE_H_
