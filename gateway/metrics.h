#ifndef THAW_GATEWAY_METRICS_H_
#define THAW_GATEWAY_METRICS_H_

#include <array>
#include <atomic>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gateway/invoke/call.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"

namespace thaw::gateway {

// The gateway's series. All label sets are closed. Threads: any.
class GatewayMetrics {
 public:
  // How a call ended; the metric's label `outcome`.
  enum class Ending {
    kOk,
    // The function answered 502, or broke its contract.
    kFunctionError,
    kTimeout,
    // No such function, a bad request, a forbidden node.
    kRefused,
    // RESOURCE_EXHAUSTED, whoever said it.
    kTooBusy,
    kUnavailable,
    kAnswerLost,
    kCancelled,
    kError,
  };
  static constexpr int kEndings = 9;

  // Why a call went to another node; the label `cause`.
  enum class RetryCause { kUnreachable, kUnavailable, kCannotRun, kNoRoom, kStaleLease, kRefused };
  static constexpr int kRetryCauses = 6;

  enum class Acquisition { kGranted, kNoRoom, kNoNode, kNotFound, kUnreachable, kError };
  static constexpr int kAcquisitions = 6;

  // `registry` must outlive it.
  explicit GatewayMetrics(prometheus::Registry& registry);
  GatewayMetrics(const GatewayMetrics&) = delete;
  GatewayMetrics& operator=(const GatewayMetrics&) = delete;

  static Ending EndingOf(const absl::Status& status);

  void CallStarted() { in_flight_->Increment(); }
  void CallEnded(Protocol protocol, const absl::Status& status, StartKind start, absl::Duration total);
  void Retried(RetryCause cause) { retries_[static_cast<std::size_t>(cause)]->Increment(); }
  void Acquired(const absl::Status& status);
  void SetLeases(std::size_t leases) { leases_->Set(static_cast<double>(leases)); }
  void SetSchedulerConnected(bool connected) { scheduler_connected_->Set(connected ? 1 : 0); }
  void ConnectionOpened() { http_connections_->Increment(); }
  void ConnectionClosed() { http_connections_->Decrement(); }

 private:
  // Resolved on first use: most of the combinations never happen.
  using InvocationSeries =
      std::array<std::array<std::array<std::atomic<prometheus::Counter*>, kStartKinds>, kEndings>, kProtocols>;

  prometheus::Family<prometheus::Counter>& invocations_;
  InvocationSeries invocation_series_{};
  std::array<prometheus::Histogram*, kStartKinds> durations_{};
  prometheus::Gauge* in_flight_;
  std::array<prometheus::Counter*, kRetryCauses> retries_{};
  std::array<prometheus::Counter*, kAcquisitions> acquisitions_{};
  prometheus::Gauge* leases_;
  prometheus::Gauge* scheduler_connected_;
  prometheus::Gauge* http_connections_;
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_METRICS_H_
