#include "agent/transfer/grpc_peers.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "thaw/agent/v1/agent.grpc.pb.h"

namespace thaw::agent {

// The calls under way, to be cancelled together.
class GrpcPeers::Calls {
 public:
  // One call's context for as long as it lasts.
  class Entered {
   public:
    Entered(Calls& calls, grpc::ClientContext& context) : calls_(calls), context_(context) {
      absl::MutexLock lock(&calls_.mu_);
      calls_.contexts_.insert(&context_);
      if (calls_.cancelled_) context_.TryCancel();
    }
    ~Entered() {
      absl::MutexLock lock(&calls_.mu_);
      calls_.contexts_.erase(&context_);
    }
    Entered(const Entered&) = delete;
    Entered& operator=(const Entered&) = delete;

   private:
    Calls& calls_;
    grpc::ClientContext& context_;
  };

  void Cancel() ABSL_LOCKS_EXCLUDED(mu_) {
    // TryCancel() does not wait, and under the lock no context can go meanwhile.
    absl::MutexLock lock(&mu_);
    cancelled_ = true;
    for (grpc::ClientContext* context : contexts_) context->TryCancel();
  }

 private:
  absl::Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_set<grpc::ClientContext*> contexts_ ABSL_GUARDED_BY(mu_);
};

namespace {

template <typename Calls>
class GrpcPeer final : public Peer {
 public:
  GrpcPeer(std::shared_ptr<Calls> calls, std::shared_ptr<ChannelPool> channels,
           const std::shared_ptr<grpc::Channel>& channel)
      : calls_(std::move(calls)),
        channels_(std::move(channels)),
        snapshots_(v1::Snapshots::NewStub(channel)),
        images_(v1::Images::NewStub(channel)) {}

  absl::StatusOr<v1::Manifest> GetManifest(const std::string& snapshot_id, absl::Time deadline) override {
    grpc::ClientContext context;
    PrepareCall(context, channels_->security(), deadline);
    const typename Calls::Entered entered(*calls_, context);
    v1::GetManifestRequest request;
    request.set_snapshot_id(snapshot_id);
    v1::Manifest manifest;
    const grpc::Status status = snapshots_->GetManifest(&context, request, &manifest);
    if (!status.ok()) return FromGrpcStatus(status);
    return manifest;
  }

  absl::Status ReadChunks(const std::vector<std::string>& chunks,
                          absl::FunctionRef<absl::Status(const std::string&, absl::string_view)> sink,
                          absl::Time deadline) override {
    grpc::ClientContext context;
    PrepareCall(context, channels_->security(), deadline);
    const typename Calls::Entered entered(*calls_, context);
    v1::ReadChunksRequest request;
    for (const std::string& sha256 : chunks) request.add_sha256(sha256);
    const auto reader = snapshots_->ReadChunks(&context, request);
    v1::Chunk chunk;
    absl::Status refused;
    while (refused.ok() && reader->Read(&chunk)) refused = sink(chunk.sha256(), chunk.data());
    if (!refused.ok()) context.TryCancel();
    const grpc::Status status = reader->Finish();
    return refused.ok() ? FromGrpcStatus(status) : refused;
  }

  absl::StatusOr<std::string> ExportImage(const std::string& image_id,
                                          absl::FunctionRef<absl::Status(absl::string_view)> sink,
                                          absl::Time deadline) override {
    grpc::ClientContext context;
    PrepareCall(context, channels_->security(), deadline);
    const typename Calls::Entered entered(*calls_, context);
    v1::ExportImageRequest request;
    request.set_image_id(image_id);
    const auto reader = images_->ExportImage(&context, request);
    v1::ExportImageResponse part;
    std::string sha256;
    absl::Status refused;
    while (refused.ok() && reader->Read(&part)) {
      if (part.part_case() == v1::ExportImageResponse::kSha256) {
        sha256 = part.sha256();
      } else {
        refused = sink(part.chunk());
      }
    }
    if (!refused.ok()) context.TryCancel();
    const grpc::Status status = reader->Finish();
    if (!refused.ok()) return refused;
    if (!status.ok()) return FromGrpcStatus(status);
    return sha256;
  }

 private:
  const std::shared_ptr<Calls> calls_;
  const std::shared_ptr<ChannelPool> channels_;
  const std::unique_ptr<v1::Snapshots::Stub> snapshots_;
  const std::unique_ptr<v1::Images::Stub> images_;
};

}  // namespace

GrpcPeers::GrpcPeers(std::shared_ptr<ChannelPool> channels)
    : calls_(std::make_shared<Calls>()), channels_(std::move(channels)) {}

void GrpcPeers::Cancel() { calls_->Cancel(); }

std::shared_ptr<Peer> GrpcPeers::Connect(const Holder& holder) {
  return std::make_shared<GrpcPeer<Calls>>(calls_, channels_, channels_->Get(holder.address));
}

}  // namespace thaw::agent
