#include "tests/fakes/fake_agent_server.h"

#include <grpcpp/server_context.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/crypto/sha256.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"

namespace thaw::testing {

namespace pb = ::thaw::agent::v1;

namespace {

constexpr std::size_t kChunkBytes = 64 << 10;
// Between looks whether a hanging call was cancelled: the synchronous API has no other way.
constexpr absl::Duration kPoll = absl::Milliseconds(2);

}  // namespace

class FakeAgentServer::Functions final : public pb::Functions::Service {
 public:
  explicit Functions(FakeAgentServer& fake) : fake_(fake) {}

  grpc::Status Invoke(grpc::ServerContext* context, const pb::InvokeRequest* request,
                      pb::InvokeResponse* response) override {
    if (const auto checked = fake_.endpoint_.Check(context); !checked.ok()) return checked;
    Reply reply = fake_.Answer(context, *request, /*streamed=*/false);
    *response = std::move(reply.response);
    return ToGrpcStatus(reply.status);
  }

  grpc::Status Explain(grpc::ServerContext* context, const pb::ExplainRequest*, pb::ExplainResponse* response) override {
    if (const auto checked = fake_.endpoint_.Check(context); !checked.ok()) return checked;
    absl::MutexLock lock(&fake_.mu_);
    if (!fake_.explanation_.ok()) return ToGrpcStatus(fake_.explanation_.status());
    *response = *fake_.explanation_;
    return grpc::Status::OK;
  }

  grpc::Status InvokeStream(grpc::ServerContext* context,
                            grpc::ServerReaderWriter<pb::InvokeStreamResponse, pb::InvokeStreamRequest>* stream) override {
    if (const auto checked = fake_.endpoint_.Check(context); !checked.ok()) return checked;
    pb::InvokeStreamRequest part;
    pb::InvokeRequest request;
    bool whole = false;
    while (stream->Read(&part)) {
      whole = part.last();
      if (part.has_start()) {
        request = part.start();
      } else {
        request.mutable_body()->append(part.chunk());
      }
    }
    // As the agent does.
    if (!whole) return ToGrpcStatus(WithReason(absl::InvalidArgumentError("the body is not whole"), reason::kInternal));
    Reply reply = fake_.Answer(context, request, /*streamed=*/true);
    if (!reply.status.ok()) return ToGrpcStatus(reply.status);
    const std::string body = std::move(*reply.response.mutable_body());
    pb::InvokeStreamResponse out;
    *out.mutable_start() = std::move(reply.response);
    out.mutable_start()->clear_body();
    stream->Write(out);
    for (std::size_t at = 0; at < body.size(); at += kChunkBytes) {
      out.set_chunk(body.substr(at, kChunkBytes));
      stream->Write(out);
    }
    return grpc::Status::OK;
  }

  grpc::Status Freeze(grpc::ServerContext* context, const pb::FreezeRequest* request,
                      thaw::common::v1::SnapshotInfo* response) override {
    if (const auto checked = fake_.endpoint_.Check(context); !checked.ok()) return checked;
    absl::MutexLock lock(&fake_.mu_);
    if (fake_.freeze_hangs_) {
      fake_.frozen_.push_back(request->version_id());
      const auto never = []() { return false; };
      while (!context->IsCancelled()) fake_.mu_.AwaitWithTimeout(absl::Condition(&never), kPoll);
      return grpc::Status::CANCELLED;
    }
    if (!fake_.freeze_failure_.ok()) return ToGrpcStatus(fake_.freeze_failure_);
    fake_.frozen_.push_back(request->version_id());
    response->set_version_id(request->version_id());
    response->set_id("5eed");
    return grpc::Status::OK;
  }

  grpc::Status ReadLogs(grpc::ServerContext* context, const pb::ReadLogsRequest* request,
                        grpc::ServerWriter<pb::LogLine>* writer) override {
    if (const auto checked = fake_.endpoint_.Check(context); !checked.ok()) return checked;
    const std::size_t tail = request->tail() == 0 ? 100 : request->tail();
    std::size_t next = 0;
    absl::Status failure;
    {
      absl::MutexLock lock(&fake_.mu_);
      ++fake_.log_streams_;
      failure = fake_.log_failure_;
      const std::size_t size = fake_.logs_[request->function_id()].size();
      next = size > tail ? size - tail : 0;
    }
    while (failure.ok() && !context->IsCancelled()) {
      std::vector<std::string> lines;
      {
        absl::MutexLock lock(&fake_.mu_);
        const auto& all = fake_.logs_[request->function_id()];
        lines.assign(all.begin() + static_cast<std::ptrdiff_t>(next), all.end());
        next = all.size();
      }
      pb::LogLine line;
      for (std::string& text : lines) {
        line.set_line(std::move(text));
        if (!writer->Write(line)) break;
      }
      if (!request->follow()) break;
      absl::SleepFor(kPoll);
    }
    absl::MutexLock lock(&fake_.mu_);
    --fake_.log_streams_;
    return ToGrpcStatus(failure);
  }

 private:
  FakeAgentServer& fake_;
};

class FakeAgentServer::Images final : public pb::Images::Service {
 public:
  explicit Images(FakeAgentServer& fake) : fake_(fake) {}

  grpc::Status HasImage(grpc::ServerContext* context, const pb::HasImageRequest* request,
                        pb::HasImageResponse* response) override {
    if (const auto checked = fake_.endpoint_.Check(context); !checked.ok()) return checked;
    absl::MutexLock lock(&fake_.mu_);
    response->set_present(fake_.images_.count(request->image_id()) > 0);
    return grpc::Status::OK;
  }

  grpc::Status ImportImage(grpc::ServerContext* context, grpc::ServerReader<pb::ImportImageRequest>* reader,
                           pb::ImportImageResponse* response) override {
    if (const auto checked = fake_.endpoint_.Check(context); !checked.ok()) return checked;
    pb::ImportImageRequest part;
    std::string id;
    std::string archive;
    while (reader->Read(&part)) {
      if (part.has_header()) {
        id = part.header().image_id();
      } else if (part.part_case() == pb::ImportImageRequest::kChunk) {
        archive += part.chunk();
        if (archive.find("not an archive") != std::string::npos) {
          return ToGrpcStatus(
              WithReason(absl::InvalidArgumentError("this is not an image archive"), reason::kInvalidField));
        }
      } else {
        if (part.sha256() != Sha256Hex(archive)) {
          return ToGrpcStatus(WithReason(absl::DataLossError("the archive is damaged"), reason::kInternal));
        }
        absl::MutexLock lock(&fake_.mu_);
        fake_.images_[id] = archive;
        response->set_image_id(id);
        return grpc::Status::OK;
      }
    }
    return grpc::Status(grpc::StatusCode::CANCELLED, "the stream ended before its trailer");
  }

 private:
  FakeAgentServer& fake_;
};

FakeAgentServer::FakeAgentServer(std::string token)
    : endpoint_(std::move(token)),
      functions_service_(std::make_unique<Functions>(*this)),
      images_service_(std::make_unique<Images>(*this)) {}

FakeAgentServer::~FakeAgentServer() { Stop(); }

void FakeAgentServer::Start() { endpoint_.Start({functions_service_.get(), images_service_.get()}); }

void FakeAgentServer::Stop() { endpoint_.Stop(); }

FakeAgentServer::Reply FakeAgentServer::Echo(const pb::InvokeRequest& request) {
  Reply reply;
  reply.response.set_status(200);
  reply.response.set_body(request.body());
  reply.response.set_content_type(request.content_type());
  reply.response.mutable_start()->set_kind(pb::Start::KIND_WARM);
  reply.response.mutable_start()->set_instance_id("instance-1");
  *reply.response.mutable_start()->mutable_function() = ToProto(absl::Microseconds(300));
  return reply;
}

FakeAgentServer::Reply FakeAgentServer::Hang(const pb::InvokeRequest&) {
  Reply reply;
  reply.hang = true;
  return reply;
}

void FakeAgentServer::set_on_invoke(OnInvoke on_invoke) {
  absl::MutexLock lock(&mu_);
  on_invoke_ = std::move(on_invoke);
}

FakeAgentServer::Reply FakeAgentServer::Answer(grpc::ServerContext* context, const pb::InvokeRequest& request,
                                               bool streamed) {
  OnInvoke on_invoke;
  {
    absl::MutexLock lock(&mu_);
    seen_.push_back({request, streamed, absl::FromChrono(context->deadline()) - absl::Now()});
    on_invoke = on_invoke_;
  }
  Reply reply = on_invoke(request);
  if (!reply.hang) return reply;
  while (!context->IsCancelled()) absl::SleepFor(kPoll);
  absl::MutexLock lock(&mu_);
  ++cancelled_;
  reply.status = absl::CancelledError("cancelled");
  return reply;
}

std::vector<FakeAgentServer::Seen> FakeAgentServer::seen() const {
  absl::MutexLock lock(&mu_);
  return seen_;
}

int FakeAgentServer::calls() const {
  absl::MutexLock lock(&mu_);
  return static_cast<int>(seen_.size());
}

int FakeAgentServer::cancelled() const {
  absl::MutexLock lock(&mu_);
  return cancelled_;
}

bool FakeAgentServer::AwaitCalls(int calls) {
  absl::MutexLock lock(&mu_);
  const auto there = [&]() { return static_cast<int>(seen_.size()) >= calls; };
  return mu_.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(10));
}

bool FakeAgentServer::AwaitCancelled(int cancelled) {
  absl::MutexLock lock(&mu_);
  const auto there = [&]() { return cancelled_ >= cancelled; };
  return mu_.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(10));
}

void FakeAgentServer::set_freeze_failure(absl::Status failure) {
  absl::MutexLock lock(&mu_);
  freeze_failure_ = std::move(failure);
}
void FakeAgentServer::set_freeze_hangs(bool hangs) {
  absl::MutexLock lock(&mu_);
  freeze_hangs_ = hangs;
}
std::vector<std::string> FakeAgentServer::frozen() const {
  absl::MutexLock lock(&mu_);
  return frozen_;
}

void FakeAgentServer::AddImage(const std::string& id, const std::string& archive) {
  absl::MutexLock lock(&mu_);
  images_[id] = archive;
}

std::map<std::string, std::string> FakeAgentServer::images() const {
  absl::MutexLock lock(&mu_);
  return images_;
}

void FakeAgentServer::AddLogLine(const std::string& function_id, const std::string& line) {
  absl::MutexLock lock(&mu_);
  logs_[function_id].push_back(line);
}

int FakeAgentServer::log_streams() const {
  absl::MutexLock lock(&mu_);
  return log_streams_;
}

void FakeAgentServer::set_log_failure(absl::Status failure) {
  absl::MutexLock lock(&mu_);
  log_failure_ = std::move(failure);
}

}  // namespace thaw::testing
