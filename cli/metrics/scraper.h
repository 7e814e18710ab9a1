#ifndef THAW_CLI_METRICS_SCRAPER_H_
#define THAW_CLI_METRICS_SCRAPER_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace thaw::cli {

// Reads a service's metrics page. Threads: any.
class MetricsScraper {
 public:
  virtual ~MetricsScraper() = default;
  // The text of http://`address`/metrics, `address` being host:port. UNAVAILABLE when nobody answers there in
  // time or the answer is not 200.
  virtual absl::StatusOr<std::string> Scrape(const std::string& address) = 0;
};

// Over plain HTTP/1.1 on a socket, five seconds per page.
class HttpMetricsScraper final : public MetricsScraper {
 public:
  absl::StatusOr<std::string> Scrape(const std::string& address) override;
};

// One line of a page in Prometheus' text format.
struct MetricSample {
  std::map<std::string, std::string> labels;
  double value = 0;
};

// The samples of the metric `name` in `page`; lines that are no samples are skipped.
std::vector<MetricSample> SamplesOf(absl::string_view page, absl::string_view name);

}  // namespace thaw::cli

#endif  // THAW_CLI_METRICS_SCRAPER_H_
