#include "gateway/service/push_image.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/crypto/sha256.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "gateway/errors.h"
#include "gateway/service/child_call.h"
#include "gateway/service/cluster_nodes.h"
#include "thaw/agent/v1/agent.grpc.pb.h"

namespace thaw::gateway {
namespace {

absl::Status BadPush(absl::string_view message, absl::string_view field) {
  return WithReason(absl::InvalidArgumentError(message), reason::kInvalidField, {{"field", std::string(field)}});
}

// One upload: the inbound stream and the outbound one in lock step, so that at most one operation is under way on
// either side and no lock is needed. Each side holds the object until gRPC is done with it.
class Push final : public std::enable_shared_from_this<Push> {
 public:
  class Inbound final : public grpc::ServerReadReactor<v1::PushImageRequest> {
   public:
    explicit Inbound(std::shared_ptr<Push> push) : push_(std::move(push)) {}
    void OnReadDone(bool ok) override { push_->OnRead(ok); }
    void OnCancel() override { push_->OnCancel(); }
    void OnDone() override {
      // May be the last owner of what holds this very object.
      auto push = std::move(push_);
      push->OnInboundEnd();
    }

   private:
    std::shared_ptr<Push> push_;
  };

  class Outbound final : public grpc::ClientWriteReactor<agent::v1::ImportImageRequest> {
   public:
    explicit Outbound(std::shared_ptr<Push> push) : push_(std::move(push)) {}
    void OnWriteDone(bool ok) override { push_->OnWritten(ok); }
    void OnDone(const grpc::Status& status) override {
      auto push = std::move(push_);
      push->OnImported(status);
    }

   private:
    std::shared_ptr<Push> push_;
  };

  Push(grpc::CallbackServerContext& context, v1::PushImageResponse& response, PushImageDeps deps)
      : context_(context), response_(response), deps_(std::move(deps)) {}

  grpc::ServerReadReactor<v1::PushImageRequest>* Begin() {
    inbound_ = std::make_unique<Inbound>(shared_from_this());
    // A client that stalls must not hold the upload for ever.
    deps_.timers->RunAfter(deps_.deadline - absl::Now(), [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->OnTimeUp();
    });
    inbound_->StartRead(&message_);
    return inbound_.get();
  }

 private:
  void Fail(const absl::Status& status) { Finish(status); }

  void Finish(const absl::Status& status) {
    if (std::exchange(finished_, true)) return;
    inbound_->Finish(ToGrpcStatus(status));
  }

  void OnCancel() { outbound_context_.TryCancel(); }

  void OnInboundEnd() {
    absl::MutexLock lock(&mu_);
    inbound_ended_ = true;
  }

  void OnTimeUp() {
    absl::MutexLock lock(&mu_);
    if (!inbound_ended_) context_.TryCancel();
  }

  void OnRead(bool ok) {
    if (!ok) {
      OnClientEnd();
      return;
    }
    if (outbound_ == nullptr) {
      OnHeader();
      return;
    }
    if (!message_.has_chunk()) {
      Abandon(BadPush("only the stream's first message carries the header", "header"));
      return;
    }
    received_ += message_.chunk().size();
    if (header_.size_bytes() != 0 && received_ > header_.size_bytes()) {
      Abandon(BadPush(absl::StrCat("the archive of ", header_.image(), " is larger than the announced ",
                                   header_.size_bytes(), " bytes"),
                      "size_bytes"));
      return;
    }
    hash_.Update(message_.chunk());
    part_.set_allocated_chunk(message_.release_chunk());
    outbound_->StartWrite(&part_);
  }

  void OnHeader() {
    if (!message_.has_header()) {
      Fail(BadPush("the stream's first message must carry the header", "header"));
      return;
    }
    header_ = message_.header();
    if (header_.image().empty() || !absl::StartsWith(header_.image_id(), "sha256:")) {
      Fail(BadPush("the header needs the image's name and its id (`sha256:…`)", "header"));
      return;
    }
    ListReachableNodes(*deps_.catalogue, ChildContext(context_, deps_.channels->security(), deps_.deadline),
                       [self = shared_from_this()](absl::StatusOr<std::vector<ClusterNode>> nodes) {
                         if (!nodes.ok()) {
                           self->Fail(nodes.status());
                         } else {
                           self->Connect(*nodes);
                         }
                       });
  }

  void Connect(const std::vector<ClusterNode>& nodes) {
    const ClusterNode* best = nullptr;
    std::int64_t best_free = 0;
    for (const ClusterNode& node : nodes) {
      if (node.state() != ::thaw::common::v1::NODE_STATE_READY) continue;
      const auto free = static_cast<std::int64_t>(node.memory_total_bytes()) -
                        static_cast<std::int64_t>(node.memory_reserved_bytes());
      if (best == nullptr || free > best_free) {
        best = &node;
        best_free = free;
      }
    }
    if (best == nullptr) {
      Fail(WithRetryAfter(WithReason(absl::UnavailableError(absl::StrCat("no node is ready to take the image ",
                                                                         header_.image(), "; see `thaw nodes`")),
                                     reason::kNoNodeReady),
                          absl::Seconds(1)));
      return;
    }
    node_id_ = best->id();
    stub_ = agent::v1::Images::NewStub(deps_.channels->Get(best->address()));
    PrepareCall(outbound_context_, deps_.channels->security(), deps_.deadline);
    outbound_ = std::make_unique<Outbound>(shared_from_this());
    stub_->async()->ImportImage(&outbound_context_, &imported_, outbound_.get());
    part_.mutable_header()->set_image(header_.image());
    part_.mutable_header()->set_image_id(header_.image_id());
    // Writes come from the inbound side's reactions: the hold keeps OnDone() away until they have ended.
    outbound_->AddHold();
    held_ = true;
    outbound_->StartWrite(&part_);
    outbound_->StartCall();
  }

  void OnWritten(bool ok) {
    if (!ok || last_) {
      Unhold();
      return;
    }
    inbound_->StartRead(&message_);
  }

  // The client half-closed, or is gone.
  void OnClientEnd() {
    if (outbound_ == nullptr) {
      Fail(context_.IsCancelled() ? CallerGone() : BadPush("the stream ended before its header", "header"));
      return;
    }
    if (context_.IsCancelled()) {
      Abandon(CallerGone());
      return;
    }
    if (header_.size_bytes() != 0 && received_ != header_.size_bytes()) {
      Abandon(BadPush(absl::StrCat("the archive of ", header_.image(), " ended after ", received_, " of ",
                                   header_.size_bytes(), " bytes"),
                      "size_bytes"));
      return;
    }
    last_ = true;
    part_.set_sha256(hash_.FinishHex());
    outbound_->StartWriteLast(&part_, grpc::WriteOptions());
  }

  // Ends the outbound stream, so that the agent keeps nothing; OnImported() then finishes with `status`.
  void Abandon(absl::Status status) {
    failure_ = std::move(status);
    outbound_context_.TryCancel();
    Unhold();
  }

  void Unhold() {
    if (!std::exchange(held_, false)) return;
    outbound_->RemoveHold();
  }

  void OnImported(const grpc::Status& status) {
    absl::Status result = failure_;
    if (result.ok()) result = FromGrpcStatus(status);
    if (result.ok()) {
      response_.set_node_id(node_id_);
      response_.set_image_id(imported_.image_id());
    } else if (failure_.ok() && ReasonOf(result).empty()) {
      result = absl::IsCancelled(result)
                   ? CallerGone()
                   : WithRetryAfter(
                         WithReason(absl::Status(absl::IsUnavailable(result) || absl::IsDeadlineExceeded(result)
                                                     ? result.code()
                                                     : absl::StatusCode::kInternal,
                                                 absl::StrCat("node ", node_id_, " did not take the image ",
                                                              header_.image(), ": ", result.message(), "; push it again")),
                                    absl::IsUnavailable(result) ? reason::kNoNodeReady : reason::kInternal),
                         absl::Seconds(1));
    }
    if (!result.ok()) {
      deps_.log->warn("event=image_push_failed image={} node={} error=\"{}\"", header_.image(), node_id_,
                      std::string(result.message()));
    }
    Finish(result);
  }

  grpc::CallbackServerContext& context_;
  v1::PushImageResponse& response_;
  const PushImageDeps deps_;
  std::unique_ptr<Inbound> inbound_;
  std::unique_ptr<Outbound> outbound_;
  bool finished_ = false;

  v1::PushImageRequest message_;
  v1::PushImageRequest::Header header_;
  std::uint64_t received_ = 0;
  Sha256 hash_;
  bool last_ = false;
  absl::Status failure_;

  std::string node_id_;
  std::unique_ptr<agent::v1::Images::Stub> stub_;
  grpc::ClientContext outbound_context_;
  agent::v1::ImportImageRequest part_;
  agent::v1::ImportImageResponse imported_;
  bool held_ = false;

  absl::Mutex mu_;
  // The inbound context is gone then.
  bool inbound_ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace

grpc::ServerReadReactor<v1::PushImageRequest>* StartPushImage(grpc::CallbackServerContext& context,
                                                              v1::PushImageResponse& response, PushImageDeps deps) {
  return std::make_shared<Push>(context, response, std::move(deps))->Begin();
}

}  // namespace thaw::gateway
