#include "agent/node/scheduler_link.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <utility>

#include "common/rpc/readable_strings.h"
#include "common/rpc/status.h"
#include "thaw/scheduler/v1/scheduler.grpc.pb.h"

namespace thaw::agent {

using thaw::scheduler::v1::NodeMessage;
using thaw::scheduler::v1::SchedulerMessage;

// One stream's life: started, written to one message at a time, done. It keeps itself alive until OnDone.
class SchedulerLink::Stream final : public grpc::ClientBidiReactor<NodeMessage, SchedulerMessage>,
                                    public std::enable_shared_from_this<SchedulerLink::Stream> {
 public:
  explicit Stream(SchedulerLink& link) : link_(link) {}

  void Begin(thaw::scheduler::v1::Membership::Stub& stub, const Security& security, NodeMessage first) {
    self_ = shared_from_this();
    security.AddToken(context_);
    // No deadline: the stream is the membership itself. HTTP/2 keepalive finds a peer that vanished.
    stub.async()->Connect(&context_, this);
    Write(std::move(first));
    StartRead(&inbound_);
    StartCall();
  }

  // False when too much waits already.
  bool Write(NodeMessage message) ABSL_LOCKS_EXCLUDED(write_mu_) {
    absl::MutexLock lock(&write_mu_);
    if (closed_ || outbound_.size() >= link_.options_.max_queued) return false;
    outbound_.push_back(std::move(message));
    if (outbound_.size() == 1) StartWrite(&outbound_.front());
    return true;
  }

  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    link_.Handle(this, inbound_);
    StartRead(&inbound_);
  }

  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(write_mu_) {
    absl::MutexLock lock(&write_mu_);
    outbound_.pop_front();
    if (!ok || closed_) {
      closed_ = true;
      return;
    }
    if (!outbound_.empty()) StartWrite(&outbound_.front());
  }

  void OnDone(const grpc::Status& status) override {
    {
      absl::MutexLock lock(&write_mu_);
      closed_ = true;
    }
    const std::shared_ptr<Stream> self = std::move(self_);
    link_.OnStreamDone(this, FromGrpcStatus(status));
  }

 private:
  SchedulerLink& link_;
  std::shared_ptr<Stream> self_;
  grpc::ClientContext context_;
  SchedulerMessage inbound_;
  absl::Mutex write_mu_;
  std::deque<NodeMessage> outbound_ ABSL_GUARDED_BY(write_mu_);
  bool closed_ ABSL_GUARDED_BY(write_mu_) = false;
};

SchedulerLink::SchedulerLink(const Options& options, std::shared_ptr<ChannelPool> channels, SchedulerCommands& commands,
                             Timers& timers, AgentMetrics& metrics, std::shared_ptr<spdlog::logger> log)
    : options_(options),
      channels_(std::move(channels)),
      commands_(commands),
      timers_(timers),
      metrics_(metrics),
      log_(std::move(log)),
      pause_(options.first_pause) {}

SchedulerLink::~SchedulerLink() { Stop(); }

void SchedulerLink::Start() { Open(); }

void SchedulerLink::Open() {
  {
    absl::MutexLock lock(&mu_);
    if (stopping_) return;
  }
  NodeMessage first;
  *first.mutable_register_() = commands_.MakeRegister();
  const auto stub = thaw::scheduler::v1::Membership::NewStub(channels_->Get(options_.address));
  auto stream = std::make_shared<Stream>(*this);
  {
    absl::MutexLock lock(&mu_);
    if (stopping_) return;
    stream_ = stream;
    ++streams_alive_;
  }
  stream->Begin(*stub, channels_->security(), std::move(first));
}

void SchedulerLink::OnStreamDone(Stream* stream, const absl::Status& status) {
  absl::MutexLock lock(&mu_);
  --streams_alive_;
  if (stream_.get() == stream) stream_.reset();
  connected_ = false;
  metrics_.scheduler_connected->Set(0);
  if (stopping_) return;
  log_->warn("event=scheduler_stream_ended address={} retry_in={} error=\"{}\"", options_.address,
             absl::FormatDuration(pause_), status.ToString());
  timers_.RunAfter(pause_, [this] { Open(); });
  pause_ = std::min(pause_ * 2, options_.longest_pause);
}

void SchedulerLink::Handle(Stream* stream, const SchedulerMessage& message) {
  switch (message.message_case()) {
    case SchedulerMessage::kWelcome: {
      std::deque<NodeMessage> kept;
      {
        absl::MutexLock lock(&mu_);
        pause_ = options_.first_pause;
        connected_ = true;
        kept.swap(waiting_);
      }
      metrics_.scheduler_connected->Set(1);
      log_->info("event=joined scheduler={}", options_.address);
      commands_.OnConnected({message.welcome().version_ids().begin(), message.welcome().version_ids().end()});
      for (NodeMessage& waiting : kept) stream->Write(std::move(waiting));
      Beat(stream->weak_from_this(), FromProto(message.welcome().heartbeat_interval()));
      return;
    }
    case SchedulerMessage::kVersionState: commands_.OnVersionState(message.version_state()); return;
    case SchedulerMessage::kVersionRemoved: commands_.OnVersionRemoved(message.version_removed().version_id()); return;
    case SchedulerMessage::kCheckpointGrant: commands_.OnCheckpointGrant(message.checkpoint_grant()); return;
    case SchedulerMessage::kRemoveSnapshot: commands_.OnRemoveSnapshot(message.remove_snapshot().snapshot_id()); return;
    case SchedulerMessage::MESSAGE_NOT_SET: return;  // A newer scheduler's word.
  }
}

void SchedulerLink::Beat(std::weak_ptr<Stream> stream, absl::Duration interval) {
  NodeMessage beat;
  *beat.mutable_heartbeat() = commands_.MakeHeartbeat();
  absl::MutexLock lock(&mu_);
  const std::shared_ptr<Stream> open = stream.lock();
  if (stopping_ || open == nullptr || stream_ != open) return;
  open->Write(std::move(beat));
  timers_.RunAfter(std::max(interval, absl::Milliseconds(10)),
                   [this, stream, interval] { Beat(stream, interval); });
}

void SchedulerLink::Send(NodeMessage message) {
  // Errors quote tools and functions. A message that the scheduler can't read would end the stream.
  MakeStringsReadable(message);
  absl::MutexLock lock(&mu_);
  if (stream_ != nullptr && stream_->Write(message)) return;
  if (!message.has_checkpoint_result()) return;
  waiting_.push_back(std::move(message));
  if (waiting_.size() > options_.max_queued) waiting_.pop_front();
}

void SchedulerLink::Drain() {
  NodeMessage message;
  message.mutable_draining();
  Send(std::move(message));
}

void SchedulerLink::Stop() {
  absl::MutexLock lock(&mu_);
  stopping_ = true;
  if (stream_ != nullptr) stream_->Cancel();
  mu_.Await(absl::Condition(
      +[](SchedulerLink* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mu_) { return self->streams_alive_ == 0; }, this));
}

bool SchedulerLink::connected() const {
  absl::MutexLock lock(&mu_);
  return connected_;
}

void SchedulerLink::GetVersion(const std::string& version_id, absl::Time deadline,
                               absl::AnyInvocable<void(absl::StatusOr<VersionState>)> done) {
  struct Ask {
    grpc::ClientContext context;
    thaw::scheduler::v1::GetVersionRequest request;
    VersionState response;
    absl::AnyInvocable<void(absl::StatusOr<VersionState>)> done;
    std::unique_ptr<thaw::scheduler::v1::Catalogue::Stub> stub;
  };
  auto ask = std::make_shared<Ask>();
  ask->stub = thaw::scheduler::v1::Catalogue::NewStub(channels_->Get(options_.address));
  ask->request.set_version_id(version_id);
  ask->request.set_node_id(options_.node_id);
  ask->done = std::move(done);
  PrepareCall(ask->context, channels_->security(), deadline);
  ask->stub->async()->GetVersion(&ask->context, &ask->request, &ask->response, [ask](const grpc::Status& status) {
    if (status.ok()) {
      ask->done(std::move(ask->response));
    } else {
      ask->done(FromGrpcStatus(status));
    }
  });
}

}  // namespace thaw::agent
