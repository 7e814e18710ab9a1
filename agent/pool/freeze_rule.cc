#include "agent/pool/freeze_rule.h"

#include <algorithm>
#include <iterator>

#include "common/rpc/client.h"

namespace thaw::agent {
namespace {

using thaw::common::v1::CheckpointPolicy;

constexpr std::uint32_t kDefaultCheckpointAfter = 5;

}  // namespace

bool WantsFreezing(const VersionState& state, std::uint64_t answered) {
  switch (state.spec().checkpoint().mode()) {
    case CheckpointPolicy::MODE_UNSPECIFIED:
    case CheckpointPolicy::MODE_AFTER_INVOCATIONS: {
      const std::uint32_t wanted = state.spec().checkpoint().after_invocations();
      // Where its snapshot does not fit this node, another one would not help the others.
      return !state.has_snapshot() && state.unfit_reason().empty() && answered >= (wanted == 0 ? kDefaultCheckpointAfter : wanted);
    }
    case CheckpointPolicy::MODE_LEARNED:
      return std::any_of(state.freeze_after().begin(), state.freeze_after().end(), [answered](std::uint32_t after) {
        return answered >= after && answered < kCandidateWindow * after;
      });
    default:
      return false;
  }
}

VersionState CandidateTurn::Next(const VersionState& state) {
  if (state.candidates().empty()) {
    credit_.clear();
    return state;
  }
  absl::flat_hash_map<std::string, std::int64_t> credit;
  std::int64_t total = 0;
  const thaw::scheduler::v1::Candidate* chosen = nullptr;
  for (const auto& candidate : state.candidates()) {
    const std::string& id = candidate.snapshot().id();
    const auto before = credit_.find(id);
    credit[id] = (before == credit_.end() ? 0 : before->second) + candidate.share();
    total += candidate.share();
    if (chosen == nullptr || credit[id] > credit[chosen->snapshot().id()]) chosen = &candidate;
  }
  credit[chosen->snapshot().id()] -= total;
  credit_ = std::move(credit);
  VersionState next = state;
  *next.mutable_snapshot() = chosen->snapshot();
  *next.mutable_snapshot_holders() = chosen->holders();
  return next;
}

bool RestoreMeasure::Add(absl::Duration call) {
  if (calls_.size() < kCalls) calls_.push_back(call);
  return calls_.size() == kCalls;
}

thaw::scheduler::v1::RestoreReport RestoreMeasure::Report(const std::string& version_id) const {
  thaw::scheduler::v1::RestoreReport report;
  report.set_version_id(version_id);
  report.set_snapshot_id(snapshot_id_);
  *report.mutable_restore() = ToProto(restore_);
  for (const absl::Duration call : calls_) *report.add_calls() = ToProto(call);
  return report;
}

}  // namespace thaw::agent
