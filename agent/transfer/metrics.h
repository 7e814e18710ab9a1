#ifndef THAW_AGENT_TRANSFER_METRICS_H_
#define THAW_AGENT_TRANSFER_METRICS_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace prometheus {
class Counter;
class Gauge;
class Registry;
}  // namespace prometheus

namespace thaw::agent {

enum class TransferKind { kSnapshot, kImage };

// How a fetch of a snapshot ended.
enum class FetchOutcome {
  kOk,
  // All of it was here already.
  kPresent,
  // No holder gave what was missing.
  kUnavailable,
  kDeadline,
  // It can't be used on this node (format, architecture, another version).
  kRefused,
  // This node's own store failed, e.g. for want of space.
  kFailed,
};

// What one agent counts of its snapshots and images on the move. Every series is resolved once; label sets are closed.
// Threads: any. Must not outlive the registry.
class TransferMetrics {
 public:
  explicit TransferMetrics(prometheus::Registry& registry);

  // thaw_agent_transfer_received_bytes_total{kind="snapshot|image"}: compressed chunks that proved sound, parts of image
  // archives.
  void AddReceived(TransferKind kind, std::uint64_t bytes);
  // thaw_agent_transfer_sent_bytes_total{kind}
  void AddSent(TransferKind kind, std::uint64_t bytes);
  // thaw_agent_snapshot_fetches_total{outcome="ok|present|unavailable|deadline|refused|failed"}
  void CountFetch(FetchOutcome outcome);
  // thaw_agent_snapshot_store_bytes
  void SetStoreBytes(std::uint64_t bytes);
  // thaw_agent_snapshot_store_quota_bytes; 0 without a limit
  void SetStoreQuota(std::uint64_t bytes);
  // thaw_agent_snapshots_evicted_total
  void CountEvicted();
  // thaw_agent_snapshots_quarantined_total
  void CountQuarantined();

 private:
  std::array<prometheus::Counter*, 2> received_;
  std::array<prometheus::Counter*, 2> sent_;
  std::array<prometheus::Counter*, 6> fetches_;
  prometheus::Gauge* store_bytes_;
  prometheus::Gauge* store_quota_;
  prometheus::Counter* evicted_;
  prometheus::Counter* quarantined_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_TRANSFER_METRICS_H_
