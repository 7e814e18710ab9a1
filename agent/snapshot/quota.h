#ifndef THAW_AGENT_SNAPSHOT_QUOTA_H_
#define THAW_AGENT_SNAPSHOT_QUOTA_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "agent/snapshot/disk_store.h"
#include "common/clock/clock.h"
#include "spdlog/logger.h"

namespace thaw::agent {

// What the cluster would lose with this node's copy of a snapshot.
enum class SnapshotStanding {
  // Nothing: no version restores from it.
  kNotCurrent,
  // A fetch, at this node's next start of the version: others hold it, and are to keep it.
  kHeldElsewhere,
  // The snapshot, as far as this node knows: never evicted.
  kKeep,
};

// Keeps the chunks of a node's snapshot store within so many bytes: evicts what costs least, first the
// snapshots that no version restores from, then those that other nodes keep, of each kind the least recently
// used. What is in use (SnapshotStore::Use()), or was used just now, stays: it is being restored, fetched by
// another node, or published.
//
// Threads: any. MakeRoom() touches the disk.
class SnapshotQuota {
 public:
  struct Options {
    // Of all chunks; 0: no limit.
    std::uint64_t bytes = 0;
    // How long a use protects a snapshot. More than another node may take to fetch one.
    absl::Duration recent = absl::Minutes(2);
  };
  struct Deps {
    DiskSnapshotStore& store;
    std::function<SnapshotStanding(const thaw::common::v1::SnapshotInfo&)> standing;
    // After the store's copy has gone: what else there is of it goes, and the scheduler hears of it. May
    // block.
    std::function<void(const std::string& snapshot_id, const std::string& reason)> on_evicted;
    const Clock& clock;
    std::shared_ptr<spdlog::logger> log;
  };

  SnapshotQuota(const Options& options, const Deps& deps) : options_(options), deps_(deps) {}

  // Evicts until a store that would have `bytes` of chunks is within its limit. RESOURCE_EXHAUSTED when that
  // can't be had; then nothing was evicted, unless a snapshot came into use meanwhile or chunks proved to be
  // shared.
  absl::Status MakeRoom(std::uint64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const Options options_;
  const Deps deps_;
  // Two that need room would each evict for both.
  absl::Mutex mu_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_SNAPSHOT_QUOTA_H_
