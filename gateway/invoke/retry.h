#ifndef THAW_GATEWAY_INVOKE_RETRY_H_
#define THAW_GATEWAY_INVOKE_RETRY_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gateway/invoke/agent_client.h"
#include "gateway/metrics.h"

namespace thaw::gateway {

// What one try on one node means for the call.
struct Verdict {
  enum class Next {
    // `status` is the call's end.
    kEnd,
    // Nothing reached a function: another node may take it. `status` is the call's end if none does.
    kOtherNode,
  };
  // What becomes of the leases.
  enum class Drop { kNothing, kLease, kNode };

  Next next = Next::kEnd;
  Drop drop = Drop::kNothing;
  // Whether this call may come to the same node again.
  bool exclude_node = true;
  absl::Status status;
  // Set with kOtherNode.
  std::optional<GatewayMetrics::RetryCause> cause;
};

struct Try {
  std::string function;
  std::string node_id;
  // How long the call has been under way.
  absl::Duration elapsed;
  // The caller has gone.
  bool cancelled = false;
};

// The one place that decides whether a call is sent again. The rule: only if it is certain that no byte of it reached
// a function. That is so when the connection never took it (Delivery::kNotSent), and when the agent itself says so
// (an error with a reason that is not marked as sent). All else that is lost on the way is ABORTED, ANSWER_LOST.
//
//   not sent, UNAVAILABLE or our connect limit      other node; all leases on this one are dropped
//   agent: UNAVAILABLE                              other node; the lease is dropped (it drains, say)
//   agent: FAILED_PRECONDITION                      other node; the lease is dropped (it can't run it)
//   agent: RESOURCE_EXHAUSTED                       other node; the lease stays
//   agent: NOT_FOUND                                a new lease, maybe there: the version is not that of this lease
//   agent's gRPC: UNAUTHENTICATED, UNIMPLEMENTED    other node: refused before any of our code ran there
//   all else                                        the end
Verdict Judge(const AgentResult& result, const Try& tried);

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_INVOKE_RETRY_H_
