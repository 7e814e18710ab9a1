#ifndef THAW_GATEWAY_SERVICE_PUSH_IMAGE_H_
#define THAW_GATEWAY_SERVICE_PUSH_IMAGE_H_

#include <memory>

#include "absl/time/time.h"
#include "common/executor/executor.h"
#include "common/rpc/client.h"
#include "spdlog/logger.h"
#include "thaw/gateway/v1/gateway.grpc.pb.h"
#include "thaw/scheduler/v1/scheduler.grpc.pb.h"

namespace thaw::gateway {

struct PushImageDeps {
  scheduler::v1::Catalogue::Stub* catalogue;
  ChannelPool* channels;
  Timers* timers;
  std::shared_ptr<spdlog::logger> log;
  absl::Time deadline;
};

// Admin.PushImage: passes the archive on to the ready node with the most memory unreserved, one part at a time: the
// next part is read from the client when the agent's connection has taken the last one. The SHA-256 that the agent
// checks is computed on the way. The reactor deletes itself.
//
//   INVALID_ARGUMENT   no header first, or fewer or more bytes than it announced
//   UNAVAILABLE        no node is ready, or the chosen one went away
//   others             as the agent says
grpc::ServerReadReactor<v1::PushImageRequest>* StartPushImage(grpc::CallbackServerContext& context,
                                                              v1::PushImageResponse& response, PushImageDeps deps);

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_PUSH_IMAGE_H_
