#include "tests/support/steady_load.h"

#include <grpcpp/create_channel.h>

#include <memory>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "thaw/gateway/v1/gateway.grpc.pb.h"

namespace thaw::testing {
namespace {

namespace gw = thaw::gateway::v1;

constexpr absl::Duration kCallLimit = absl::Seconds(30);
constexpr absl::Duration kFreezeLimit = absl::Minutes(1);

struct Load {
  absl::Mutex mu;
  SteadyResult result ABSL_GUARDED_BY(mu);
  std::size_t under_way ABSL_GUARDED_BY(mu) = 0;
  bool Idle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { return under_way == 0; }
};

// One call; it ends itself.
struct Call {
  grpc::ClientContext context;
  gw::InvokeResponse response;
};

}  // namespace

SteadyResult LoadSteadily(const std::string& gateway_address, const std::string& function_id, const std::string& body,
                          double rate, absl::Duration time) {
  const auto stub = gw::Invoker::NewStub(grpc::CreateChannel(gateway_address, grpc::InsecureChannelCredentials()));
  gw::InvokeRequest request;
  request.mutable_function()->set_id(function_id);
  request.set_body(body);
  request.set_content_type("text/plain");
  Load load;
  const absl::Time begun = absl::Now();
  const auto count = static_cast<std::size_t>(rate * absl::ToDoubleSeconds(time));
  load.result.latencies.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const absl::Time due = begun + absl::Seconds(static_cast<double>(i) / rate);
    absl::SleepFor(due - absl::Now());
    auto call = std::make_shared<Call>();
    call->context.set_deadline(absl::ToChronoTime(due + kCallLimit));
    {
      absl::MutexLock lock(&load.mu);
      ++load.under_way;
    }
    stub->async()->Invoke(&call->context, &request, &call->response, [&load, call, due](const grpc::Status& status) {
      const absl::Duration latency = absl::Now() - due;
      absl::MutexLock lock(&load.mu);
      load.result.latencies.push_back(latency);
      if (!status.ok() && load.result.failed++ == 0) load.result.first_error = status.error_message();
      --load.under_way;
    });
  }
  absl::MutexLock lock(&load.mu);
  load.mu.Await(absl::Condition(&load, &Load::Idle));
  load.result.time = absl::Now() - begun;
  return std::move(load.result);
}

struct ForcedCheckpoints::Shared {
  absl::Mutex mu;
  bool stopping ABSL_GUARDED_BY(mu) = false;
  std::thread thread;
};

ForcedCheckpoints::ForcedCheckpoints(Cluster& cluster, std::string function_id, absl::Duration every)
    : cluster_(cluster), function_id_(std::move(function_id)), every_(every), shared_(std::make_unique<Shared>()) {
  shared_->thread = std::thread([this] { Run(); });
}

ForcedCheckpoints::~ForcedCheckpoints() { Stop(); }

void ForcedCheckpoints::Stop() {
  {
    absl::MutexLock lock(&shared_->mu);
    shared_->stopping = true;
  }
  if (shared_->thread.joinable()) shared_->thread.join();
}

void ForcedCheckpoints::Run() {
  absl::Time next = absl::Now() + every_;
  while (true) {
    {
      absl::MutexLock lock(&shared_->mu);
      shared_->mu.AwaitWithDeadline(absl::Condition(&shared_->stopping), next);
      if (shared_->stopping) return;
    }
    next += every_;
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kFreezeLimit));
    gw::CreateSnapshotRequest request;
    request.mutable_function()->set_id(function_id_);
    thaw::common::v1::SnapshotInfo snapshot;
    const grpc::Status status = cluster_.admin().CreateSnapshot(&context, request, &snapshot);
    if (status.ok()) {
      ++made_;
    } else if (first_error_.empty()) {
      first_error_ = status.error_message();
    }
  }
}

}  // namespace thaw::testing
