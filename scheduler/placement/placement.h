#ifndef THAW_SCHEDULER_PLACEMENT_PLACEMENT_H_
#define THAW_SCHEDULER_PLACEMENT_PLACEMENT_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "scheduler/metrics.h"
#include "scheduler/placement/candidate.h"
#include "scheduler/placement/policy/policy.h"

namespace thaw::scheduler {

// Chooses nodes: ready ones with room, by a list of policies of which each breaks the ties of those before it. What
// is equal to all of them is settled by a hash of version and node, so that functions spread and each one stays.
//
// Stateless; threads: any.
class Placement {
 public:
  // `metrics` must outlive this.
  Placement(std::vector<std::unique_ptr<PlacementPolicy>> policies, SchedulerMetrics& metrics)
      : policies_(std::move(policies)), metrics_(metrics) {}

  // Warm instances first, then where the snapshot can be restored, then where it is, then the least loaded.
  static Placement Default(SchedulerMetrics& metrics);

  // The chosen one of `candidates`.
  //
  //   FAILED_PRECONDITION  the pinned node is unknown, or the function is larger than every ready node
  //   UNAVAILABLE          no node is ready; the pinned one is not; all that are were excluded
  //   RESOURCE_EXHAUSTED   no ready node has room
  absl::StatusOr<const Candidate*> Choose(const PlacementRequest& request, absl::Span<const Candidate> candidates) const;

 private:
  absl::StatusOr<const Candidate*> ChoosePinned(const PlacementRequest& request,
                                                absl::Span<const Candidate> candidates) const;

  std::vector<std::unique_ptr<PlacementPolicy>> policies_;
  SchedulerMetrics& metrics_;
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_PLACEMENT_PLACEMENT_H_
