#ifndef THAW_GATEWAY_SERVICE_GRPC_AGENT_CLIENT_H_
#define THAW_GATEWAY_SERVICE_GRPC_AGENT_CLIENT_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/executor/executor.h"
#include "common/rpc/client.h"
#include "gateway/invoke/agent_client.h"

namespace thaw::gateway {

// The agents over gRPC.
//
// How it is certain that nothing was sent (gRPC 1.51): a call's peer is its channel's target until a batch of it is
// given to a transport, and an address (`ipv4:…`) from then on. A call that ended while it had none never had a
// connection. Besides, "failed to connect to all addresses" is the client channel's own word: it comes when a call,
// or its transparent retry, found no connection; gRPC retries by itself only streams that were not put on the wire,
// or that the server's GOAWAY or REFUSED_STREAM says it never looked at. Everything else that ends without an
// agent's own status (one with a reason) may have been delivered.
//
// A node that does not answer connection attempts is given up after Options::connect_limit, so that the call has time
// left for another one.
//
// Threads: any.
class GrpcAgentClient final : public AgentClient {
 public:
  struct Options {
    absl::Duration connect_limit = absl::Milliseconds(1500);
    std::size_t chunk_bytes = 512u << 10;
    // Answers beyond it are cut off (FUNCTION_ANSWER_TOO_LARGE).
    std::size_t max_answer_bytes = 64u << 20;
  };

  // `channels` and `timers` must outlive it.
  GrpcAgentClient(const Options& options, ChannelPool& channels, Timers& timers);
  // Cancels what is under way and waits for its callbacks.
  ~GrpcAgentClient() override;

  std::shared_ptr<AgentCall> Invoke(AgentRequest request, absl::AnyInvocable<void(AgentResult)> done) override;

 private:
  struct State;
  class Unary;
  class Stream;
  std::shared_ptr<State> state_;
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_GRPC_AGENT_CLIENT_H_
