#ifndef THAW_GATEWAY_SERVICE_EXPLAIN_FREEZING_H_
#define THAW_GATEWAY_SERVICE_EXPLAIN_FREEZING_H_

#include "absl/time/time.h"
#include "common/rpc/client.h"
#include "thaw/gateway/v1/gateway.grpc.pb.h"
#include "thaw/scheduler/v1/scheduler.grpc.pb.h"

namespace thaw::gateway {

// The reason of an answer that has nothing to tell.
inline constexpr char kNothingKnown[] = "NOTHING_KNOWN";

struct ExplainFreezingDeps {
  scheduler::v1::Catalogue::Stub* catalogue;
  ChannelPool* channels;
  absl::Time deadline;
  // Of one node's answer. A node that can't be asked is told of by a diagnosis with an error.
  absl::Duration node_limit;
};

// Admin.ExplainFreezing: asks all reachable nodes at once what they know of the function's version, and merges it by time,
// the newest first. The reactor is the context's default one.
//
//   INVALID_ARGUMENT, NOT_FOUND   as for the function's name
//   FAILED_PRECONDITION           no instance runs, and nothing was ever tried (NOTHING_KNOWN)
//   UNAVAILABLE                   no scheduler to ask which nodes there are
grpc::ServerUnaryReactor* StartExplainFreezing(grpc::CallbackServerContext& context,
                                               const v1::ExplainFreezingRequest& request,
                                               v1::ExplainFreezingResponse& response, ExplainFreezingDeps deps);

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_EXPLAIN_FREEZING_H_
