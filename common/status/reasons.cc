#include "common/status/reasons.h"

#include <utility>

#include "absl/strings/cord.h"
#include "common/text/utf8.h"
#include "google/rpc/error_details.pb.h"

namespace thaw {
namespace {

constexpr char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";
constexpr char kRetryInfoUrl[] = "type.googleapis.com/google.rpc.RetryInfo";

template <typename Detail>
std::optional<Detail> ReadDetail(const absl::Status& status, absl::string_view url) {
  const auto payload = status.GetPayload(url);
  if (!payload.has_value()) return std::nullopt;
  Detail detail;
  if (!detail.ParseFromString(std::string(*payload))) return std::nullopt;
  return detail;
}

}  // namespace

absl::Status WithReason(absl::Status status, absl::string_view reason,
                        std::map<std::string, std::string> metadata) {
  if (status.ok()) return status;
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain("thaw");
  for (auto& [key, value] : metadata) (*info.mutable_metadata())[key] = ReplaceInvalidUtf8(std::move(value));
  status.SetPayload(kErrorInfoUrl, absl::Cord(info.SerializeAsString()));
  return status;
}

absl::Status WithRetryAfter(absl::Status status, absl::Duration delay) {
  if (status.ok()) return status;
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(delay));
  info.mutable_retry_delay()->set_nanos(
      static_cast<int>(absl::ToInt64Nanoseconds(delay - absl::Seconds(absl::ToInt64Seconds(delay)))));
  status.SetPayload(kRetryInfoUrl, absl::Cord(info.SerializeAsString()));
  return status;
}

std::string ReasonOf(const absl::Status& status) {
  const auto info = ReadDetail<google::rpc::ErrorInfo>(status, kErrorInfoUrl);
  return info.has_value() ? info->reason() : "";
}

std::optional<std::string> ReasonMetadata(const absl::Status& status, absl::string_view key) {
  const auto info = ReadDetail<google::rpc::ErrorInfo>(status, kErrorInfoUrl);
  if (!info.has_value()) return std::nullopt;
  const auto it = info->metadata().find(std::string(key));
  if (it == info->metadata().end()) return std::nullopt;
  return it->second;
}

std::optional<absl::Duration> RetryAfterOf(const absl::Status& status) {
  const auto info = ReadDetail<google::rpc::RetryInfo>(status, kRetryInfoUrl);
  if (!info.has_value()) return std::nullopt;
  return absl::Seconds(info->retry_delay().seconds()) + absl::Nanoseconds(info->retry_delay().nanos());
}

absl::Status MarkSent(absl::Status status) {
  if (status.ok()) return status;
  auto info = ReadDetail<google::rpc::ErrorInfo>(status, kErrorInfoUrl).value_or(google::rpc::ErrorInfo());
  if (info.reason().empty()) info.set_reason(reason::kAnswerLost);
  info.set_domain("thaw");
  (*info.mutable_metadata())["sent"] = "true";
  status.SetPayload(kErrorInfoUrl, absl::Cord(info.SerializeAsString()));
  return status;
}

bool WasSent(const absl::Status& status) { return ReasonMetadata(status, "sent") == "true"; }

}  // namespace thaw
