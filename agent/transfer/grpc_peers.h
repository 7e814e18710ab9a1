#ifndef THAW_AGENT_TRANSFER_GRPC_PEERS_H_
#define THAW_AGENT_TRANSFER_GRPC_PEERS_H_

#include <memory>
#include <utility>

#include "agent/transfer/peer.h"

namespace thaw {
class ChannelPool;
}  // namespace thaw

namespace thaw::agent {

// Peers over thaw.agent.v1.Snapshots and .Images. Connecting is lazy: a holder that is not there shows in the first call.
class GrpcPeers final : public Peers {
 public:
  explicit GrpcPeers(std::shared_ptr<ChannelPool> channels);
  std::shared_ptr<Peer> Connect(const Holder& holder) override;

  // Ends all calls under way with CANCELLED, and each later one, too: transfers take minutes, and an agent
  // that stops can't wait for them. Threads: any; does not block.
  void Cancel();

 private:
  class Calls;

  const std::shared_ptr<Calls> calls_;
  const std::shared_ptr<ChannelPool> channels_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_TRANSFER_GRPC_PEERS_H_
