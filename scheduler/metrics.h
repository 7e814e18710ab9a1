#ifndef THAW_SCHEDULER_METRICS_H_
#define THAW_SCHEDULER_METRICS_H_

#include <array>
#include <cstddef>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "scheduler/learning/arms.h"
#include "thaw/common/v1/catalogue.pb.h"

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
class Registry;
}  // namespace prometheus

namespace thaw::scheduler {

// Why a lease ended.
enum class LeaseEnd { kReleased, kExpired, kFunctionChanged, kNodeLost };
inline constexpr std::size_t kLeaseEnds = 4;
absl::string_view LeaseEndName(LeaseEnd cause);

// What became of a request for a place.
enum class PlacementOutcome { kPlaced, kNoNode, kNoRoom, kTooLarge };
inline constexpr std::size_t kPlacementOutcomes = 4;

// Which policy decided: the first that told the candidates apart. kOnly: there was nothing to choose between.
enum class PlacementReason { kPreferWarm, kSnapshotFits, kSnapshotHere, kLeastLoaded, kOnly, kPinned, kNone };
inline constexpr std::size_t kPlacementReasons = 7;

// Answers to a request to freeze an instance, and how granted ones ended.
enum class GrantOutcome {
  kGranted,
  kRefusedSnapshotExists,
  kRefusedBusy,
  kRefusedPolicy,
  kRefusedBackoff,
  kRefusedGivenUp,
  kRefusedUnknownVersion,
  kPublished,
  kFailed,
  kExpired,
  kNodeLost,
};
inline constexpr std::size_t kGrantOutcomes = 11;

// What the learner has decided about a version's snapshots.
enum class LearningDecision { kRejected, kSettledEarliest, kSettledLater, kReopened };
inline constexpr std::size_t kLearningDecisions = 4;

enum class StoreOperation { kLoad, kApply };
inline constexpr std::size_t kStoreOperations = 2;

// The scheduler's series, each resolved once. Threads: any.
class SchedulerMetrics {
 public:
  // `registry` must outlive this.
  explicit SchedulerMetrics(prometheus::Registry& registry);
  SchedulerMetrics(const SchedulerMetrics&) = delete;
  SchedulerMetrics& operator=(const SchedulerMetrics&) = delete;

  // thaw_scheduler_nodes{state}
  void SetNodes(common::v1::NodeState state, std::size_t count);
  // thaw_scheduler_leases
  void SetLeases(std::size_t count);
  // thaw_scheduler_leases_ended_total{cause}
  void LeaseEnded(LeaseEnd cause);
  // thaw_scheduler_leases_granted_total{kind="new"|"adopted"}
  void LeaseGranted(bool adopted);
  // thaw_scheduler_placements_total{outcome,policy}
  void Placed(PlacementOutcome outcome, PlacementReason policy);
  // thaw_scheduler_snapshots
  void SetSnapshots(std::size_t count);
  // thaw_scheduler_checkpoint_grants_total{outcome}
  void CheckpointGrant(GrantOutcome outcome);
  // thaw_scheduler_restore_reports_total{outcome="counted"|"ignored"}
  void RestoreReported(bool counted);
  // thaw_scheduler_learning_decisions_total{decision}
  void Learned(LearningDecision decision);
  // thaw_scheduler_learning_settled_total{calls}, thaw_scheduler_learning_gain_ratio. `arm` as in learning/arms.h.
  void Settled(std::size_t arm, double gain);
  // thaw_scheduler_apps, thaw_scheduler_functions
  void SetApps(std::size_t count);
  void SetFunctions(std::size_t count);
  // thaw_scheduler_store_operation_duration_seconds{operation}, thaw_scheduler_store_errors_total{operation}
  void StoreOperationEnded(StoreOperation operation, absl::Duration duration, bool ok);

 private:
  std::array<prometheus::Gauge*, 5> nodes_{};
  prometheus::Gauge* leases_;
  std::array<prometheus::Counter*, kLeaseEnds> leases_ended_{};
  std::array<prometheus::Counter*, 2> leases_granted_{};
  std::array<std::array<prometheus::Counter*, kPlacementReasons>, kPlacementOutcomes> placements_{};
  prometheus::Gauge* snapshots_;
  std::array<prometheus::Counter*, kGrantOutcomes> grants_{};
  std::array<prometheus::Counter*, 2> restore_reports_{};
  std::array<prometheus::Counter*, kLearningDecisions> learning_decisions_{};
  std::array<prometheus::Counter*, kArms.size()> settled_{};
  prometheus::Histogram* gain_;
  prometheus::Gauge* apps_;
  prometheus::Gauge* functions_;
  std::array<prometheus::Histogram*, kStoreOperations> store_durations_{};
  std::array<prometheus::Counter*, kStoreOperations> store_errors_{};
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_METRICS_H_
