#ifndef THAW_AGENT_SERVICE_SNAPSHOTS_SERVICE_H_
#define THAW_AGENT_SERVICE_SNAPSHOTS_SERVICE_H_

#include <atomic>
#include <memory>

#include "agent/snapshot/store.h"
#include "agent/transfer/metrics.h"
#include "common/executor/executor.h"
#include "common/rpc/security.h"
#include "thaw/agent/v1/agent.grpc.pb.h"

namespace thaw::agent {

// thaw.agent.v1.Snapshots: gives this node's snapshots to other agents. The store is read on `disk`; one chunk of each
// stream is in memory at a time.
class SnapshotsService final : public v1::Snapshots::CallbackService {
 public:
  // Beyond it a ReadChunks is RESOURCE_EXHAUSTED: its caller asks another holder.
  static constexpr int kMaxStreams = 32;
  static constexpr int kMaxChunksPerCall = 65536;

  SnapshotsService(SnapshotStore& store, std::shared_ptr<const Security> security, Executor& disk,
                   TransferMetrics& metrics);

  grpc::ServerUnaryReactor* GetManifest(grpc::CallbackServerContext* context, const v1::GetManifestRequest* request,
                                        v1::Manifest* response) override;
  grpc::ServerWriteReactor<v1::Chunk>* ReadChunks(grpc::CallbackServerContext* context,
                                                  const v1::ReadChunksRequest* request) override;

 private:
  class ChunkStream;

  SnapshotStore& store_;
  const std::shared_ptr<const Security> security_;
  Executor& disk_;
  TransferMetrics& metrics_;
  std::atomic<int> streams_{0};
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_SERVICE_SNAPSHOTS_SERVICE_H_
