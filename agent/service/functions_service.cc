#include "agent/service/functions_service.h"

#include <grpcpp/server_context.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/invoke/headers.h"
#include "agent/service/log_reader.h"
#include "common/rpc/client.h"
#include "common/rpc/readable_strings.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "common/text/utf8.h"

namespace thaw::agent {
namespace {

constexpr std::size_t kStreamPartBytes = 1 << 20;
constexpr std::uint32_t kDefaultTail = 100;

v1::Start::Kind ToProtoKind(StartKind kind) {
  switch (kind) {
    case StartKind::kWarm: return v1::Start::KIND_WARM;
    case StartKind::kRestored: return v1::Start::KIND_RESTORED;
    case StartKind::kRestoredRemote: return v1::Start::KIND_RESTORED_REMOTE;
    case StartKind::kCold: return v1::Start::KIND_COLD;
  }
  return v1::Start::KIND_UNSPECIFIED;
}

void FillResponse(CallResult result, v1::InvokeResponse& response) {
  response.set_status(static_cast<std::uint32_t>(result.reply.status));
  for (auto& [name, value] : AnswerHeaders(result.reply)) {
    if (absl::EqualsIgnoreCase(name, "content-type")) {
      response.set_content_type(std::move(value));
      continue;
    }
    auto* header = response.add_headers();
    header->set_name(std::move(name));
    header->set_value(std::move(value));
  }
  response.set_body(std::move(result.reply.body));
  auto& start = *response.mutable_start();
  start.set_kind(ToProtoKind(result.start.kind));
  start.set_instance_id(std::move(result.instance_id));
  start.set_fallback_reason(std::move(result.start.fallback_reason));
  const StartPhases& phases = result.start.phases;
  *start.mutable_queue() = ToProto(phases.queue);
  *start.mutable_container() = ToProto(phases.container);
  *start.mutable_fetch() = ToProto(phases.fetch);
  *start.mutable_restore() = ToProto(phases.restore);
  *start.mutable_function() = ToProto(phases.function);
}

// A copy: a call that never reached its instance is made again for another one.
FunctionRequest MakeFunctionRequest(const v1::InvokeRequest& request, absl::Time deadline) {
  Headers caller;
  caller.reserve(static_cast<std::size_t>(request.headers_size()));
  for (const auto& header : request.headers()) caller.emplace_back(header.name(), header.value());
  FunctionRequest made;
  made.headers = FunctionHeaders(caller, request.call_id(), deadline, request.content_type());
  made.body = request.body();
  made.deadline = deadline;
  return made;
}

// An error of the agent's own always names its reason: a status without one is how the gateway tells that the transport
// broke, and then it can't know whether a function was reached.
grpc::Status ToAnswer(const absl::Status& status) {
  if (status.ok() || !ReasonOf(status).empty()) return ToGrpcStatus(status);
  return ToGrpcStatus(WithReason(status, reason::kInternal));
}

// Both kinds of call, once the request is whole.
void Run(const FunctionsService::FindVersion& find, std::shared_ptr<v1::InvokeRequest> request, absl::Time deadline,
         std::shared_ptr<Cancellation> cancellation, absl::AnyInvocable<void(absl::StatusOr<CallResult>)> done) {
  const std::string version_id = request->version_id();
  find(version_id, deadline,
       [request = std::move(request), deadline, cancellation = std::move(cancellation),
        done = std::move(done)](absl::StatusOr<std::shared_ptr<VersionPool>> pool) mutable {
         if (!pool.ok()) {
           done(pool.status());
           return;
         }
         Call call;
         call.deadline = deadline;
         call.cancellation = std::move(cancellation);
         call.make_request = [request = std::move(request)](absl::Time function_deadline) {
           return MakeFunctionRequest(*request, function_deadline);
         };
         call.done = std::move(done);
         (*pool)->Invoke(std::move(call));
       });
}

grpc::Status CallerGone() { return grpc::Status(grpc::StatusCode::CANCELLED, "the caller has gone"); }

// Whether a reactor waits for the pool. Who sets it to false goes on with the reactor, and nobody else does:
// the pool with its answer, or a cancellation, which ends the RPC at once and leaves the pool's work, and its
// late answer, to themselves. A server that stops waits for its reactors, and a function may take minutes.
// Shared, as the answer may outlive the reactor.
using Waiting = std::shared_ptr<std::atomic<bool>>;

class InvokeReactor final : public grpc::ServerUnaryReactor {
 public:
  void Begin(const FunctionsService::FindVersion& find, const v1::InvokeRequest& request, v1::InvokeResponse& response,
             absl::Time deadline) {
    Run(find, std::make_shared<v1::InvokeRequest>(request), deadline, cancellation_,
        [this, &response, waiting = waiting_](absl::StatusOr<CallResult> result) {
          if (!waiting->exchange(false)) return;
          if (result.ok()) FillResponse(*std::move(result), response);
          Finish(ToAnswer(result.status()));
        });
  }
  void OnCancel() override {
    cancellation_->Cancel();
    if (waiting_->exchange(false)) Finish(CallerGone());
  }
  void OnDone() override { delete this; }

 private:
  const Waiting waiting_ = std::make_shared<std::atomic<bool>>(true);
  // Outlives the reactor: the pool may ask after the call has ended.
  const std::shared_ptr<Cancellation> cancellation_ = std::make_shared<Cancellation>();
};

class InvokeStreamReactor final : public grpc::ServerBidiReactor<v1::InvokeStreamRequest, v1::InvokeStreamResponse> {
 public:
  InvokeStreamReactor(const FunctionsService::FindVersion& find, std::uint64_t max_body_bytes, absl::Time deadline,
                      absl::Status admitted)
      : find_(find), max_body_bytes_(max_body_bytes), deadline_(deadline) {
    if (!admitted.ok()) {
      Finish(ToGrpcStatus(admitted));
      return;
    }
    StartRead(&inbound_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      if (request_ == nullptr) {
        Finish(ToAnswer(absl::InvalidArgumentError("the stream ended before its start message; nothing was called")));
        return;
      }
      // Read as ended is also the stream of a gateway that died, and OnCancel() may come after that.
      if (!whole_) {
        Finish(ToAnswer(absl::InvalidArgumentError("the stream ended before a message with `last`: the body is not whole, "
                                                   "and nothing was called")));
        return;
      }
      waiting_->store(true);
      if (cancellation_->cancelled()) {
        // Before or while the body came. Either this or OnCancel() ends it.
        if (waiting_->exchange(false)) Finish(CallerGone());
        return;
      }
      Run(find_, std::move(request_), deadline_, cancellation_,
          [this, waiting = waiting_](absl::StatusOr<CallResult> result) {
            if (waiting->exchange(false)) Answer(std::move(result));
          });
      return;
    }
    const bool is_start = inbound_.has_start();
    if (is_start == (request_ != nullptr)) {
      Finish(ToAnswer(absl::InvalidArgumentError("the first message must be `start`, all others `chunk`")));
      return;
    }
    if (whole_) {
      Finish(ToAnswer(absl::InvalidArgumentError("a message came after the one with `last`; nothing was called")));
      return;
    }
    whole_ = inbound_.last();
    if (is_start) {
      request_ = std::make_shared<v1::InvokeRequest>(std::move(*inbound_.mutable_start()));
    } else {
      request_->mutable_body()->append(inbound_.chunk());
    }
    if (request_->body().size() > max_body_bytes_) {
      Finish(ToGrpcStatus(WithReason(absl::InvalidArgumentError(absl::StrCat("the body is larger than ", max_body_bytes_,
                                                                             " bytes, this node's limit")),
                                     reason::kBodyTooLarge)));
      return;
    }
    StartRead(&inbound_);
  }

  void OnWriteDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the caller has gone"));
      return;
    }
    WriteNext();
  }

  void OnCancel() override {
    cancellation_->Cancel();
    // While something is read or written, that fails and ends it.
    if (waiting_->exchange(false)) Finish(CallerGone());
  }
  void OnDone() override { delete this; }

 private:
  void Answer(absl::StatusOr<CallResult> result) {
    if (!result.ok()) {
      Finish(ToAnswer(result.status()));
      return;
    }
    FillResponse(*std::move(result), *outbound_.mutable_start());
    body_ = std::move(*outbound_.mutable_start()->mutable_body());
    outbound_.mutable_start()->clear_body();
    StartWrite(&outbound_);
  }

  void WriteNext() {
    if (offset_ >= body_.size()) {
      Finish(grpc::Status::OK);
      return;
    }
    const std::size_t size = std::min(kStreamPartBytes, body_.size() - offset_);
    outbound_.set_chunk(body_.substr(offset_, size));
    offset_ += size;
    StartWrite(&outbound_);
  }

  const FunctionsService::FindVersion& find_;
  const std::uint64_t max_body_bytes_;
  const absl::Time deadline_;
  const Waiting waiting_ = std::make_shared<std::atomic<bool>>(false);
  const std::shared_ptr<Cancellation> cancellation_ = std::make_shared<Cancellation>();
  v1::InvokeStreamRequest inbound_;
  v1::InvokeStreamResponse outbound_;
  std::shared_ptr<v1::InvokeRequest> request_;
  // The message with `last` was there.
  bool whole_ = false;
  std::string body_;
  std::size_t offset_ = 0;
};

class FreezeReactor final : public grpc::ServerUnaryReactor {
 public:
  void Begin(const FunctionsService::FindVersion& find, const std::string& version_id, absl::Time deadline,
             thaw::common::v1::SnapshotInfo& response) {
    auto end = [this, &response, waiting = waiting_](absl::StatusOr<thaw::common::v1::SnapshotInfo> snapshot) {
      if (!waiting->exchange(false)) return;
      if (snapshot.ok()) response = *std::move(snapshot);
      Finish(ToAnswer(snapshot.status()));
    };
    find(version_id, deadline, [end](absl::StatusOr<std::shared_ptr<VersionPool>> pool) mutable {
      if (pool.ok()) {
        (*pool)->FreezeNow(std::move(end));
      } else {
        end(pool.status());
      }
    });
  }
  // The freeze goes on: its snapshot is as good without whoever asked for it.
  void OnCancel() override {
    if (waiting_->exchange(false)) Finish(CallerGone());
  }
  void OnDone() override { delete this; }

 private:
  const Waiting waiting_ = std::make_shared<std::atomic<bool>>(true);
};

// Reads on the disk's executor, writes one line at a time, and, when following, looks again after a pause. The three
// never overlap, so nothing here needs a lock but the cancellation's flag.
class ReadLogsReactor final : public grpc::ServerWriteReactor<v1::LogLine> {
 public:
  ReadLogsReactor(Pool& pool, Executor& disk, Timers& timers, absl::Duration interval, const v1::ReadLogsRequest& request)
      : pool_(pool),
        disk_(disk),
        timers_(timers),
        interval_(interval),
        function_id_(request.function_id()),
        follow_(request.follow()),
        reader_(request.tail() == 0 ? kDefaultTail : request.tail()) {}

  void Look() {
    const absl::Status queued = disk_.Add([this] {
      for (std::string& line : reader_.ReadNew(pool_.ControlDirs(function_id_))) lines_.push_back(std::move(line));
      WriteNext();
    });
    if (!queued.ok()) Finish(ToGrpcStatus(queued));
  }

  void OnWriteDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the caller has gone"));
      return;
    }
    WriteNext();
  }
  void OnCancel() override { cancelled_.store(true); }
  void OnDone() override { delete this; }

 private:
  void WriteNext() {
    if (cancelled_.load()) {
      Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the caller has gone"));
      return;
    }
    if (!lines_.empty()) {
      line_.set_line(ReplaceInvalidUtf8(std::move(lines_.front())));
      lines_.pop_front();
      StartWrite(&line_);
      return;
    }
    if (!follow_) {
      Finish(grpc::Status::OK);
      return;
    }
    timers_.RunAfter(interval_, [this] { Look(); });
  }

  Pool& pool_;
  Executor& disk_;
  Timers& timers_;
  const absl::Duration interval_;
  const std::string function_id_;
  const bool follow_;
  LogReader reader_;
  std::atomic<bool> cancelled_ = false;
  std::deque<std::string> lines_;
  v1::LogLine line_;
};

// A stream that ends at once.
class RefusedLogs final : public grpc::ServerWriteReactor<v1::LogLine> {
 public:
  explicit RefusedLogs(const absl::Status& status) { Finish(ToGrpcStatus(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

FunctionsService::FunctionsService(const Options& options, std::shared_ptr<const Security> security, Pool& pool,
                                   FindVersion find, Executor& disk, Timers& timers, ExplainVersion explain)
    : options_(options),
      security_(std::move(security)),
      pool_(pool),
      find_(std::move(find)),
      disk_(disk),
      timers_(timers),
      explain_(std::move(explain)) {}

grpc::ServerUnaryReactor* FunctionsService::Invoke(grpc::CallbackServerContext* context, const v1::InvokeRequest* request,
                                                   v1::InvokeResponse* response) {
  const absl::Status admitted = security_->CheckToken(*context);
  if (!admitted.ok()) {
    auto* reactor = context->DefaultReactor();
    reactor->Finish(ToGrpcStatus(admitted));
    return reactor;
  }
  auto* reactor = new InvokeReactor();
  reactor->Begin(find_, *request, *response, DeadlineOf(*context, options_.longest_call));
  return reactor;
}

grpc::ServerUnaryReactor* FunctionsService::Freeze(grpc::CallbackServerContext* context, const v1::FreezeRequest* request,
                                                   thaw::common::v1::SnapshotInfo* response) {
  if (const absl::Status admitted = security_->CheckToken(*context); !admitted.ok()) {
    auto* refused = context->DefaultReactor();
    refused->Finish(ToGrpcStatus(admitted));
    return refused;
  }
  auto* reactor = new FreezeReactor();
  reactor->Begin(find_, request->version_id(), DeadlineOf(*context, options_.longest_freeze), *response);
  return reactor;
}

grpc::ServerBidiReactor<v1::InvokeStreamRequest, v1::InvokeStreamResponse>* FunctionsService::InvokeStream(
    grpc::CallbackServerContext* context) {
  return new InvokeStreamReactor(find_, options_.max_body_bytes, DeadlineOf(*context, options_.longest_call),
                                 security_->CheckToken(*context));
}

grpc::ServerUnaryReactor* FunctionsService::Explain(grpc::CallbackServerContext* context,
                                                    const v1::ExplainRequest* request, v1::ExplainResponse* response) {
  auto* reactor = context->DefaultReactor();
  absl::Status status = security_->CheckToken(*context);
  if (status.ok() && explain_ == nullptr) status = absl::UnimplementedError("this agent explains nothing");
  if (status.ok()) {
    status = disk_.Add([this, reactor, request, response] {
      absl::StatusOr<std::vector<thaw::common::v1::Diagnosis>> known = explain_(request->version_id());
      if (known.ok()) {
        for (auto& diagnosis : *known) *response->add_diagnoses() = std::move(diagnosis);
        // A diagnosis quotes files' names, logs and stacks.
        MakeStringsReadable(*response);
      }
      reactor->Finish(ToAnswer(known.status()));
    });
  }
  if (!status.ok()) reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

grpc::ServerWriteReactor<v1::LogLine>* FunctionsService::ReadLogs(grpc::CallbackServerContext* context,
                                                                  const v1::ReadLogsRequest* request) {
  const absl::Status admitted = security_->CheckToken(*context);
  if (!admitted.ok()) return new RefusedLogs(admitted);
  auto* reactor = new ReadLogsReactor(pool_, disk_, timers_, options_.log_poll_interval, *request);
  reactor->Look();
  return reactor;
}

}  // namespace thaw::agent
