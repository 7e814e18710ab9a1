#include "agent/service/snapshots_service.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"

namespace thaw::agent {
namespace {

constexpr absl::Duration kTryAgainIn = absl::Milliseconds(200);

}  // namespace

SnapshotsService::SnapshotsService(SnapshotStore& store, std::shared_ptr<const Security> security, Executor& disk,
                                   TransferMetrics& metrics)
    : store_(store), security_(std::move(security)), disk_(disk), metrics_(metrics) {}

grpc::ServerUnaryReactor* SnapshotsService::GetManifest(grpc::CallbackServerContext* context,
                                                        const v1::GetManifestRequest* request, v1::Manifest* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::Status status = security_->CheckToken(*context);
  if (status.ok()) {
    status = disk_.Add([this, reactor, request, response] {
      absl::StatusOr<v1::Manifest> manifest = store_.GetManifest(request->snapshot_id());
      if (manifest.ok()) *response = *std::move(manifest);
      reactor->Finish(ToGrpcStatus(manifest.status()));
    });
  }
  if (!status.ok()) reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

// One stream's life: Read (on the disk's executor) and write take turns, so one of the two is always under way, and
// whichever sees the end calls End, once.
class SnapshotsService::ChunkStream final : public grpc::ServerWriteReactor<v1::Chunk> {
 public:
  ChunkStream(SnapshotsService* service, const v1::ReadChunksRequest* request) : service_(service), request_(request) {
    const int running = ++service_->streams_;
    if (request_->sha256_size() > kMaxChunksPerCall) {
      End(ToGrpcStatus(WithReason(
          absl::InvalidArgumentError(absl::StrCat("a call may ask for ", kMaxChunksPerCall, " chunks, this one asks for ",
                                                  request_->sha256_size(), "; ask in parts")),
          reason::kInvalidField)));
    } else if (running > kMaxStreams) {
      End(ToGrpcStatus(WithRetryAfter(
          absl::ResourceExhaustedError(absl::StrCat("this node sends snapshots in ", kMaxStreams,
                                                    " streams already; ask another holder, or again later")),
          kTryAgainIn)));
    } else {
      Next();
    }
  }

  void OnWriteDone(bool ok) override {
    if (!ok) {
      End(grpc::Status(grpc::StatusCode::CANCELLED, "the reader is gone"));
      return;
    }
    service_->metrics_.AddSent(TransferKind::kSnapshot, chunk_.data().size());
    Next();
  }
  // Also when the call's deadline passes. The disk work in hand ends soon; the next does not begin.
  void OnCancel() override { cancelled_ = true; }
  void OnDone() override { delete this; }

 private:
  // Gives its place free before the caller can know, and come again.
  void End(const grpc::Status& status) {
    --service_->streams_;
    Finish(status);
  }

  void Next() {
    if (next_ == request_->sha256_size()) {
      End(grpc::Status::OK);
      return;
    }
    const absl::Status queued = service_->disk_.Add([this] { Read(); });
    if (!queued.ok()) End(ToGrpcStatus(queued));
  }

  void Read() {
    if (cancelled_) {
      End(grpc::Status(grpc::StatusCode::CANCELLED, "the reader is gone"));
      return;
    }
    const std::string& sha256 = request_->sha256(next_++);
    absl::StatusOr<std::string> data = service_->store_.ReadChunk(sha256);
    if (!data.ok()) {
      End(ToGrpcStatus(data.status()));
      return;
    }
    chunk_.set_sha256(sha256);
    chunk_.set_data(*std::move(data));
    StartWrite(&chunk_);
  }

  SnapshotsService* const service_;
  const v1::ReadChunksRequest* const request_;
  std::atomic<bool> cancelled_{false};
  int next_ = 0;
  v1::Chunk chunk_;
};

grpc::ServerWriteReactor<v1::Chunk>* SnapshotsService::ReadChunks(grpc::CallbackServerContext* context,
                                                                  const v1::ReadChunksRequest* request) {
  class Refused final : public grpc::ServerWriteReactor<v1::Chunk> {
   public:
    explicit Refused(const absl::Status& status) { Finish(ToGrpcStatus(status)); }
    void OnDone() override { delete this; }
  };
  if (const absl::Status status = security_->CheckToken(*context); !status.ok()) return new Refused(status);
  return new ChunkStream(this, request);
}

}  // namespace thaw::agent
