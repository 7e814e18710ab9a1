#ifndef THAW_AGENT_SNAPSHOT_CHUNK_INDEX_H_
#define THAW_AGENT_SNAPSHOT_CHUNK_INDEX_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace thaw::agent {

// Which chunks are on disk and who uses them: each snapshot, and each operation under way, is one use of each of its
// distinct chunks. Touches no disk: it tells its caller which files to write or delete, and holds others back from the
// same chunk until the caller reports that it has.
//
//   absent ──Claim──► writing ──Written──► present ──Release (last use)──► deleting ──Deleted──► absent
//                        └─────Abandon────► absent          └─BeginSetAside─► checking ──► present or lost
//
// A lost chunk is one that proved damaged while snapshots use it; a Claim of it writes it anew.
//
// Threads: any.
class ChunkIndex {
 public:
  enum class Claimed { kPresent, kMustWrite };

  // A chunk found on disk at start, with no use yet.
  void Load(const std::string& sha256, std::uint64_t stored_bytes) ABSL_LOCKS_EXCLUDED(mu_);

  // Adds a use. kMustWrite: the caller writes the file and then calls Written or Abandon; others that claim the chunk
  // wait for that.
  Claimed Claim(const std::string& sha256) ABSL_LOCKS_EXCLUDED(mu_);
  void Written(const std::string& sha256, std::uint64_t stored_bytes) ABSL_LOCKS_EXCLUDED(mu_);
  void Abandon(const std::string& sha256) ABSL_LOCKS_EXCLUDED(mu_);

  // Adds a use of each, or of none; answers with the first that is not present, or "".
  std::string ClaimAll(const std::vector<std::string>& chunks) ABSL_LOCKS_EXCLUDED(mu_);

  // What happens to a chunk whose last use ends.
  enum class Unused {
    kDelete,
    // Stays for a snapshot that is being fetched, until TakeExpired.
    kKeep,
  };
  // Takes a use off each. Answers with those whose files the caller must now delete, and then report by Deleted.
  std::vector<std::string> Release(const std::vector<std::string>& chunks, Unused unused, absl::Time now)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Chunks kept unused since before `cutoff`; to delete and report as above.
  std::vector<std::string> TakeExpired(absl::Time cutoff) ABSL_LOCKS_EXCLUDED(mu_);
  void Deleted(const std::vector<std::string>& chunks) ABSL_LOCKS_EXCLUDED(mu_);

  // True: the chunk is present and the caller alone has it, to look whether it is damaged, until EndSetAside.
  bool BeginSetAside(const std::string& sha256) ABSL_LOCKS_EXCLUDED(mu_);
  void EndSetAside(const std::string& sha256, bool lost) ABSL_LOCKS_EXCLUDED(mu_);

  bool IsPresent(absl::string_view sha256) const ABSL_LOCKS_EXCLUDED(mu_);
  // Those of `chunks` whose files have not been synced since they were written.
  std::vector<std::string> Unsynced(const std::vector<std::string>& chunks) const ABSL_LOCKS_EXCLUDED(mu_);
  void Synced(const std::vector<std::string>& chunks) ABSL_LOCKS_EXCLUDED(mu_);
  std::uint64_t SizeOf(const std::vector<std::string>& chunks) const ABSL_LOCKS_EXCLUDED(mu_);
  std::uint64_t total_bytes() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  enum class State { kWriting, kPresent, kChecking, kDeleting, kLost };
  struct Chunk {
    State state = State::kWriting;
    std::uint32_t uses = 0;
    std::uint64_t stored_bytes = 0;
    bool synced = false;
    // When the last use ended.
    absl::Time unused_since = absl::InfiniteFuture();
  };

  static bool InFlux(State state) {
    return state == State::kWriting || state == State::kChecking || state == State::kDeleting;
  }
  // Waits until nobody has the chunk to himself, and returns it, or null when it is absent.
  Chunk* Settled(absl::string_view sha256) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, Chunk> chunks_ ABSL_GUARDED_BY(mu_);
  // Oldest first; an entry holds while the chunk's `unused_since` still says the same.
  std::deque<std::pair<absl::Time, std::string>> unused_ ABSL_GUARDED_BY(mu_);
  std::uint64_t total_bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_SNAPSHOT_CHUNK_INDEX_H_
