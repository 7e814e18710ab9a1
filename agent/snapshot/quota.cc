#include "agent/snapshot/quota.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"

namespace thaw::agent {

absl::Status SnapshotQuota::MakeRoom(std::uint64_t bytes) {
  if (options_.bytes == 0 || bytes <= options_.bytes) return absl::OkStatus();
  absl::MutexLock lock(&mu_);
  // What comes stays out of this; what it needs beyond what is there now does not change.
  const std::uint64_t before = deps_.store.stored_bytes();
  const std::uint64_t more = bytes > before ? bytes - before : 0;
  struct Candidate {
    SnapshotStanding standing;
    absl::Time last_used;
    thaw::common::v1::SnapshotInfo info;
  };
  std::vector<Candidate> candidates;
  std::uint64_t at_most = 0;
  const absl::Time now = deps_.clock.Now();
  for (DiskSnapshotStore::Holding& held : deps_.store.Holdings()) {
    if (held.in_use || now - held.last_used < options_.recent) continue;
    const SnapshotStanding standing = deps_.standing(held.info);
    if (standing == SnapshotStanding::kKeep) continue;
    at_most += held.info.stored_bytes();
    candidates.push_back({standing, held.last_used, std::move(held.info)});
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return std::tuple(a.standing, a.last_used, absl::string_view(a.info.id())) <
           std::tuple(b.standing, b.last_used, absl::string_view(b.info.id()));
  });
  const auto over = [&] { return deps_.store.stored_bytes() + more > options_.bytes; };
  const absl::Status full = absl::ResourceExhaustedError(absl::StrCat(
      "this node's snapshot store is full: ", bytes, " bytes are needed, --snapshot-store-bytes allows ",
      options_.bytes, ", and what else is there is in use or the cluster's only copy; raise the limit, or remove "
      "snapshots with `thaw snapshot rm`"));
  // Nothing is given away in vain.
  if (bytes - std::min(bytes, at_most) > options_.bytes) return full;
  for (const Candidate& candidate : candidates) {
    if (!over()) break;
    const std::string& id = candidate.info.id();
    const absl::Status evicted = deps_.store.Evict(id);
    if (!evicted.ok()) {
      // In use by now, most likely.
      deps_.log->info("event=snapshot_not_evicted snapshot={} error=\"{}\"", id, evicted.ToString());
      continue;
    }
    const bool elsewhere = candidate.standing == SnapshotStanding::kHeldElsewhere;
    deps_.log->info("event=snapshot_evicted snapshot={} bytes={} held_elsewhere={}", id,
                    candidate.info.stored_bytes(), elsewhere);
    deps_.on_evicted(id, absl::StrCat("evicted for room: ",
                                      elsewhere ? "other nodes hold it" : "no version restores from it"));
  }
  return over() ? full : absl::OkStatus();
}

}  // namespace thaw::agent
