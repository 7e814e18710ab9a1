#include "gateway/options.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"

namespace thaw::gateway {
namespace {

constexpr std::uint64_t kMinBytes = 1024;
constexpr std::uint64_t kMaxHeaderBytes = 1u << 20;
constexpr std::uint64_t kMaxBodyBytes = 1u << 30;

absl::Status CheckRange(const char* flag, std::uint64_t value, std::uint64_t least, std::uint64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(flag, " is ", value, "; it takes ", least, " to ", most));
}

}  // namespace

absl::Status Options::Validate() const {
  RETURN_IF_ERROR(CheckRange("--max-body-bytes", max_body_bytes, kMinBytes, kMaxBodyBytes));
  RETURN_IF_ERROR(CheckRange("--max-header-bytes", max_header_bytes, kMinBytes, kMaxHeaderBytes));
  RETURN_IF_ERROR(CheckRange("--max-buffered-bytes", max_buffered_bytes, max_body_bytes, std::uint64_t{1} << 40));
  RETURN_IF_ERROR(CheckRange("--max-concurrent-calls", static_cast<std::uint64_t>(max_concurrent_calls), 1, 1'000'000));
  RETURN_IF_ERROR(CheckRange("--max-http-connections", static_cast<std::uint64_t>(max_http_connections), 1, 1'000'000));
  RETURN_IF_ERROR(CheckRange("--http-threads", static_cast<std::uint64_t>(http_threads), 1, 256));
  if (!absl::StrContains(scheduler, ':')) {
    return absl::InvalidArgumentError(absl::StrCat("--scheduler is '", scheduler, "'; it takes host:port"));
  }
  if (!https_listen.empty() && security.tls_cert_file.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--https-listen is ", https_listen,
                                                   ", and there is no certificate: give --tls-cert, --tls-key and --tls-ca"));
  }
  if (http_idle_limit <= absl::ZeroDuration() || http_idle_limit > absl::Hours(24)) {
    return absl::InvalidArgumentError("--http-idle-limit takes more than 0s, up to 24h");
  }
  if (http_read_limit <= absl::ZeroDuration() || http_read_limit > absl::Hours(1)) {
    return absl::InvalidArgumentError("--http-read-limit takes more than 0s, up to 1h");
  }
  if (start_allowance < absl::Seconds(1) || start_allowance > absl::Hours(1)) {
    return absl::InvalidArgumentError("--start-allowance takes 1s to 1h");
  }
  if (drain_limit < absl::ZeroDuration() || drain_limit > absl::Hours(1)) {
    return absl::InvalidArgumentError("--drain-limit takes 0s to 1h");
  }
  return absl::OkStatus();
}

}  // namespace thaw::gateway
