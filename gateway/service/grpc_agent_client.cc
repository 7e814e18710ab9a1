#include "gateway/service/grpc_agent_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "gateway/errors.h"
#include "gateway/service/calls_under_way.h"
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

bool ReachedConnection(const grpc::ClientContext& context) {
  const std::string peer = context.peer();
  return absl::StartsWith(peer, "ipv4:") || absl::StartsWith(peer, "ipv6:") || absl::StartsWith(peer, "unix");
}

// See the class comment. `status` is not OK.
Delivery DeliveryOf(const grpc::ClientContext& context, const grpc::Status& grpc_status, const absl::Status& status) {
  if (!ReasonOf(status).empty()) return Delivery::kAnswered;
  if (!ReachedConnection(context)) return Delivery::kNotSent;
  if (grpc_status.error_code() == grpc::StatusCode::UNAVAILABLE &&
      absl::StartsWith(grpc_status.error_message(), "failed to connect to all addresses") &&
      !absl::StrContains(context.debug_error_string(), "received from peer")) {
    return Delivery::kNotSent;
  }
  return Delivery::kMaybeSent;
}

}  // namespace

struct GrpcAgentClient::State {
  struct Peer {
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<pb::Functions::Stub> stub;
  };

  State(const Options& client_options, ChannelPool& pool, Timers& client_timers)
      : options(client_options), channels(pool), timers(client_timers) {}

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
  Timers& timers;
  CallsUnderWay calls;
  absl::Mutex mu;
  absl::flat_hash_map<std::string, std::shared_ptr<Peer>> peers ABSL_GUARDED_BY(mu);
};

namespace {

// What unary and streamed calls have in common.
class CallBase : public AgentCall {
 public:
  void Cancel() override { context_.TryCancel(); }

 protected:
  // Gives the call up if it has no connection within `limit`. Only where the channel is not connected: a warm call
  // sets no timer.
  void LimitConnecting(const std::shared_ptr<CallBase>& self, grpc::Channel& channel, Timers& timers,
                       absl::Duration limit) {
    if (channel.GetState(false) == GRPC_CHANNEL_READY) return;
    timers.RunAfter(limit, [weak = std::weak_ptr<CallBase>(self), limit] {
      auto call = weak.lock();
      if (call == nullptr || call->ended_.load() || ReachedConnection(call->context_)) return;
      call->connect_limit_ = limit;
      call->connect_given_up_.store(true);
      call->context_.TryCancel();
    });
  }

  AgentResult Failure(const grpc::Status& grpc_status) {
    AgentResult result;
    result.status = FromGrpcStatus(grpc_status);
    result.delivery = DeliveryOf(context_, grpc_status, result.status);
    if (result.delivery == Delivery::kNotSent && connect_given_up_.load() && absl::IsCancelled(result.status)) {
      result.status = absl::UnavailableError(
          absl::StrCat("no connection within ", absl::FormatDuration(connect_limit_)));
    }
    return result;
  }

  grpc::ClientContext context_;
  std::atomic<bool> ended_{false};

 private:
  absl::Duration connect_limit_;
  std::atomic<bool> connect_given_up_{false};
};

AgentResult NotStarted() {
  AgentResult result;
  result.status = Stopping();
  result.delivery = Delivery::kAnswered;
  return result;
}

}  // namespace

class GrpcAgentClient::Unary final : public CallBase, public std::enable_shared_from_this<Unary> {
 public:
  Unary(std::shared_ptr<State> state, absl::AnyInvocable<void(AgentResult)> done)
      : state_(std::move(state)), done_(std::move(done)) {}

  void Begin(const AgentRequest& request) {
    const auto peer = state_->Get(request.lease.node_address);
    FillRequest(request, /*with_body=*/true, request_);
    PrepareCall(context_, state_->channels.security(), request.deadline);
    if (!state_->calls.Enter(&context_)) {
      done_(NotStarted());
      return;
    }
    peer->stub->async()->Invoke(&context_, &request_, &response_,
                                [self = shared_from_this()](grpc::Status status) { self->OnDone(status); });
    LimitConnecting(shared_from_this(), *peer->channel, state_->timers, state_->options.connect_limit);
  }

 private:
  void OnDone(const grpc::Status& status) {
    ended_ = true;
    AgentResult result;
    if (status.ok()) {
      result.answer = TakeAnswer(response_);
    } else {
      result = Failure(status);
    }
    // A Stop() that waits must not return before the callback has.
    auto done = std::move(done_);
    done(std::move(result));
    state_->calls.Leave(&context_);
  }

  const std::shared_ptr<State> state_;
  absl::AnyInvocable<void(AgentResult)> done_;
  pb::InvokeRequest request_;
  pb::InvokeResponse response_;
};

// Holds itself from StartCall() to OnDone().
class GrpcAgentClient::Stream final : public CallBase,
                                      public grpc::ClientBidiReactor<pb::InvokeStreamRequest, pb::InvokeStreamResponse>,
                                      public std::enable_shared_from_this<Stream> {
 public:
  Stream(std::shared_ptr<State> state, AgentRequest request, absl::AnyInvocable<void(AgentResult)> done)
      : state_(std::move(state)), agent_request_(std::move(request)), done_(std::move(done)) {}

  void Begin() {
    const auto peer = state_->Get(agent_request_.lease.node_address);
    PrepareCall(context_, state_->channels.security(), agent_request_.deadline);
    if (!state_->calls.Enter(&context_)) {
      done_(NotStarted());
      return;
    }
    self_ = shared_from_this();
    FillRequest(agent_request_, /*with_body=*/false, *request_.mutable_start());
    peer->stub->async()->InvokeStream(&context_, this);
    StartRead(&response_);
    Write();
    StartCall();
    LimitConnecting(self_, *peer->channel, state_->timers, state_->options.connect_limit);
  }

  void OnWriteDone(bool ok) override {
    // The agent may answer, or fail, before it has read all.
    if (!ok) return;
    Write();
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
    if (malformed_ || answer_->body.size() > state_->options.max_answer_bytes) {
      context_.TryCancel();
      return;
    }
    StartRead(&response_);
  }

  void OnDone(const grpc::Status& status) override {
    ended_ = true;
    AgentResult result;
    if (malformed_) {
      result.status = absl::InternalError("the agent's stream is out of order");
      result.delivery = Delivery::kMaybeSent;
    } else if (answer_.has_value() && answer_->body.size() > state_->options.max_answer_bytes) {
      result.status = AnswerTooLarge(agent_request_.call->function.text(), state_->options.max_answer_bytes,
                                     "the operator sets the limit with --max-body-bytes");
    } else if (!status.ok()) {
      result = Failure(status);
      // An answer that began is proof that the call arrived, whatever ended it.
      if (answer_.has_value() && result.delivery == Delivery::kNotSent) result.delivery = Delivery::kMaybeSent;
    } else if (!answer_.has_value()) {
      result.status = absl::InternalError("the agent ended the stream without an answer");
      result.delivery = Delivery::kMaybeSent;
    } else {
      result.answer = std::move(*answer_);
    }
    auto self = std::move(self_);
    auto done = std::move(done_);
    done(std::move(result));
    state_->calls.Leave(&context_);
  }

 private:
  // The next part, if there is one.
  void Write() {
    if (finished_writing_) return;
    const std::string& body = agent_request_.call->body;
    if (started_) {
      const std::size_t size = std::min(state_->options.chunk_bytes, body.size() - written_);
      request_.set_chunk(body.data() + written_, size);
      written_ += size;
    }
    started_ = true;
    if (written_ == body.size()) {
      finished_writing_ = true;
      StartWriteLast(&request_, grpc::WriteOptions());
    } else {
      StartWrite(&request_);
    }
  }

  const std::shared_ptr<State> state_;
  const AgentRequest agent_request_;
  absl::AnyInvocable<void(AgentResult)> done_;
  pb::InvokeStreamRequest request_;
  pb::InvokeStreamResponse response_;
  bool started_ = false;
  bool finished_writing_ = false;
  std::size_t written_ = 0;
  bool malformed_ = false;
  std::optional<AgentAnswer> answer_;
  std::shared_ptr<Stream> self_;
};

GrpcAgentClient::GrpcAgentClient(const Options& options, ChannelPool& channels, Timers& timers)
    : state_(std::make_shared<State>(options, channels, timers)) {}

GrpcAgentClient::~GrpcAgentClient() {
  state_->calls.Stop([](grpc::ClientContext* context) { context->TryCancel(); });
}

std::shared_ptr<AgentCall> GrpcAgentClient::Invoke(AgentRequest request, absl::AnyInvocable<void(AgentResult)> done) {
  if (request.stream) {
    auto call = std::make_shared<Stream>(state_, std::move(request), std::move(done));
    call->Begin();
    return call;
  }
  auto call = std::make_shared<Unary>(state_, std::move(done));
  call->Begin(request);
  return call;
}

}  // namespace thaw::gateway
