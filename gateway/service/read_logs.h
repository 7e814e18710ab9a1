#ifndef THAW_GATEWAY_SERVICE_READ_LOGS_H_
#define THAW_GATEWAY_SERVICE_READ_LOGS_H_

#include "absl/time/time.h"
#include "common/executor/executor.h"
#include "common/rpc/client.h"
#include "thaw/gateway/v1/gateway.grpc.pb.h"
#include "thaw/scheduler/v1/scheduler.grpc.pb.h"

namespace thaw::gateway {

struct ReadLogsDeps {
  scheduler::v1::Catalogue::Stub* catalogue;
  ChannelPool* channels;
  Timers* timers;
  // Of the questions to the scheduler.
  absl::Duration request_limit;
  // How long the lines of the others wait for a silent node.
  absl::Duration settle;
  // With `follow`: how often new nodes are looked for.
  absl::Duration refresh;
};

// Admin.ReadLogs: the function's lines of all reachable nodes, merged by time (LogMerge). Each node is asked for its
// next line when the last one was taken, so a slow client holds the nodes back and nothing heaps up here. A node whose
// log breaks is told of by a line of its own, in the form of init's: `<time> - thaw <text>`. The reactor deletes
// itself.
//
//   INVALID_ARGUMENT, NOT_FOUND   as for the function's name
//   UNAVAILABLE                   no scheduler to ask which nodes there are
grpc::ServerWriteReactor<v1::LogLine>* StartReadLogs(grpc::CallbackServerContext& context,
                                                     const v1::ReadLogsRequest& request, ReadLogsDeps deps);

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_READ_LOGS_H_
