#ifndef THAW_COMMON_METRICS_METRICS_H_
#define THAW_COMMON_METRICS_METRICS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"

namespace thaw {

// Seconds from 0.5 ms to 60 s, about three to a decade: for anything that a call waits for.
const prometheus::Histogram::BucketBoundaries& LatencyBuckets();
// Bytes from 64 KiB to 16 GiB, by fours.
const prometheus::Histogram::BucketBoundaries& SizeBuckets();

// The registry's content in the Prometheus text format, for a service with an HTTP server of its own.
std::string RenderMetrics(const prometheus::Registry& registry);

// Serves `registry` as GET /metrics at `address` (host:port; port 0 chooses one) until destroyed.
class MetricsServer {
 public:
  // UNAVAILABLE when the address can't be bound.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Create(const std::string& address,
                                                               std::shared_ptr<prometheus::Registry> registry);
  ~MetricsServer();
  int port() const;

 private:
  struct State;
  explicit MetricsServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace thaw

#endif  // THAW_COMMON_METRICS_METRICS_H_
