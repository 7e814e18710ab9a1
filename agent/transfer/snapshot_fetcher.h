#ifndef THAW_AGENT_TRANSFER_SNAPSHOT_FETCHER_H_
#define THAW_AGENT_TRANSFER_SNAPSHOT_FETCHER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/snapshot/parallel.h"
#include "agent/snapshot/store.h"
#include "agent/transfer/metrics.h"
#include "agent/transfer/peer.h"
#include "agent/transfer/single_flight.h"
#include "common/clock/clock.h"

namespace thaw::agent {

struct FetchResult {
  // Compressed bytes of the chunks that came.
  std::uint64_t received_bytes = 0;
  std::size_t chunks_fetched = 0;
  // Distinct chunks that were here already.
  std::size_t chunks_present = 0;
  // The node that gave last; empty when nothing was missing.
  std::string holder;
};

// Brings snapshots from other agents into this node's store. Only chunks that are missing travel; each is checked as it
// comes, so it does not matter whom they come from, and what one holder did not give is asked of the next.
//
// Threads: any; Fetch blocks. The store and the peers must outlive this.
class SnapshotFetcher {
 public:
  struct Options {
    // As uname gives it: a snapshot of another architecture is refused. Empty: any.
    std::string architecture = "";
    // What a holder may take for a manifest, and for one batch of chunks. Then the next holder is asked.
    absl::Duration manifest_limit = absl::Seconds(5);
    absl::Duration batch_limit = absl::Seconds(15);
    std::size_t max_batch = 64;
    // Batches that are read at the same time.
    std::size_t streams = 2;
    // Must outlive this; null is the real one.
    const Clock* clock = nullptr;
  };

  SnapshotFetcher(Options options, SnapshotStore& store, Peers& peers, TransferMetrics& metrics);

  // Has the snapshot whole in the store when it returns. A second call for the same snapshot waits for the first and
  // gets its result. Holders are asked in the order given.
  //
  //   NOT_FOUND            every holder says that it has no such snapshot (reason SNAPSHOT_NOT_FOUND)
  //   UNAVAILABLE          no holder could give all of it; the message says what each one answered
  //   DEADLINE_EXCEEDED    not in time; what came is kept for a while, so that a later call goes on from there
  //   FAILED_PRECONDITION  this node can't use it: format, architecture, or it is another version's
  //   RESOURCE_EXHAUSTED   no disk space here (reason DISK_FULL), or beyond the store's limit
  absl::StatusOr<FetchResult> Fetch(const std::string& snapshot_id, const std::string& version_id,
                                    const std::vector<Holder>& holders, absl::Time deadline);

 private:
  absl::StatusOr<FetchResult> FetchOnce(const std::string& snapshot_id, const std::string& version_id,
                                        const std::vector<Holder>& holders, absl::Time deadline);
  // What must hold of a manifest, whoever it comes from.
  absl::Status Check(const v1::Manifest& manifest, const std::string& snapshot_id, const std::string& version_id) const;
  // Asks one holder for all that is missing. `ours` tells a failure of our own store, which no other holder can cure.
  absl::Status FetchMissing(Peer& peer, const std::vector<std::string>& missing, absl::Time deadline, FetchResult* result,
                            bool* ours);
  void Count(const absl::StatusOr<FetchResult>& result);

  const Options options_;
  const RealClock real_clock_;
  const Clock& clock_;
  SnapshotStore& store_;
  Peers& peers_;
  TransferMetrics& metrics_;
  SingleFlight<FetchResult> flights_;
  ParallelWork work_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_TRANSFER_SNAPSHOT_FETCHER_H_
