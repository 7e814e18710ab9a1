#include "gateway/service/grpc_agent_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "gateway/errors.h"
#include "gateway/service/calls_under_way.h"
#include "gateway/service/connection_watch.h"
#include "thaw/agent/v1/agent.grpc.pb.h"

namespace thaw::gateway {
namespace {

namespace pb = ::thaw::agent::v1;

void FillRequest(const AgentRequest& request, bool with_body, pb::InvokeRequest& proto) {
  proto.set_version_id(request.lease.version_id);
  proto.set_lease_id(request.lease.id);
  proto.set_call_id(request.call_id);
  proto.set_content_type(request.call->content_type);
  proto.mutable_headers()->Reserve(static_cast<int>(request.call->headers.size()));
  for (const Header& header : request.call->headers) {
    auto* out = proto.add_headers();
    out->set_name(header.name);
    out->set_value(header.value);
  }
  if (with_body) proto.set_body(request.call->body);
}

StartKind FromProto(pb::Start::Kind kind) {
  switch (kind) {
    case pb::Start::KIND_WARM:
      return StartKind::kWarm;
    case pb::Start::KIND_RESTORED:
      return StartKind::kRestored;
    case pb::Start::KIND_RESTORED_REMOTE:
      return StartKind::kRestoredRemote;
    case pb::Start::KIND_COLD:
      return StartKind::kCold;
    default:
      return StartKind::kNone;
  }
}

// Takes what is in `proto`.
AgentAnswer TakeAnswer(pb::InvokeResponse& proto) {
  AgentAnswer answer;
  answer.status = static_cast<int>(proto.status());
  answer.content_type = std::move(*proto.mutable_content_type());
  answer.headers.reserve(static_cast<std::size_t>(proto.headers_size()));
  for (auto& header : *proto.mutable_headers()) {
    answer.headers.push_back({std::move(*header.mutable_name()), std::move(*header.mutable_value())});
  }
  answer.body = std::move(*proto.mutable_body());
  const pb::Start& start = proto.start();
  answer.start.kind = FromProto(start.kind());
  answer.start.instance_id = start.instance_id();
  answer.start.fallback_reason = start.fallback_reason();
  answer.start.queue = ::thaw::FromProto(start.queue());
  answer.start.container = ::thaw::FromProto(start.container());
  answer.start.fetch = ::thaw::FromProto(start.fetch());
  answer.start.restore = ::thaw::FromProto(start.restore());
  answer.start.function = ::thaw::FromProto(start.function());
  return answer;
}

// See the class comment. `grpc_status` is not OK.
Delivery DeliveryOf(const grpc::ClientContext& context, const grpc::Status& grpc_status, const absl::Status& status) {
  if (!ReasonOf(status).empty()) return Delivery::kAnswered;
  if (grpc_status.error_code() == grpc::StatusCode::UNAVAILABLE &&
      absl::StartsWith(grpc_status.error_message(), "failed to connect to all addresses") &&
      // What a connection brought says so; the channel's own word has no such note.
      !absl::StrContains(context.debug_error_string(), "received from peer")) {
    return Delivery::kNotSent;
  }
  return Delivery::kMaybeSent;
}

struct Peer {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<pb::Functions::Stub> stub;
};

}  // namespace

struct GrpcAgentClient::State {
  State(const Options& client_options, ChannelPool& pool) : options(client_options), channels(pool) {}

  std::shared_ptr<Peer> Get(const std::string& address) ABSL_LOCKS_EXCLUDED(mu) {
    absl::MutexLock lock(&mu);
    auto& peer = peers[address];
    if (peer == nullptr) {
      peer = std::make_shared<Peer>();
      peer->channel = channels.Get(address);
      peer->stub = pb::Functions::NewStub(peer->channel);
    }
    return peer;
  }

  const Options options;
  ChannelPool& channels;
  CallsUnderWay calls;
  absl::Mutex mu;
  absl::flat_hash_map<std::string, std::shared_ptr<Peer>> peers ABSL_GUARDED_BY(mu);
  // Last: its destruction runs callbacks that use the rest.
  ConnectionWatch watch;
};

namespace {

// What unary and streamed calls have in common: a connection first, then the RPC, then one end.
template <typename State>
class CallBase : public AgentCall {
 public:
  CallBase(State& state, AgentRequest request, absl::AnyInvocable<void(AgentResult)> done)
      : state_(state),
        request_(std::move(request)),
        peer_(state_.Get(request_.lease.node_address)),
        done_(std::move(done)) {}

  // `self` is this.
  void Begin(const std::shared_ptr<CallBase>& self) {
    PrepareCall(context_, state_.channels.security(), request_.deadline);
    if (!state_.calls.Enter(&context_)) {
      if (Move(Stage::kConnecting, Stage::kEnded)) Deliver(NotSent(Stopping()));
      return;
    }
    // A warm call finds the connection there.
    if (ConnectionWatch::Ready(*peer_->channel)) {
      OnConnected(absl::OkStatus());
      return;
    }
    state_.watch.Await(peer_->channel, std::min(request_.deadline, absl::Now() + state_.options.connect_limit),
                       [self](const absl::Status& status) { self->OnConnected(status); });
  }

  void Cancel() override {
    // Who ends the connecting stage decides: either the RPC never starts, or this cancels it, at its start if need
    // be.
    if (Move(Stage::kConnecting, Stage::kEnded)) {
      Deliver(NotSent(absl::CancelledError("cancelled before it was sent")));
    } else {
      context_.TryCancel();
    }
  }

 protected:
  // Starts the RPC. When gRPC is done with it, it ends with Finish().
  virtual void StartRpc() = 0;

  static AgentResult NotSent(absl::Status status) {
    AgentResult result;
    result.status = std::move(status);
    result.delivery = Delivery::kNotSent;
    return result;
  }

  AgentResult Failure(const grpc::Status& grpc_status) {
    AgentResult result;
    result.status = FromGrpcStatus(grpc_status);
    result.delivery = DeliveryOf(context_, grpc_status, result.status);
    return result;
  }

  void Finish(AgentResult result) {
    if (Move(Stage::kStarted, Stage::kEnded)) Deliver(std::move(result));
  }

  // Outlives the calls.
  State& state_;
  // Its call is gone once the result was given.
  AgentRequest request_;
  const std::shared_ptr<Peer> peer_;
  grpc::ClientContext context_;

 private:
  // kConnecting -> kStarted -> kEnded, or kConnecting -> kEnded: never sent.
  enum class Stage { kConnecting, kStarted, kEnded };

  // False when it is not in `from`: another thread was first.
  bool Move(Stage from, Stage to) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (stage_ != from) return false;
    stage_ = to;
    return true;
  }

  // By who moved it to kEnded: no RPC runs now, and none will.
  void Deliver(AgentResult result) {
    // The body goes with the result: this object may live on in a callback, beyond what counts the bytes.
    request_.call.reset();
    auto done = std::move(done_);
    done(std::move(result));
    // After the callback: who waits in CallsUnderWay::Stop() may then destroy what it used, and state_.
    state_.calls.Leave(&context_);
  }

  void OnConnected(const absl::Status& status) {
    if (!Move(Stage::kConnecting, status.ok() ? Stage::kStarted : Stage::kEnded)) return;
    if (status.ok()) {
      StartRpc();
    } else if (absl::Now() >= request_.deadline) {
      Deliver(NotSent(absl::DeadlineExceededError("no connection before the call's deadline")));
    } else if (absl::IsDeadlineExceeded(status)) {
      Deliver(NotSent(absl::UnavailableError(
          absl::StrCat("no connection within ", absl::FormatDuration(state_.options.connect_limit)))));
    } else {
      Deliver(NotSent(status));
    }
  }

  absl::Mutex mu_;
  Stage stage_ ABSL_GUARDED_BY(mu_) = Stage::kConnecting;
  // Taken by Deliver().
  absl::AnyInvocable<void(AgentResult)> done_;
};

template <typename State>
class UnaryCall final : public CallBase<State>, public std::enable_shared_from_this<UnaryCall<State>> {
 public:
  using CallBase<State>::CallBase;

 private:
  void StartRpc() override {
    FillRequest(this->request_, /*with_body=*/true, proto_request_);
    this->peer_->stub->async()->Invoke(&this->context_, &proto_request_, &response_,
                                       [self = this->shared_from_this()](grpc::Status status) { self->OnDone(status); });
  }

  void OnDone(const grpc::Status& status) {
    if (!status.ok()) {
      this->Finish(this->Failure(status));
      return;
    }
    AgentResult result;
    result.answer = TakeAnswer(response_);
    this->Finish(std::move(result));
  }

  pb::InvokeRequest proto_request_;
  pb::InvokeResponse response_;
};

// Holds itself from the RPC's start to OnDone().
template <typename State>
class StreamCall final : public CallBase<State>,
                         public grpc::ClientBidiReactor<pb::InvokeStreamRequest, pb::InvokeStreamResponse>,
                         public std::enable_shared_from_this<StreamCall<State>> {
 public:
  using CallBase<State>::CallBase;

  void OnWriteDone(bool ok) override {
    // The agent may answer, or fail, before it has read all.
    if (ok) Write();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (response_.has_start() && !answer_.has_value()) {
      answer_ = TakeAnswer(*response_.mutable_start());
    } else if (response_.has_chunk() && answer_.has_value()) {
      answer_->body.append(response_.chunk());
    } else {
      malformed_ = true;
    }
    if (malformed_ || TooLarge()) {
      this->context_.TryCancel();
      return;
    }
    StartRead(&response_);
  }

  void OnDone(const grpc::Status& status) override {
    const auto self = std::move(self_);
    AgentResult result;
    if (malformed_) {
      result.status = absl::InternalError("the agent's stream is out of order");
      result.delivery = Delivery::kMaybeSent;
    } else if (TooLarge()) {
      result.status = AnswerTooLarge(this->request_.call->function.text(), this->state_.options.max_answer_bytes,
                                     "the operator sets the limit with --max-body-bytes");
    } else if (!status.ok()) {
      result = this->Failure(status);
    } else if (!answer_.has_value()) {
      result.status = absl::InternalError("the agent ended the stream without an answer");
      result.delivery = Delivery::kMaybeSent;
    } else {
      result.answer = std::move(*answer_);
    }
    this->Finish(std::move(result));
  }

 private:
  void StartRpc() override {
    self_ = this->shared_from_this();
    FillRequest(this->request_, /*with_body=*/false, *part_.mutable_start());
    this->peer_->stub->async()->InvokeStream(&this->context_, this);
    StartRead(&response_);
    Write();
    StartCall();
  }

  // The next part, if there is one.
  void Write() {
    if (finished_writing_) return;
    const std::string& body = this->request_.call->body;
    if (started_writing_) {
      const std::size_t size = std::min(this->state_.options.chunk_bytes, body.size() - written_);
      part_.set_chunk(body.data() + written_, size);
      written_ += size;
    }
    started_writing_ = true;
    if (written_ == body.size()) {
      finished_writing_ = true;
      part_.set_last(true);
      StartWriteLast(&part_, grpc::WriteOptions());
    } else {
      StartWrite(&part_);
    }
  }

  bool TooLarge() const {
    return answer_.has_value() && answer_->body.size() > this->state_.options.max_answer_bytes;
  }

  pb::InvokeStreamRequest part_;
  pb::InvokeStreamResponse response_;
  bool started_writing_ = false;
  bool finished_writing_ = false;
  std::size_t written_ = 0;
  bool malformed_ = false;
  std::optional<AgentAnswer> answer_;
  std::shared_ptr<StreamCall> self_;
};

}  // namespace

GrpcAgentClient::GrpcAgentClient(const Options& options, ChannelPool& channels)
    : state_(std::make_unique<State>(options, channels)) {}

GrpcAgentClient::~GrpcAgentClient() {
  state_->calls.Stop([](grpc::ClientContext* context) { context->TryCancel(); });
}

std::shared_ptr<AgentCall> GrpcAgentClient::Invoke(AgentRequest request, absl::AnyInvocable<void(AgentResult)> done) {
  std::shared_ptr<CallBase<State>> call;
  if (request.stream) {
    call = std::make_shared<StreamCall<State>>(*state_, std::move(request), std::move(done));
  } else {
    call = std::make_shared<UnaryCall<State>>(*state_, std::move(request), std::move(done));
  }
  call->Begin(call);
  return call;
}

}  // namespace thaw::gateway
