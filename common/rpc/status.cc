#include "common/rpc/status.h"

#include <grpcpp/support/status.h>

#include <string>

#include "absl/strings/cord.h"
#include "common/text/utf8.h"
#include "google/rpc/status.pb.h"

namespace thaw {

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  google::rpc::Status envelope;
  envelope.set_code(static_cast<int>(status.code()));
  // A message may quote what a function or a tool said.
  envelope.set_message(ReplaceInvalidUtf8(std::string(status.message())));
  status.ForEachPayload([&envelope](absl::string_view url, const absl::Cord& payload) {
    auto* detail = envelope.add_details();
    detail->set_type_url(std::string(url));
    detail->set_value(std::string(payload));
  });
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      envelope.details_size() > 0 ? envelope.SerializeAsString() : "");
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  google::rpc::Status envelope;
  if (!status.error_details().empty() && envelope.ParseFromString(status.error_details())) {
    for (const auto& detail : envelope.details()) {
      result.SetPayload(detail.type_url(), absl::Cord(detail.value()));
    }
  }
  return result;
}

}  // namespace thaw
