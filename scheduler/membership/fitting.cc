#include "scheduler/membership/fitting.h"

#include <string>

#include "absl/status/status.h"
#include "common/cpu/fit.h"

namespace thaw::scheduler {

v1::VersionState StateFitting(const v1::VersionState& state, const common::v1::Node& node) {
  v1::VersionState fitting = state;
  fitting.clear_candidates();
  for (const auto& candidate : state.candidates()) {
    if (CheckCpuFits(candidate.snapshot(), node).ok()) *fitting.add_candidates() = candidate;
  }
  if (!state.has_snapshot()) return fitting;
  const absl::Status fits = CheckCpuFits(state.snapshot(), node);
  if (fits.ok()) return fitting;
  fitting.clear_snapshot();
  fitting.clear_snapshot_holders();
  if (fitting.candidates_size() > 0) {
    *fitting.mutable_snapshot() = fitting.candidates(0).snapshot();
    *fitting.mutable_snapshot_holders() = fitting.candidates(0).holders();
  } else {
    fitting.set_unfit_reason(std::string(fits.message()));
  }
  return fitting;
}

}  // namespace thaw::scheduler
