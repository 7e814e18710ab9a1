#include "gateway/metrics.h"

#include <string>

#include "absl/strings/match.h"
#include "common/metrics/metrics.h"
#include "common/status/reasons.h"
#include "common/version/version.h"

namespace thaw::gateway {
namespace {

constexpr std::array<const char*, GatewayMetrics::kEndings> kEndingNames = {
    "ok", "function_error", "timeout", "refused", "too_busy", "unavailable", "answer_lost", "cancelled", "error"};
constexpr std::array<const char*, GatewayMetrics::kRetryCauses> kRetryNames = {
    "unreachable", "unavailable", "cannot_run", "no_room", "stale_lease", "refused"};
constexpr std::array<const char*, GatewayMetrics::kAcquisitions> kAcquisitionNames = {
    "granted", "no_room", "no_node", "not_found", "unreachable", "error"};
constexpr std::array<const char*, kProtocols> kProtocolNames = {"http", "grpc"};

prometheus::Gauge& AddGauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

}  // namespace

GatewayMetrics::GatewayMetrics(prometheus::Registry& registry)
    : invocations_(prometheus::BuildCounter()
                       .Name("thaw_gateway_invocations_total")
                       .Help("calls that ended, by how and by how their instance came to be")
                       .Register(registry)),
      in_flight_(&AddGauge(registry, "thaw_gateway_invocations_in_flight", "calls under way")),
      leases_(&AddGauge(registry, "thaw_gateway_leases", "leases held")),
      scheduler_connected_(&AddGauge(registry, "thaw_gateway_scheduler_connected",
                                     "1 while the scheduler's lease events are subscribed to")),
      http_connections_(&AddGauge(registry, "thaw_gateway_http_connections", "open HTTP connections")) {
  auto& durations = prometheus::BuildHistogram()
                        .Name("thaw_gateway_invocation_duration_seconds")
                        .Help("calls, from the request to their end, by how their instance came to be (none: no answer)")
                        .Register(registry);
  for (int kind = 0; kind < kStartKinds; ++kind) {
    durations_[static_cast<std::size_t>(kind)] =
        &durations.Add({{"start", StartKindName(static_cast<StartKind>(kind))}}, LatencyBuckets());
  }
  auto& retries = prometheus::BuildCounter()
                      .Name("thaw_gateway_retries_total")
                      .Help("calls that were sent to another node, nothing having reached a function")
                      .Register(registry);
  for (std::size_t i = 0; i < kRetryNames.size(); ++i) retries_[i] = &retries.Add({{"cause", kRetryNames[i]}});
  auto& acquisitions = prometheus::BuildCounter()
                           .Name("thaw_gateway_lease_acquisitions_total")
                           .Help("answers of the scheduler to requests for a lease")
                           .Register(registry);
  for (std::size_t i = 0; i < kAcquisitionNames.size(); ++i) {
    acquisitions_[i] = &acquisitions.Add({{"outcome", kAcquisitionNames[i]}});
  }
  prometheus::BuildGauge()
      .Name("thaw_build_info")
      .Help("1, with the version as a label")
      .Register(registry)
      .Add({{"component", "gateway"}, {"version", kVersion}})
      .Set(1);
}

GatewayMetrics::Ending GatewayMetrics::EndingOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return Ending::kOk;
    case absl::StatusCode::kCancelled:
      return Ending::kCancelled;
    case absl::StatusCode::kDeadlineExceeded:
      return Ending::kTimeout;
    case absl::StatusCode::kResourceExhausted:
      return Ending::kTooBusy;
    case absl::StatusCode::kUnavailable:
      return Ending::kUnavailable;
    case absl::StatusCode::kAborted:
      return Ending::kAnswerLost;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
      return Ending::kRefused;
    default:
      return absl::StartsWith(ReasonOf(status), "FUNCTION_") ? Ending::kFunctionError : Ending::kError;
  }
}

void GatewayMetrics::CallEnded(Protocol protocol, const absl::Status& status, StartKind start, absl::Duration total) {
  const auto p = static_cast<std::size_t>(protocol);
  const auto e = static_cast<std::size_t>(EndingOf(status));
  const auto s = static_cast<std::size_t>(start);
  in_flight_->Decrement();
  auto& series = invocation_series_[p][e][s];
  prometheus::Counter* counter = series.load(std::memory_order_acquire);
  if (counter == nullptr) {
    // Two threads may both come here; Add() gives them the same counter.
    counter = &invocations_.Add(
        {{"protocol", kProtocolNames[p]}, {"outcome", kEndingNames[e]}, {"start", StartKindName(start)}});
    series.store(counter, std::memory_order_release);
  }
  counter->Increment();
  durations_[s]->Observe(absl::ToDoubleSeconds(total));
}

void GatewayMetrics::Acquired(const absl::Status& status) {
  Acquisition outcome = Acquisition::kError;
  if (status.ok()) {
    outcome = Acquisition::kGranted;
  } else if (absl::IsResourceExhausted(status)) {
    outcome = Acquisition::kNoRoom;
  } else if (absl::IsNotFound(status)) {
    outcome = Acquisition::kNotFound;
  } else if (ReasonOf(status) == reason::kSchedulerUnavailable) {
    outcome = Acquisition::kUnreachable;
  } else if (absl::IsUnavailable(status)) {
    outcome = Acquisition::kNoNode;
  }
  acquisitions_[static_cast<std::size_t>(outcome)]->Increment();
}

}  // namespace thaw::gateway
