#ifndef THAW_GATEWAY_SERVICE_GRPC_AGENT_CLIENT_H_
#define THAW_GATEWAY_SERVICE_GRPC_AGENT_CLIENT_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/rpc/client.h"
#include "gateway/invoke/agent_client.h"

namespace thaw::gateway {

// The agents over gRPC.
//
// How it is certain that nothing was sent (gRPC 1.51): an RPC is started only on a channel that is connected; a node
// that refuses connections, or does not answer within Options::connect_limit, never had one started. Once started,
// there is one certain sign: "failed to connect to all addresses" is the client channel's own word, and comes when a
// call, or gRPC's transparent retry of it, found no connection any more; gRPC retries by itself only streams that were
// not put on the wire, or that the server's GOAWAY or REFUSED_STREAM says it never looked at. All else that ends
// without an agent's own status (one with a reason) may have been delivered. ClientContext::peer() is no sign: it
// names no connection for calls that a server has and whose deadline ran out.
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

  // `channels` must outlive it.
  GrpcAgentClient(const Options& options, ChannelPool& channels);
  // Cancels what is under way and waits for its callbacks.
  ~GrpcAgentClient() override;

  std::shared_ptr<AgentCall> Invoke(AgentRequest request, absl::AnyInvocable<void(AgentResult)> done) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_GRPC_AGENT_CLIENT_H_
