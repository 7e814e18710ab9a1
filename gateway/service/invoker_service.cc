#include "gateway/service/invoker_service.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"
#include "common/text/utf8.h"
#include "gateway/errors.h"
#include "gateway/invoke/headers.h"

namespace thaw::gateway {
namespace {

constexpr char kUseStream[] = "use InvokeStream";
// How long after the end of a stream that was not marked as whole a broken connection may still be noticed: the two come
// from the same pass over the transport.
constexpr absl::Duration kBreakNewsWait = absl::Milliseconds(10);

// All of a call but its body.
absl::StatusOr<Call> CallFrom(const grpc::CallbackServerContext& context, const v1::InvokeRequest& request) {
  Call call;
  ASSIGN_OR_RETURN(call.function, MakeFunctionName(request.function().id(), request.function().path()));
  call.content_type = request.content_type();
  if (!IsHeaderValue(call.content_type)) {
    return WithReason(absl::InvalidArgumentError("content_type has control characters"), reason::kInvalidField,
                      {{"field", "content_type"}});
  }
  std::vector<Header> headers;
  headers.reserve(static_cast<std::size_t>(request.headers_size()));
  for (const auto& header : request.headers()) {
    if (!IsHeaderName(header.name()) || !IsHeaderValue(header.value())) {
      return WithReason(absl::InvalidArgumentError(absl::StrCat(
                            "header ", IsHeaderName(header.name()) ? header.name() : "with an impossible name",
                            " can't be sent: names are HTTP tokens, values have no control characters")),
                        reason::kInvalidField, {{"field", "headers"}});
    }
    headers.push_back({header.name(), header.value()});
  }
  call.headers = FunctionHeaders(std::move(headers));
  call.deadline = absl::FromChrono(context.deadline());
  const auto pin = context.client_metadata().find("thaw-node");
  if (pin != context.client_metadata().end()) call.pinned_node.assign(pin->second.data(), pin->second.size());
  call.protocol = Protocol::kGrpc;
  return call;
}

v1::StartKind ToProto(StartKind kind) {
  switch (kind) {
    case StartKind::kWarm:
      return v1::START_KIND_WARM;
    case StartKind::kRestored:
      return v1::START_KIND_RESTORED;
    case StartKind::kRestoredRemote:
      return v1::START_KIND_RESTORED_REMOTE;
    case StartKind::kCold:
      return v1::START_KIND_COLD;
    case StartKind::kNone:
      break;
  }
  return v1::START_KIND_UNSPECIFIED;
}

// All of the answer but its body.
void FillResponse(Outcome& outcome, v1::InvokeResponse& response) {
  response.set_content_type(HeaderValueAsUtf8(std::move(outcome.answer.content_type)));
  for (Header& header : ClientHeaders(std::move(outcome.answer.headers))) {
    auto* out = response.add_headers();
    out->set_name(std::move(header.name));
    out->set_value(HeaderValueAsUtf8(std::move(header.value)));
  }
  response.set_call_id(outcome.call_id);
  const Start& start = outcome.answer.start;
  auto* info = response.mutable_start();
  info->set_kind(ToProto(start.kind));
  info->set_node_id(outcome.node_id);
  info->set_instance_id(start.instance_id);
  info->set_fallback_reason(start.fallback_reason);
  auto* phases = info->mutable_phases();
  *phases->mutable_queue() = ::thaw::ToProto(start.queue);
  *phases->mutable_container() = ::thaw::ToProto(start.container);
  *phases->mutable_fetch() = ::thaw::ToProto(start.fetch);
  *phases->mutable_restore() = ::thaw::ToProto(start.restore);
  *phases->mutable_function() = ::thaw::ToProto(start.function);
  *info->mutable_total() = ::thaw::ToProto(outcome.total);
}

grpc::Status ErrorOf(grpc::CallbackServerContext& context, const Outcome& outcome) {
  if (!outcome.call_id.empty()) context.AddTrailingMetadata("fn-call-id", outcome.call_id);
  if (!outcome.node_id.empty()) context.AddTrailingMetadata("thaw-node", outcome.node_id);
  return ToGrpcStatus(outcome.status);
}

// gRPC calls neither OnCancel() nor OnDone() before Begin() has returned: the method that calls it is still running.
class InvokeReactor final : public grpc::ServerUnaryReactor {
 public:
  InvokeReactor(grpc::CallbackServerContext& context, v1::InvokeResponse& response)
      : context_(context), response_(response) {}

  void Begin(Invoker& invoker, const v1::InvokeRequest& request) {
    absl::StatusOr<Call> call = CallFrom(context_, request);
    if (call.ok() && request.body().size() > InvokerService::kMaxUnaryBytes) {
      call = BodyTooLarge(InvokerService::kMaxUnaryBytes, kUseStream);
    }
    if (!call.ok()) {
      Finish(ToGrpcStatus(call.status()));
      return;
    }
    call->body = request.body();
    call->max_answer_bytes = InvokerService::kMaxUnaryBytes;
    invocation_ = invoker.Start(std::move(*call), [this](Outcome outcome) { OnOutcome(std::move(outcome)); });
  }

  void OnCancel() override {
    if (invocation_ != nullptr) invocation_->Cancel();
  }
  void OnDone() override { delete this; }

 private:
  void OnOutcome(Outcome outcome) {
    if (!outcome.status.ok()) {
      Finish(ErrorOf(context_, outcome));
      return;
    }
    response_.set_body(std::move(outcome.answer.body));
    FillResponse(outcome, response_);
    Finish(grpc::Status::OK);
  }

  grpc::CallbackServerContext& context_;
  v1::InvokeResponse& response_;
  std::shared_ptr<Invocation> invocation_;
};

// It holds itself until OnDone(); its timer holds it weakly.
class InvokeStreamReactor final
    : public grpc::ServerBidiReactor<v1::InvokeStreamRequest, v1::InvokeStreamResponse>,
      public std::enable_shared_from_this<InvokeStreamReactor> {
 public:
  InvokeStreamReactor(grpc::CallbackServerContext& context, const InvokerService::Options& options,
                      const InvokerService::Deps& deps)
      : context_(context),
        options_(options),
        deps_(deps),
        invoker_(*deps.invoker),
        began_(deps.clock->Now()),
        reservation_(*deps.admission) {}

  void Begin() {
    self_ = shared_from_this();
    Read();
  }

  void OnReadDone(bool ok) override {
    if (!StopWaiting()) return;
    if (!ok) {
      OnHalfClose();
      return;
    }
    const absl::Status taken = Take();
    if (!taken.ok()) {
      Finish(ToGrpcStatus(taken));
      return;
    }
    Read();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) {
      Finish(ToGrpcStatus(CallerGone()));
      return;
    }
    const std::string& body = outcome_.answer.body;
    if (written_ == body.size()) {
      Finish(grpc::Status::OK);
      return;
    }
    const std::size_t size = std::min(InvokerService::kChunkBytes, body.size() - written_);
    response_.set_chunk(body.data() + written_, size);
    written_ += size;
    StartWrite(&response_);
  }

  void OnCancel() override {
    std::shared_ptr<Invocation> invocation;
    {
      absl::MutexLock lock(&mu_);
      cancelled_ = true;
      invocation = invocation_;
    }
    if (invocation != nullptr) invocation->Cancel();
  }

  void OnDone() override {
    const auto self = std::move(self_);
    absl::MutexLock lock(&mu_);
    waiting_ = Waiting::kNothing;
    if (timer_ != 0) deps_.timers->Cancel(timer_);
  }

 private:
  // What the client has to do before limit_.
  enum class Waiting { kNothing, kSend, kReadAnswer, kNewsOfABreak };

  // The longest time in which so many bytes may be on their way, but for a pause.
  absl::Duration Pace(std::size_t bytes) const {
    return absl::Seconds(static_cast<double>(bytes) / static_cast<double>(options_.min_bytes_per_second));
  }

  // The next message, with a limit: a long silence, or a pace below the least one, ends the call.
  void Read() {
    const std::size_t received = call_.has_value() ? call_->body.size() : 0;
    Wait(Waiting::kSend, std::min(deps_.clock->Now() + options_.read_limit,
                                  began_ + 2 * options_.read_limit + Pace(received)));
    StartRead(&request_);
  }

  void Wait(Waiting what, absl::Time limit) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    waiting_ = what;
    limit_ = limit;
    // One timer for the whole stream: limits only move on, and a timer that comes too early sets itself anew.
    if (timer_ == 0) SetTimer();
  }

  void SetTimer() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    timer_ = deps_.timers->RunAfter(limit_ - deps_.clock->Now(), [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->OnTimer();
    });
  }

  // False when the time was up before.
  bool StopWaiting() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (waiting_ != Waiting::kSend) return false;
    waiting_ = Waiting::kNothing;
    return true;
  }

  void OnTimer() ABSL_LOCKS_EXCLUDED(mu_) {
    bool news_of_a_break = false;
    bool gone = false;
    {
      absl::MutexLock lock(&mu_);
      timer_ = 0;
      if (waiting_ == Waiting::kNothing) return;
      if (deps_.clock->Now() < limit_) {
        SetTimer();
        return;
      }
      const Waiting waited = std::exchange(waiting_, Waiting::kNothing);
      if (waited == Waiting::kNewsOfABreak) {
        news_of_a_break = true;
        gone = cancelled_;
      } else if (waited == Waiting::kReadAnswer) {
        // A status would have to wait behind the parts that are not read. Under the lock: the context goes after
        // OnDone(), which takes it.
        context_.TryCancel();
        return;
      }
    }
    if (news_of_a_break) {
      if (gone) {
        Finish(ToGrpcStatus(CallerGone()));
      } else {
        StartInvocation();
      }
      return;
    }
    // OnReadDone() stays away from now on, so no other thread touches what was received. It goes at once: a client
    // that does not take its status either must not hold it.
    const std::size_t received = call_.has_value() ? call_->body.size() : 0;
    call_.reset();
    reservation_.Reset();
    Finish(ToGrpcStatus(RequestTooSlow(received, options_.read_limit, options_.min_bytes_per_second)));
  }

  absl::Status Take() {
    std::string* part = nullptr;
    if (whole_) {
      return WithReason(absl::InvalidArgumentError("a message came after the one with `last`"), reason::kInvalidField,
                        {{"field", "last"}});
    }
    whole_ = request_.last();
    if (!call_.has_value()) {
      if (!request_.has_start()) {
        return WithReason(absl::InvalidArgumentError("the stream's first message must carry `start`"),
                          reason::kInvalidField, {{"field", "start"}});
      }
      ASSIGN_OR_RETURN(call_, CallFrom(context_, request_.start()));
      part = request_.mutable_start()->mutable_body();
    } else {
      if (!request_.has_chunk()) {
        return WithReason(absl::InvalidArgumentError("only the stream's first message carries `start`"),
                          reason::kInvalidField, {{"field", "start"}});
      }
      part = request_.mutable_chunk();
    }
    const std::size_t size = call_->body.size() + part->size();
    if (size > invoker_.options().max_body_bytes) {
      return BodyTooLarge(invoker_.options().max_body_bytes, "the operator sets the limit with --max-body-bytes");
    }
    RETURN_IF_ERROR(reservation_.GrowTo(size));
    if (call_->body.empty()) {
      call_->body = std::move(*part);
    } else {
      call_->body.append(*part);
    }
    return absl::OkStatus();
  }

  void OnHalfClose() {
    if (context_.IsCancelled()) {
      Finish(ToGrpcStatus(CallerGone()));
      return;
    }
    if (!call_.has_value()) {
      Finish(ToGrpcStatus(WithReason(absl::InvalidArgumentError("the stream ended before its first message"),
                                     reason::kInvalidField, {{"field", "start"}})));
      return;
    }
    if (whole_) {
      StartInvocation();
      return;
    }
    // A client of before `last`, or one that died in the middle of its body: then OnCancel() is on its way.
    absl::MutexLock lock(&mu_);
    waiting_ = Waiting::kNewsOfABreak;
    limit_ = deps_.clock->Now() + kBreakNewsWait;
    // Sooner than what the timer was set for.
    if (timer_ != 0) deps_.timers->Cancel(timer_);
    SetTimer();
  }

  void StartInvocation() {
    // The call counts its body itself from here on.
    reservation_.Reset();
    call_->max_answer_bytes = invoker_.options().max_body_bytes;
    // gRPC keeps the reactor until Finish() and the callbacks are over: self_.
    const auto self = shared_from_this();
    auto invocation =
        invoker_.Start(std::move(*call_), [this](Outcome outcome) { OnOutcome(std::move(outcome)); });
    bool cancelled;
    {
      absl::MutexLock lock(&mu_);
      invocation_ = invocation;
      cancelled = cancelled_;
    }
    if (cancelled && invocation != nullptr) invocation->Cancel();
  }

  void OnOutcome(Outcome outcome) {
    if (!outcome.status.ok()) {
      Finish(ErrorOf(context_, outcome));
      return;
    }
    outcome_ = std::move(outcome);
    FillResponse(outcome_, *response_.mutable_start());
    Wait(Waiting::kReadAnswer,
         deps_.clock->Now() + 2 * options_.read_limit + Pace(outcome_.answer.body.size()));
    StartWrite(&response_);
  }

  grpc::CallbackServerContext& context_;
  const InvokerService::Options& options_;
  const InvokerService::Deps& deps_;
  Invoker& invoker_;
  const absl::Time began_;
  std::shared_ptr<InvokeStreamReactor> self_;
  BodyReservation reservation_;
  v1::InvokeStreamRequest request_;
  v1::InvokeStreamResponse response_;
  std::optional<Call> call_;
  // The message with `last` was there: the body is whole, whatever becomes of the connection.
  bool whole_ = false;
  Outcome outcome_;
  std::size_t written_ = 0;

  absl::Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  std::shared_ptr<Invocation> invocation_ ABSL_GUARDED_BY(mu_);
  Waiting waiting_ ABSL_GUARDED_BY(mu_) = Waiting::kNothing;
  absl::Time limit_ ABSL_GUARDED_BY(mu_);
  Timers::Id timer_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace

grpc::ServerUnaryReactor* InvokerService::Invoke(grpc::CallbackServerContext* context,
                                                 const v1::InvokeRequest* request, v1::InvokeResponse* response) {
  auto* reactor = new InvokeReactor(*context, *response);
  reactor->Begin(*deps_.invoker, *request);
  return reactor;
}

grpc::ServerBidiReactor<v1::InvokeStreamRequest, v1::InvokeStreamResponse>* InvokerService::InvokeStream(
    grpc::CallbackServerContext* context) {
  auto reactor = std::make_shared<InvokeStreamReactor>(*context, options_, deps_);
  reactor->Begin();
  return reactor.get();
}

}  // namespace thaw::gateway
