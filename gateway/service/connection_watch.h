#ifndef THAW_GATEWAY_SERVICE_CONNECTION_WATCH_H_
#define THAW_GATEWAY_SERVICE_CONNECTION_WATCH_H_

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

namespace grpc {
class Channel;
}

namespace thaw::gateway {

// Waits until channels are connected, so that an RPC need not be started to find out that it can't be sent: what was
// never started was never sent. One thread for all. Threads: any.
class ConnectionWatch {
 public:
  ConnectionWatch();
  // Waits for the callbacks that are due: they come at their deadline at the latest.
  ~ConnectionWatch();

  // True when `channel` is connected now.
  static bool Ready(grpc::Channel& channel);

  // Has `channel` connect, and calls `done` once, on the watch's thread or the caller's: with OK when it is connected,
  // UNAVAILABLE when an attempt has failed, DEADLINE_EXCEEDED when neither is so by `deadline`. `done` must be short.
  void Await(std::shared_ptr<grpc::Channel> channel, absl::Time deadline, absl::AnyInvocable<void(absl::Status)> done);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_CONNECTION_WATCH_H_
