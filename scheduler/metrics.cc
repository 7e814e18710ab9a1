#include "scheduler/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/metrics/metrics.h"

namespace thaw::scheduler {
namespace {

constexpr std::array<const char*, kLeaseEnds> kLeaseEndNames = {"released", "expired", "function_changed", "node_lost"};
constexpr std::array<const char*, kPlacementOutcomes> kPlacementOutcomeNames = {"placed", "no_node", "no_room",
                                                                                "too_large"};
constexpr std::array<const char*, kPlacementReasons> kPlacementReasonNames = {"prefer_warm", "snapshot_fits", "snapshot_here",
                                                                              "least_loaded", "only", "pinned", "none"};
constexpr std::array<const char*, kGrantOutcomes> kGrantOutcomeNames = {
    "granted",          "refused_snapshot_exists", "refused_busy", "refused_policy", "refused_backoff",
    "refused_given_up", "refused_unknown_version", "published",    "failed",         "expired",
    "node_lost"};
constexpr std::array<const char*, kLearningDecisions> kLearningDecisionNames = {"rejected", "settled_earliest",
                                                                               "settled_later", "reopened"};
constexpr std::array<const char*, kStoreOperations> kStoreOperationNames = {"load", "apply"};
constexpr std::array<const char*, 5> kNodeStateNames = {"unspecified", "ready", "suspect", "lost", "draining"};

prometheus::Gauge& OneGauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

}  // namespace

absl::string_view LeaseEndName(LeaseEnd cause) { return kLeaseEndNames[static_cast<std::size_t>(cause)]; }

SchedulerMetrics::SchedulerMetrics(prometheus::Registry& registry)
    : leases_(&OneGauge(registry, "thaw_scheduler_leases", "Leases that gateways hold")),
      snapshots_(&OneGauge(registry, "thaw_scheduler_snapshots", "Snapshots in the catalogue")),
      apps_(&OneGauge(registry, "thaw_scheduler_apps", "Apps in the catalogue")),
      functions_(&OneGauge(registry, "thaw_scheduler_functions", "Functions in the catalogue")) {
  auto& nodes =
      prometheus::BuildGauge().Name("thaw_scheduler_nodes").Help("Nodes by what the scheduler thinks of them").Register(registry);
  for (std::size_t i = 1; i < nodes_.size(); ++i) nodes_[i] = &nodes.Add({{"state", kNodeStateNames[i]}});

  auto& ended = prometheus::BuildCounter()
                    .Name("thaw_scheduler_leases_ended_total")
                    .Help("Leases that ended, by cause")
                    .Register(registry);
  for (std::size_t i = 0; i < kLeaseEnds; ++i) leases_ended_[i] = &ended.Add({{"cause", kLeaseEndNames[i]}});

  auto& granted = prometheus::BuildCounter()
                      .Name("thaw_scheduler_leases_granted_total")
                      .Help("Leases made, and leases taken over from before a restart of the scheduler")
                      .Register(registry);
  leases_granted_ = {&granted.Add({{"kind", "new"}}), &granted.Add({{"kind", "adopted"}})};

  auto& placements = prometheus::BuildCounter()
                         .Name("thaw_scheduler_placements_total")
                         .Help("Requests for a node, by outcome and the policy that decided")
                         .Register(registry);
  for (std::size_t outcome = 0; outcome < kPlacementOutcomes; ++outcome) {
    for (std::size_t policy = 0; policy < kPlacementReasons; ++policy) {
      const bool placed = outcome == static_cast<std::size_t>(PlacementOutcome::kPlaced);
      const bool none = policy == static_cast<std::size_t>(PlacementReason::kNone);
      const bool pinned = policy == static_cast<std::size_t>(PlacementReason::kPinned);
      // A failed placement was decided by no policy; only pinning tells such apart.
      if (placed ? none : !(none || pinned)) continue;
      placements_[outcome][policy] = &placements.Add(
          {{"outcome", kPlacementOutcomeNames[outcome]}, {"policy", kPlacementReasonNames[policy]}});
    }
  }

  auto& grants = prometheus::BuildCounter()
                     .Name("thaw_scheduler_checkpoint_grants_total")
                     .Help("Requests to freeze an instance by answer, and granted ones by end")
                     .Register(registry);
  for (std::size_t i = 0; i < kGrantOutcomes; ++i) grants_[i] = &grants.Add({{"outcome", kGrantOutcomeNames[i]}});

  auto& reports = prometheus::BuildCounter()
                      .Name("thaw_scheduler_restore_reports_total")
                      .Help("Reports of restored instances' first calls, by whether something was learned from them")
                      .Register(registry);
  restore_reports_ = {&reports.Add({{"outcome", "ignored"}}), &reports.Add({{"outcome", "counted"}})};
  auto& decisions = prometheus::BuildCounter()
                        .Name("thaw_scheduler_learning_decisions_total")
                        .Help("What was decided about candidate snapshots")
                        .Register(registry);
  for (std::size_t i = 0; i < kLearningDecisions; ++i) {
    learning_decisions_[i] = &decisions.Add({{"decision", kLearningDecisionNames[i]}});
  }
  auto& settled = prometheus::BuildCounter()
                      .Name("thaw_scheduler_learning_settled_total")
                      .Help("Versions that settled on a snapshot, by the number of calls it was frozen after")
                      .Register(registry);
  auto& gain = prometheus::BuildHistogram()
                   .Name("thaw_scheduler_learning_gain_ratio")
                   .Help("By how much the snapshot that was settled on answers faster than the earliest one")
                   .Register(registry);
  for (std::size_t i = 0; i < kArms.size(); ++i) settled_[i] = &settled.Add({{"calls", absl::StrCat(kArms[i])}});
  gain_ = &gain.Add({}, prometheus::Histogram::BucketBoundaries{0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8});

  auto& durations = prometheus::BuildHistogram()
                        .Name("thaw_scheduler_store_operation_duration_seconds")
                        .Help("Time the store took")
                        .Register(registry);
  auto& errors = prometheus::BuildCounter()
                     .Name("thaw_scheduler_store_errors_total")
                     .Help("Store operations that failed")
                     .Register(registry);
  for (std::size_t i = 0; i < kStoreOperations; ++i) {
    store_durations_[i] = &durations.Add({{"operation", kStoreOperationNames[i]}}, LatencyBuckets());
    store_errors_[i] = &errors.Add({{"operation", kStoreOperationNames[i]}});
  }
}

void SchedulerMetrics::SetNodes(common::v1::NodeState state, std::size_t count) {
  const auto index = static_cast<std::size_t>(state);
  if (index >= 1 && index < nodes_.size()) nodes_[index]->Set(static_cast<double>(count));
}
void SchedulerMetrics::SetLeases(std::size_t count) { leases_->Set(static_cast<double>(count)); }
void SchedulerMetrics::LeaseEnded(LeaseEnd cause) { leases_ended_[static_cast<std::size_t>(cause)]->Increment(); }
void SchedulerMetrics::LeaseGranted(bool adopted) { leases_granted_[adopted ? 1 : 0]->Increment(); }
void SchedulerMetrics::Placed(PlacementOutcome outcome, PlacementReason policy) {
  auto* counter = placements_[static_cast<std::size_t>(outcome)][static_cast<std::size_t>(policy)];
  if (counter != nullptr) counter->Increment();
}
void SchedulerMetrics::SetSnapshots(std::size_t count) { snapshots_->Set(static_cast<double>(count)); }
void SchedulerMetrics::CheckpointGrant(GrantOutcome outcome) { grants_[static_cast<std::size_t>(outcome)]->Increment(); }
void SchedulerMetrics::RestoreReported(bool counted) { restore_reports_[counted ? 1 : 0]->Increment(); }
void SchedulerMetrics::Learned(LearningDecision decision) {
  learning_decisions_[static_cast<std::size_t>(decision)]->Increment();
}
void SchedulerMetrics::Settled(std::size_t arm, double gain) {
  settled_[arm]->Increment();
  gain_->Observe(gain);
}
void SchedulerMetrics::SetApps(std::size_t count) { apps_->Set(static_cast<double>(count)); }
void SchedulerMetrics::SetFunctions(std::size_t count) { functions_->Set(static_cast<double>(count)); }
void SchedulerMetrics::StoreOperationEnded(StoreOperation operation, absl::Duration duration, bool ok) {
  const auto index = static_cast<std::size_t>(operation);
  store_durations_[index]->Observe(absl::ToDoubleSeconds(duration));
  if (!ok) store_errors_[index]->Increment();
}

}  // namespace thaw::scheduler
