#include "agent/service/images_service.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "agent/transfer/archive_check.h"
#include "agent/transfer/byte_pipe.h"
#include "common/crypto/sha256.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

constexpr std::size_t kMaxPart = 1 << 20;
constexpr std::size_t kQueuedParts = 8;
constexpr absl::Duration kTryAgainIn = absl::Seconds(1);

absl::Status Busy(int streams, absl::string_view act) {
  return WithRetryAfter(absl::ResourceExhaustedError(absl::StrCat("this node ", act, " ", streams,
                                                                  " images already; ask another one, or again later")),
                        kTryAgainIn);
}

absl::Status Gone() { return absl::CancelledError("the caller is gone"); }

absl::Status Invalid(std::string message) {
  return WithReason(absl::InvalidArgumentError(message), reason::kInvalidField);
}

}  // namespace

ImagesService::ImagesService(ContainerRuntime& runtime, std::shared_ptr<const Security> security, Executor& engine,
                             TransferMetrics& metrics)
    : ImagesService(Options(), runtime, std::move(security), engine, metrics) {}

ImagesService::ImagesService(const Options& options, ContainerRuntime& runtime, std::shared_ptr<const Security> security,
                             Executor& engine, TransferMetrics& metrics)
    : options_(options), runtime_(runtime), security_(std::move(security)), engine_(engine), metrics_(metrics) {}

grpc::ServerUnaryReactor* ImagesService::HasImage(grpc::CallbackServerContext* context, const v1::HasImageRequest* request,
                                                  v1::HasImageResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::Status status = security_->CheckToken(*context);
  if (status.ok() && request->image_id().empty()) status = Invalid("image_id is empty; name the image");
  if (status.ok()) {
    const absl::Time deadline = DeadlineOf(*context, options_.longest_call);
    status = engine_.Add([this, reactor, request, response, deadline] {
      // First: an image that is found here must not go before its version comes.
      if (options_.on_asked_for) options_.on_asked_for(request->image_id());
      const absl::StatusOr<ImageInfo> image = runtime_.InspectImage(request->image_id(), deadline);
      // A name would be found too, but is not what was asked for.
      response->set_present(image.ok() && image->id == request->image_id());
      reactor->Finish(ToGrpcStatus(absl::IsNotFound(image.status()) ? absl::OkStatus() : image.status()));
    });
  }
  if (!status.ok()) reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

// The engine pushes and waits, on the executor's thread, until each part has been sent.
class ImagesService::ExportStream final : public grpc::ServerWriteReactor<v1::ExportImageResponse> {
 public:
  ExportStream(ImagesService* service, grpc::CallbackServerContext* context, const v1::ExportImageRequest* request)
      : service_(service), request_(request), deadline_(DeadlineOf(*context, service->options_.longest_call)) {
    const int running = ++service_->exports_;
    absl::Status status = service_->security_->CheckToken(*context);
    if (status.ok() && request_->image_id().empty()) status = Invalid("image_id is empty; name the image");
    if (status.ok() && running > service_->options_.max_exports) status = Busy(service_->options_.max_exports, "sends");
    if (status.ok()) status = service_->engine_.Add([this] { Run(); });
    if (!status.ok()) End(status);
  }

  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    gone_ |= !ok;
  }
  void OnCancel() override {
    absl::MutexLock lock(&mu_);
    gone_ = true;
  }
  void OnDone() override { delete this; }

 private:
  // Gives its place free before the caller can know, and come again.
  void End(const absl::Status& status) {
    --service_->exports_;
    Finish(ToGrpcStatus(status));
  }

  void Run() {
    Sha256 hash;
    absl::Status status = service_->runtime_.ExportImage(
        request_->image_id(),
        [&](absl::string_view data) -> absl::Status {
          for (; !data.empty(); data.remove_prefix(std::min(kMaxPart, data.size()))) {
            const absl::string_view part = data.substr(0, kMaxPart);
            hash.Update(part);
            RETURN_IF_ERROR(AwaitWrite());
            message_.set_chunk(std::string(part));
            Write();
            service_->metrics_.AddSent(TransferKind::kImage, part.size());
          }
          return absl::OkStatus();
        },
        deadline_);
    if (status.ok()) status = AwaitWrite();
    if (status.ok()) {
      message_.set_sha256(hash.FinishHex());
      Write();
    }
    // gRPC still reads message_ while a write is under way; it ends, well or not, since the call does.
    AwaitWrite().IgnoreError();
    End(status);
  }

  absl::Status AwaitWrite() {
    absl::MutexLock lock(&mu_);
    auto done = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !writing_; };
    mu_.Await(absl::Condition(&done));
    return gone_ ? Gone() : absl::OkStatus();
  }

  void Write() {
    {
      absl::MutexLock lock(&mu_);
      writing_ = true;
    }
    StartWrite(&message_);
  }

  ImagesService* const service_;
  const v1::ExportImageRequest* const request_;
  const absl::Time deadline_;
  v1::ExportImageResponse message_;
  absl::Mutex mu_;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool gone_ ABSL_GUARDED_BY(mu_) = false;
};

grpc::ServerWriteReactor<v1::ExportImageResponse>* ImagesService::ExportImage(grpc::CallbackServerContext* context,
                                                                              const v1::ExportImageRequest* request) {
  return new ExportStream(this, context, request);
}

// The reactor puts parts into a pipe, and reads the next from the network only when there is room; the engine takes them
// out on the executor's thread, which alone calls End once it runs.
class ImagesService::ImportStream final : public grpc::ServerReadReactor<v1::ImportImageRequest> {
 public:
  ImportStream(ImagesService* service, grpc::CallbackServerContext* context, v1::ImportImageResponse* response)
      : service_(service),
        response_(response),
        deadline_(DeadlineOf(*context, service->options_.longest_call)),
        pipe_(kQueuedParts) {
    const int running = ++service_->imports_;
    absl::Status status = service_->security_->CheckToken(*context);
    if (status.ok() && running > service_->options_.max_imports) status = Busy(service_->options_.max_imports, "loads");
    if (!status.ok()) {
      End(status);
      return;
    }
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!started_) {
      OnHeader(ok);
      return;
    }
    if (!ok) {
      pipe_.Finish(absl::DataLossError("the stream ended without the archive's SHA-256"));
      return;
    }
    switch (request_.part_case()) {
      case v1::ImportImageRequest::kChunk:
        pipe_.Push(std::move(*request_.mutable_chunk()));
        // Called on the engine's thread, from within its reading: it can't have finished the call.
        if (pipe_.CallWhenRoom([this] { StartRead(&request_); })) StartRead(&request_);
        return;
      case v1::ImportImageRequest::kSha256:
        announced_sha256_ = request_.sha256();
        pipe_.Finish(absl::OkStatus());
        return;
      default:
        pipe_.Finish(Invalid("the stream has a second header, or an empty message"));
        return;
    }
  }
  void OnCancel() override { pipe_.Finish(Gone()); }
  void OnDone() override { delete this; }

 private:
  // Gives its place free before the caller can know, and come again.
  void End(const absl::Status& status) {
    --service_->imports_;
    Finish(ToGrpcStatus(status));
  }

  void OnHeader(bool ok) {
    absl::Status status;
    if (!ok) {
      status = Gone();
    } else if (request_.part_case() != v1::ImportImageRequest::kHeader || request_.header().image_id().empty()) {
      status = Invalid("the stream must begin with a header that announces the image's id");
    } else {
      started_ = true;
      header_ = request_.header();
      status = service_->engine_.Add([this] { Run(); });
      if (status.ok()) {
        StartRead(&request_);
        return;
      }
    }
    End(status);
  }

  void Run() {
    Sha256 hash;
    ArchiveCheck check(header_.image_id());
    const bool was_here = service_->runtime_.InspectImage(header_.image_id(), deadline_).ok();
    absl::Status status = service_->runtime_.ImportImage(
        [&]() -> absl::StatusOr<std::string> {
          ASSIGN_OR_RETURN(std::string part, pipe_.Read(deadline_));
          if (!part.empty()) {
            hash.Update(part);
            RETURN_IF_ERROR(check.Update(part));
            service_->metrics_.AddReceived(TransferKind::kImage, part.size());
            return part;
          }
          // The engine loads at the end of the stream: without a good end, nothing is kept.
          if (hash.FinishHex() != announced_sha256_) {
            return absl::DataLossError("the archive's SHA-256 is not the announced one; send it again");
          }
          RETURN_IF_ERROR(check.Finish());
          return part;
        },
        deadline_);
    pipe_.Abandon(Gone());
    if (status.ok()) status = Inspect();
    if (status.ok() && !was_here && service_->options_.on_brought) {
      service_->options_.on_brought(response_->image_id(), header_.image());
    }
    End(status);
  }

  absl::Status Inspect() {
    const absl::StatusOr<ImageInfo> image = service_->runtime_.InspectImage(header_.image_id(), deadline_);
    if (absl::IsNotFound(image.status())) {
      return Invalid(absl::StrCat("what arrived is not the announced image ", header_.image_id()));
    }
    RETURN_IF_ERROR(image.status());
    if (!header_.image().empty()) {
      RETURN_IF_ERROR(service_->runtime_.TagImage(image->id, header_.image(), deadline_));
    }
    response_->set_image_id(image->id);
    return absl::OkStatus();
  }

  ImagesService* const service_;
  v1::ImportImageResponse* const response_;
  const absl::Time deadline_;
  v1::ImportImageRequest request_;
  v1::ImportImageRequest::Header header_;
  // Only the reactor's: its reactions come one after the other.
  bool started_ = false;
  // Written before the pipe's end, read after it.
  std::string announced_sha256_;
  BytePipe pipe_;
};

grpc::ServerReadReactor<v1::ImportImageRequest>* ImagesService::ImportImage(grpc::CallbackServerContext* context,
                                                                            v1::ImportImageResponse* response) {
  return new ImportStream(this, context, response);
}

}  // namespace thaw::agent
