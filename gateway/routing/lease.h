#ifndef THAW_GATEWAY_ROUTING_LEASE_H_
#define THAW_GATEWAY_ROUTING_LEASE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace thaw::gateway {

// What a caller wrote to name a function: exactly one of the two is set.
struct FunctionName {
  std::string id;
  // `app/function`
  std::string path;

  // For messages and keys.
  const std::string& text() const { return id.empty() ? path : id; }
};

// INVALID_ARGUMENT (INVALID_FIELD) unless exactly one is given and it has the form of an id, or of `app/function`.
absl::StatusOr<FunctionName> MakeFunctionName(absl::string_view id, absl::string_view path);

// The right to send one version's calls to one node for a while.
struct Lease {
  std::string id;
  std::string version_id;
  std::string app_id;
  std::string function_id;
  // `app/function`
  std::string function_path;
  std::string node_id;
  // host:port
  std::string node_address;
  // Counted from the arrival of the scheduler's answer.
  absl::Duration time_to_live;
  // How many calls the node runs at once; more queue there.
  int concurrency = 1;
  // The function's own limits.
  absl::Duration call_timeout = absl::Seconds(30);
  absl::Duration idle_timeout = absl::Seconds(30);
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_ROUTING_LEASE_H_
