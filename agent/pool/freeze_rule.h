#ifndef THAW_AGENT_POOL_FREEZE_RULE_H_
#define THAW_AGENT_POOL_FREEZE_RULE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "agent/pool/version_state.h"
#include "thaw/scheduler/v1/scheduler.pb.h"

namespace thaw::agent {

// Whether an instance that has answered so many calls should ask to be frozen, by its function's policy. Calls are
// counted that a function has answered: no probe, no poll. Not for MODE_ON_DEPLOY and MODE_MANUAL, which freeze when
// they are told to.
bool WantsFreezing(const VersionState& state, std::uint64_t answered);

// With MODE_LEARNED a candidate for n calls may be frozen a little later, as calls do not wait for the scheduler's
// word: below this many times n. The scheduler takes it for the next candidate from the next arm on, which lies no lower
// (scheduler/learning/arms.h).
inline constexpr std::uint64_t kCandidateWindow = 4;

// Which of several candidates the next start restores from: each gets its share of the starts, spread evenly (smooth
// weighted round robin). One thread at a time.
class CandidateTurn {
 public:
  // `state` with the chosen candidate as its snapshot; as it is where there are no candidates.
  VersionState Next(const VersionState& state);

 private:
  absl::flat_hash_map<std::string, std::int64_t> credit_;
};

// What one restored instance's first calls took, for the scheduler's learning.
class RestoreMeasure {
 public:
  // So many calls are looked at: after them an instance is as warm as any other.
  static constexpr std::size_t kCalls = 10;

  RestoreMeasure(std::string snapshot_id, absl::Duration restore)
      : snapshot_id_(std::move(snapshot_id)), restore_(restore) {}

  // True when that was the last one that counts.
  bool Add(absl::Duration call);
  bool empty() const { return calls_.empty(); }
  thaw::scheduler::v1::RestoreReport Report(const std::string& version_id) const;

 private:
  std::string snapshot_id_;
  absl::Duration restore_;
  std::vector<absl::Duration> calls_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_POOL_FREEZE_RULE_H_
