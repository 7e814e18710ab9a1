#include "agent/transfer/metrics.h"

#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/registry.h"

namespace thaw::agent {
namespace {

constexpr const char* kKinds[] = {"snapshot", "image"};
constexpr const char* kOutcomes[] = {"ok", "present", "unavailable", "deadline", "refused", "failed"};

}  // namespace

TransferMetrics::TransferMetrics(prometheus::Registry& registry) {
  auto& received = prometheus::BuildCounter()
                       .Name("thaw_agent_transfer_received_bytes_total")
                       .Help("Bytes of snapshots (compressed) and images received from other agents.")
                       .Register(registry);
  auto& sent = prometheus::BuildCounter()
                   .Name("thaw_agent_transfer_sent_bytes_total")
                   .Help("Bytes of snapshots (compressed) and images sent to other agents.")
                   .Register(registry);
  for (std::size_t i = 0; i < received_.size(); ++i) {
    received_[i] = &received.Add({{"kind", kKinds[i]}});
    sent_[i] = &sent.Add({{"kind", kKinds[i]}});
  }
  auto& fetches = prometheus::BuildCounter()
                      .Name("thaw_agent_snapshot_fetches_total")
                      .Help("Fetches of snapshots from other agents, by how they ended.")
                      .Register(registry);
  for (std::size_t i = 0; i < fetches_.size(); ++i) fetches_[i] = &fetches.Add({{"outcome", kOutcomes[i]}});
  store_bytes_ = &prometheus::BuildGauge()
                      .Name("thaw_agent_snapshot_store_bytes")
                      .Help("Bytes of all chunks in the snapshot store.")
                      .Register(registry)
                      .Add({});
  store_quota_ = &prometheus::BuildGauge()
                      .Name("thaw_agent_snapshot_store_quota_bytes")
                      .Help("What the snapshot store's chunks may take; 0 without a limit.")
                      .Register(registry)
                      .Add({});
  evicted_ = &prometheus::BuildCounter()
                  .Name("thaw_agent_snapshots_evicted_total")
                  .Help("Snapshots removed to make room for others.")
                  .Register(registry)
                  .Add({});
  quarantined_ = &prometheus::BuildCounter()
                      .Name("thaw_agent_snapshots_quarantined_total")
                      .Help("Snapshots taken out of service because they were damaged or failed to restore.")
                      .Register(registry)
                      .Add({});
}

void TransferMetrics::AddReceived(TransferKind kind, std::uint64_t bytes) {
  received_[static_cast<std::size_t>(kind)]->Increment(static_cast<double>(bytes));
}
void TransferMetrics::AddSent(TransferKind kind, std::uint64_t bytes) {
  sent_[static_cast<std::size_t>(kind)]->Increment(static_cast<double>(bytes));
}
void TransferMetrics::CountFetch(FetchOutcome outcome) { fetches_[static_cast<std::size_t>(outcome)]->Increment(); }
void TransferMetrics::SetStoreBytes(std::uint64_t bytes) { store_bytes_->Set(static_cast<double>(bytes)); }
void TransferMetrics::SetStoreQuota(std::uint64_t bytes) { store_quota_->Set(static_cast<double>(bytes)); }
void TransferMetrics::CountEvicted() { evicted_->Increment(); }
void TransferMetrics::CountQuarantined() { quarantined_->Increment(); }

}  // namespace thaw::agent
