#ifndef THAW_AGENT_METRICS_H_
#define THAW_AGENT_METRICS_H_

#include <array>

#include "absl/time/time.h"
#include "agent/start/start_kind.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "thaw/common/v1/freezing.pb.h"

namespace thaw::agent {

// What one agent counts, but for its transfers (agent/transfer/metrics.h). Every series is resolved once; label sets are
// closed. Threads: any.
class AgentMetrics {
 public:
  explicit AgentMetrics(prometheus::Registry& registry);

  // thaw_agent_starts_total{kind, result}. A restore that failed and became a cold start counts as
  // {kind="restored…", result="fell_back"} and then as a cold start of its own.
  enum class StartResult { kOk, kFailed, kFellBack };
  void CountStart(StartKind kind, StartResult result);
  // thaw_agent_start_phase_seconds{phase="container|fetch|restore|first_response"}
  void ObserveStart(const StartRecord& record);
  void ObserveFirstResponse(absl::Duration duration);

  // thaw_agent_invocations_total{start, outcome}
  enum class InvocationOutcome { kOk, kFunctionFailed, kTimedOut, kBroken, kRefused };
  void CountInvocation(StartKind start, InvocationOutcome outcome);

  // thaw_agent_checkpoints_total{outcome="published|refused|failed|canary_failed"}
  enum class CheckpointOutcome { kPublished, kRefused, kFailed, kCanaryFailed };
  void CountCheckpoint(CheckpointOutcome outcome);

  // thaw_agent_obstacles_total{kind}: what looks before dumps, resources and CRIU have found in the way.
  void CountObstacle(thaw::common::v1::ObstacleKind kind);

  // thaw_agent_checkpoint_duration_seconds (from the start of the freeze to the published snapshot),
  // thaw_agent_checkpoint_frozen_seconds (how long the process stood still), thaw_agent_checkpoint_bytes (raw).
  prometheus::Histogram* checkpoint_duration;
  prometheus::Histogram* checkpoint_frozen;
  prometheus::Histogram* checkpoint_bytes;
  // thaw_agent_instances{state}, thaw_agent_slots{state="empty|occupied"}, thaw_agent_waiting_calls
  prometheus::Gauge* instances_starting;
  prometheus::Gauge* instances_idle;
  prometheus::Gauge* instances_busy;
  prometheus::Gauge* instances_checkpointing;
  prometheus::Gauge* slots_empty;
  prometheus::Gauge* slots_occupied;
  prometheus::Gauge* waiting_calls;
  prometheus::Gauge* memory_reserved_bytes;
  // thaw_agent_recovered_total{what="instance|slot|orphan|half_dump"}
  prometheus::Counter* recovered_instances;
  prometheus::Counter* recovered_slots;
  prometheus::Counter* removed_orphans;
  prometheus::Counter* removed_half_dumps;
  // thaw_agent_unfit_snapshots_total: cold starts because this node's CPU lacks what the version's snapshot relies on.
  prometheus::Counter* unfit_snapshots;
  // thaw_agent_images_removed_total: off this node's engine, as no version needed them any more.
  prometheus::Counter* images_removed;
  // thaw_agent_scheduler_connected: 1 while the stream is open.
  prometheus::Gauge* scheduler_connected;

 private:
  std::array<std::array<prometheus::Counter*, 3>, 4> starts_;
  std::array<std::array<prometheus::Counter*, 5>, 4> invocations_;
  std::array<prometheus::Counter*, 4> checkpoints_;
  std::array<prometheus::Counter*, thaw::common::v1::ObstacleKind_ARRAYSIZE> obstacles_{};
  prometheus::Histogram* phase_container_;
  prometheus::Histogram* phase_fetch_;
  prometheus::Histogram* phase_restore_;
  prometheus::Histogram* phase_first_response_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_METRICS_H_
