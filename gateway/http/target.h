#ifndef THAW_GATEWAY_HTTP_TARGET_H_
#define THAW_GATEWAY_HTTP_TARGET_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gateway/routing/lease.h"

namespace thaw::gateway {

// What a request's target asks for.
struct HttpTarget {
  enum class Kind { kInvoke, kHealth, kReady, kMetrics };
  Kind kind;
  // Set for kInvoke.
  FunctionName function;
};

// Reads `/invoke/{fn_id}`, `/invoke/{app}/{function}` (each part percent-decoded), `/healthz`, `/readyz` and
// `/metrics`; a query is ignored.
//
//   NOT_FOUND          nothing is there
//   INVALID_ARGUMENT   a function is meant, and its name can't be one
absl::StatusOr<HttpTarget> ParseTarget(absl::string_view target);

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_HTTP_TARGET_H_
