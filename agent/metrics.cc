#include "agent/metrics.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"
#include "common/metrics/metrics.h"

namespace thaw::agent {
namespace {

constexpr std::array<StartKind, 4> kKinds = {StartKind::kWarm, StartKind::kRestored, StartKind::kRestoredRemote,
                                             StartKind::kCold};
constexpr std::array<const char*, 3> kStartResults = {"ok", "failed", "fell_back"};
constexpr std::array<const char*, 5> kInvocationOutcomes = {"ok", "function_failed", "timed_out", "broken", "refused"};
constexpr std::array<const char*, 4> kCheckpointOutcomes = {"published", "refused", "failed", "canary_failed"};

template <typename Enum>
std::size_t Index(Enum value) {
  return static_cast<std::size_t>(value);
}

}  // namespace

AgentMetrics::AgentMetrics(prometheus::Registry& registry) {
  auto& starts = prometheus::BuildCounter()
                     .Name("thaw_agent_starts_total")
                     .Help("Instance starts by kind and result")
                     .Register(registry);
  auto& invocations = prometheus::BuildCounter()
                          .Name("thaw_agent_invocations_total")
                          .Help("Invocations by how their instance came to be and by outcome")
                          .Register(registry);
  for (StartKind kind : kKinds) {
    const std::string name(StartKindName(kind));
    for (std::size_t i = 0; i < kStartResults.size(); ++i) {
      starts_[Index(kind)][i] = &starts.Add({{"kind", name}, {"result", kStartResults[i]}});
    }
    for (std::size_t i = 0; i < kInvocationOutcomes.size(); ++i) {
      invocations_[Index(kind)][i] = &invocations.Add({{"start", name}, {"outcome", kInvocationOutcomes[i]}});
    }
  }
  auto& phases = prometheus::BuildHistogram()
                     .Name("thaw_agent_start_phase_seconds")
                     .Help("Where the time of a start went")
                     .Register(registry);
  phase_container_ = &phases.Add({{"phase", "container"}}, LatencyBuckets());
  phase_fetch_ = &phases.Add({{"phase", "fetch"}}, LatencyBuckets());
  phase_restore_ = &phases.Add({{"phase", "restore"}}, LatencyBuckets());
  phase_first_response_ = &phases.Add({{"phase", "first_response"}}, LatencyBuckets());

  auto& checkpoints = prometheus::BuildCounter()
                          .Name("thaw_agent_checkpoints_total")
                          .Help("Checkpoints by outcome")
                          .Register(registry);
  for (std::size_t i = 0; i < kCheckpointOutcomes.size(); ++i) {
    checkpoints_[i] = &checkpoints.Add({{"outcome", kCheckpointOutcomes[i]}});
  }
  auto& obstacles = prometheus::BuildCounter()
                        .Name("thaw_agent_obstacles_total")
                        .Help("What was found in the way of checkpoints, by kind")
                        .Register(registry);
  for (std::size_t kind = 1; kind < obstacles_.size(); ++kind) {
    const std::string name = thaw::common::v1::ObstacleKind_Name(static_cast<int>(kind));
    if (name.empty()) continue;
    obstacles_[kind] = &obstacles.Add({{"kind", absl::AsciiStrToLower(absl::StripPrefix(name, "OBSTACLE_KIND_"))}});
  }
  checkpoint_duration = &prometheus::BuildHistogram()
                             .Name("thaw_agent_checkpoint_duration_seconds")
                             .Help("Of published ones, from the start of the freeze to the published snapshot")
                             .Register(registry)
                             .Add({}, LatencyBuckets());
  checkpoint_frozen = &prometheus::BuildHistogram()
                           .Name("thaw_agent_checkpoint_frozen_seconds")
                           .Help("How long the frozen process stood still")
                           .Register(registry)
                           .Add({}, LatencyBuckets());
  checkpoint_bytes = &prometheus::BuildHistogram()
                          .Name("thaw_agent_checkpoint_bytes")
                          .Help("Raw size of published snapshots")
                          .Register(registry)
                          .Add({}, SizeBuckets());

  auto& instances =
      prometheus::BuildGauge().Name("thaw_agent_instances").Help("Instances by state").Register(registry);
  instances_starting = &instances.Add({{"state", "starting"}});
  instances_idle = &instances.Add({{"state", "idle"}});
  instances_busy = &instances.Add({{"state", "busy"}});
  instances_checkpointing = &instances.Add({{"state", "checkpointing"}});
  auto& slots = prometheus::BuildGauge().Name("thaw_agent_slots").Help("Slots by state").Register(registry);
  slots_empty = &slots.Add({{"state", "empty"}});
  slots_occupied = &slots.Add({{"state", "occupied"}});
  waiting_calls = &prometheus::BuildGauge()
                       .Name("thaw_agent_waiting_calls")
                       .Help("Calls that wait for an instance")
                       .Register(registry)
                       .Add({});
  memory_reserved_bytes = &prometheus::BuildGauge()
                               .Name("thaw_agent_memory_reserved_bytes")
                               .Help("Memory reserved by instances")
                               .Register(registry)
                               .Add({});
  auto& recovered = prometheus::BuildCounter()
                        .Name("thaw_agent_recovered_total")
                        .Help("What the agent found of its former self at its start")
                        .Register(registry);
  recovered_instances = &recovered.Add({{"what", "instance"}});
  recovered_slots = &recovered.Add({{"what", "slot"}});
  removed_orphans = &recovered.Add({{"what", "orphan"}});
  removed_half_dumps = &recovered.Add({{"what", "half_dump"}});
  unfit_snapshots = &prometheus::BuildCounter()
                         .Name("thaw_agent_unfit_snapshots_total")
                         .Help("Cold starts because this node's CPU lacks what the version's snapshot relies on")
                         .Register(registry)
                         .Add({});
  images_removed = &prometheus::BuildCounter()
                        .Name("thaw_agent_images_removed_total")
                        .Help("Images taken off the engine because no version needed them any more")
                        .Register(registry)
                        .Add({});
  scheduler_connected = &prometheus::BuildGauge()
                             .Name("thaw_agent_scheduler_connected")
                             .Help("1 while the stream to the scheduler is open")
                             .Register(registry)
                             .Add({});
}

void AgentMetrics::CountStart(StartKind kind, StartResult result) { starts_[Index(kind)][Index(result)]->Increment(); }

void AgentMetrics::ObserveStart(const StartRecord& record) {
  phase_container_->Observe(absl::ToDoubleSeconds(record.phases.container));
  if (record.kind != StartKind::kCold) phase_fetch_->Observe(absl::ToDoubleSeconds(record.phases.fetch));
  phase_restore_->Observe(absl::ToDoubleSeconds(record.phases.restore));
}

void AgentMetrics::ObserveFirstResponse(absl::Duration duration) {
  phase_first_response_->Observe(absl::ToDoubleSeconds(duration));
}

void AgentMetrics::CountInvocation(StartKind start, InvocationOutcome outcome) {
  invocations_[Index(start)][Index(outcome)]->Increment();
}

void AgentMetrics::CountObstacle(thaw::common::v1::ObstacleKind kind) {
  const auto index = static_cast<std::size_t>(kind);
  prometheus::Counter* counter = index < obstacles_.size() ? obstacles_[index] : nullptr;
  if (counter == nullptr) counter = obstacles_[thaw::common::v1::OBSTACLE_KIND_OTHER];
  counter->Increment();
}

void AgentMetrics::CountCheckpoint(CheckpointOutcome outcome) { checkpoints_[Index(outcome)]->Increment(); }

}  // namespace thaw::agent
