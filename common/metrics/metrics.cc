#include "common/metrics/metrics.h"

#include <exception>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "prometheus/exposer.h"
#include "prometheus/text_serializer.h"

namespace thaw {

const prometheus::Histogram::BucketBoundaries& LatencyBuckets() {
  static const auto* const kBuckets = new prometheus::Histogram::BucketBoundaries{
      0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60};
  return *kBuckets;
}

const prometheus::Histogram::BucketBoundaries& SizeBuckets() {
  static const auto* const kBuckets = [] {
    auto* buckets = new prometheus::Histogram::BucketBoundaries();
    for (double bytes = 65536; bytes <= 17179869184.0; bytes *= 4) buckets->push_back(bytes);
    return buckets;
  }();
  return *kBuckets;
}

std::string RenderMetrics(const prometheus::Registry& registry) {
  return prometheus::TextSerializer().Serialize(registry.Collect());
}

struct MetricsServer::State {
  std::shared_ptr<prometheus::Registry> registry;
  std::unique_ptr<prometheus::Exposer> exposer;
};

MetricsServer::MetricsServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
MetricsServer::~MetricsServer() = default;

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Create(
    const std::string& address, std::shared_ptr<prometheus::Registry> registry) {
  auto state = std::make_unique<State>();
  state->registry = std::move(registry);
  // The library's constructor throws what the socket refuses.
  try {
    state->exposer = std::make_unique<prometheus::Exposer>(address, 2);
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("metrics address ", address, " can't be bound: ", error.what(),
                                               "; choose another with --metrics-listen"));
  }
  state->exposer->RegisterCollectable(state->registry);
  return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(state)));
}

int MetricsServer::port() const { return state_->exposer->GetListeningPorts().front(); }

}  // namespace thaw
