#include "tests/fakes/fake_scheduler_server.h"

#include <grpcpp/server_context.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"

namespace thaw::testing {

namespace pb = ::thaw::scheduler::v1;
namespace cat = ::thaw::common::v1;

class FakeSchedulerServer::Leases final : public pb::Leases::Service {
 public:
  explicit Leases(FakeSchedulerServer& fake) : fake_(fake) {}

  grpc::Status AcquireLease(grpc::ServerContext* context, const pb::AcquireLeaseRequest* request,
                            pb::Lease* response) override {
    if (const auto checked = fake_.endpoint_.Check(context); !checked.ok()) return checked;
    absl::MutexLock lock(&fake_.mu_);
    const cat::Function* function = nullptr;
    for (const auto& [id, candidate] : fake_.functions_) {
      if (id == request->function_id() ||
          absl::StrCat(candidate.app_name(), "/", candidate.name()) == request->function_path()) {
        function = &candidate;
      }
    }
    if (function == nullptr) {
      return ToGrpcStatus(WithReason(
          absl::NotFoundError(absl::StrCat("no function ", request->function_id(), request->function_path())),
          reason::kFunctionNotFound));
    }
    for (const auto& [id, node] : fake_.nodes_) {
      if (!request->pinned_node().empty() && id != request->pinned_node()) continue;
      if (std::count(request->excluded_nodes().begin(), request->excluded_nodes().end(), id) > 0) continue;
      auto& lease = fake_.held_[absl::StrCat("lease-", fake_.next_lease_)];
      lease.set_lease_id(absl::StrCat("lease-", fake_.next_lease_++));
      lease.set_node_id(id);
      lease.set_node_address(node.address());
      *lease.mutable_time_to_live() = ToProto(fake_.time_to_live_);
      lease.set_concurrency(static_cast<std::uint32_t>(fake_.concurrency_));
      auto* version = lease.mutable_version();
      version->set_version_id(function->version_id());
      version->set_app_id(function->app_id());
      version->set_app_name(function->app_name());
      version->set_function_id(function->id());
      version->set_function_name(function->name());
      *version->mutable_timeout() = function->timeout();
      *version->mutable_idle_timeout() = ToProto(absl::Seconds(30));
      *response = lease;
      ++fake_.acquired_;
      return grpc::Status::OK;
    }
    if (!request->pinned_node().empty()) {
      return ToGrpcStatus(WithReason(absl::FailedPreconditionError(
                                         absl::StrCat("node ", request->pinned_node(), " is not in the cluster")),
                                     reason::kNodeNotFound));
    }
    return ToGrpcStatus(WithReason(absl::UnavailableError("no node is ready"), reason::kNoNodeReady));
  }

  grpc::Status RenewLeases(grpc::ServerContext* context, const pb::RenewLeasesRequest* request,
                           pb::RenewLeasesResponse* response) override {
    if (const auto checked = fake_.endpoint_.Check(context); !checked.ok()) return checked;
    absl::MutexLock lock(&fake_.mu_);
    ++fake_.renewals_;
    for (const std::string& id : request->lease_ids()) {
      if (fake_.held_.count(id) > 0) response->add_lease_ids(id);
    }
    *response->mutable_time_to_live() = ToProto(fake_.time_to_live_);
    return grpc::Status::OK;
  }

  grpc::Status ReleaseLeases(grpc::ServerContext* context, const pb::ReleaseLeasesRequest* request,
                             pb::ReleaseLeasesResponse*) override {
    if (const auto checked = fake_.endpoint_.Check(context); !checked.ok()) return checked;
    absl::MutexLock lock(&fake_.mu_);
    for (const std::string& id : request->lease_ids()) {
      fake_.held_.erase(id);
      fake_.released_.push_back(id);
    }
    return grpc::Status::OK;
  }

  grpc::Status WatchLeases(grpc::ServerContext* context, const pb::WatchLeasesRequest*,
                           grpc::ServerWriter<pb::LeaseEvents>* writer) override {
    if (const auto checked = fake_.endpoint_.Check(context); !checked.ok()) return checked;
    Watcher watcher;
    watcher.queue.emplace_back();
    absl::ReleasableMutexLock lock(&fake_.mu_);
    fake_.watchers_.insert(&watcher);
    while (!context->IsCancelled() && !fake_.stopping_) {
      std::vector<pb::LeaseEvents> events = std::move(watcher.queue);
      watcher.queue.clear();
      // Written under the lock: a test's fake may be slow, but not out of order.
      for (const auto& event : events) writer->Write(event);
      const auto something = [&]() { return !watcher.queue.empty() || fake_.stopping_; };
      fake_.mu_.AwaitWithTimeout(absl::Condition(&something), absl::Milliseconds(20));
    }
    fake_.watchers_.erase(&watcher);
    lock.Release();
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the fake stops");
  }

 private:
  FakeSchedulerServer& fake_;
};

class FakeSchedulerServer::Catalogue final : public pb::Catalogue::Service {
 public:
  explicit Catalogue(FakeSchedulerServer& fake) : fake_(fake) {}

  grpc::Status CreateApp(grpc::ServerContext* context, const cat::CreateAppRequest* request, cat::App* response) override {
    if (const auto checked = fake_.endpoint_.Check(context); !checked.ok()) return checked;
    if (request->app().name() == "taken") {
      return ToGrpcStatus(WithReason(absl::AlreadyExistsError("app taken exists"), reason::kAlreadyExists));
    }
    *response = request->app();
    response->set_id("app-id");
    return grpc::Status::OK;
  }

  grpc::Status GetFunction(grpc::ServerContext* context, const cat::GetFunctionRequest* request,
                           cat::Function* response) override {
    if (const auto checked = fake_.endpoint_.Check(context); !checked.ok()) return checked;
    fake_.WaitIfHeld(context, "GetFunction");
    absl::MutexLock lock(&fake_.mu_);
    for (const auto& [id, function] : fake_.functions_) {
      if (id == request->id() || (function.app_name() == request->app_name() && function.name() == request->name())) {
        *response = function;
        return grpc::Status::OK;
      }
    }
    return ToGrpcStatus(WithReason(absl::NotFoundError("no such function"), reason::kFunctionNotFound));
  }

  grpc::Status UpdateFunction(grpc::ServerContext* context, const cat::UpdateFunctionRequest* request,
                              cat::Function* response) override {
    if (const auto checked = fake_.endpoint_.Check(context); !checked.ok()) return checked;
    // Without a word to the watchers: the gateway's own knowledge has to do.
    fake_.ChangeFunction(request->function().id(), /*tell=*/false);
    absl::MutexLock lock(&fake_.mu_);
    *response = fake_.functions_[request->function().id()];
    return grpc::Status::OK;
  }

  grpc::Status SetSecret(grpc::ServerContext* context, const cat::SetSecretRequest* request,
                         cat::Secret* response) override {
    if (const auto checked = fake_.endpoint_.Check(context); !checked.ok()) return checked;
    response->set_name(request->name());
    response->set_size_bytes(static_cast<std::uint32_t>(request->value().size()));
    return grpc::Status::OK;
  }
  grpc::Status ListSecrets(grpc::ServerContext* context, const cat::ListSecretsRequest* request,
                           cat::ListSecretsResponse* response) override {
    if (const auto checked = fake_.endpoint_.Check(context); !checked.ok()) return checked;
    response->add_secrets()->set_app_id(request->app_id());
    return grpc::Status::OK;
  }
  grpc::Status DeleteSecret(grpc::ServerContext* context, const cat::DeleteSecretRequest* request,
                            cat::DeleteSecretResponse*) override {
    if (const auto checked = fake_.endpoint_.Check(context); !checked.ok()) return checked;
    return ToGrpcStatus(WithReason(absl::NotFoundError("no secret " + request->name()), reason::kSecretNotFound));
  }

  grpc::Status ListNodes(grpc::ServerContext* context, const cat::ListNodesRequest*,
                         cat::ListNodesResponse* response) override {
    if (const auto checked = fake_.endpoint_.Check(context); !checked.ok()) return checked;
    fake_.WaitIfHeld(context, "ListNodes");
    absl::MutexLock lock(&fake_.mu_);
    for (const auto& [id, node] : fake_.nodes_) *response->add_nodes() = node;
    return grpc::Status::OK;
  }

 private:
  FakeSchedulerServer& fake_;
};

FakeSchedulerServer::FakeSchedulerServer(std::string token)
    : endpoint_(std::move(token)),
      leases_service_(std::make_unique<Leases>(*this)),
      catalogue_service_(std::make_unique<Catalogue>(*this)) {}

FakeSchedulerServer::~FakeSchedulerServer() { Stop(); }

void FakeSchedulerServer::Start() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = false;
    held_.clear();
  }
  endpoint_.Start({leases_service_.get(), catalogue_service_.get()});
}

void FakeSchedulerServer::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  endpoint_.Stop();
}

void FakeSchedulerServer::Hold(const std::string& method) {
  absl::MutexLock lock(&mu_);
  held_method_ = method;
}

void FakeSchedulerServer::WaitIfHeld(grpc::ServerContext* context, const std::string& method) {
  absl::MutexLock lock(&mu_);
  if (held_method_ != method) return;
  ++held_calls_;
  const auto released = [&]() { return held_method_ != method; };
  // The synchronous API tells of a cancellation only when it is asked.
  while (!mu_.AwaitWithTimeout(absl::Condition(&released), absl::Milliseconds(2))) {
    if (context->IsCancelled()) {
      ++held_cancelled_;
      return;
    }
  }
}

bool FakeSchedulerServer::AwaitHeld(int calls) {
  absl::MutexLock lock(&mu_);
  const auto there = [&]() { return held_calls_ >= calls; };
  return mu_.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(10));
}

bool FakeSchedulerServer::AwaitHeldCancelled(int calls) {
  absl::MutexLock lock(&mu_);
  const auto there = [&]() { return held_cancelled_ >= calls; };
  return mu_.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(10));
}

void FakeSchedulerServer::Tell(const pb::LeaseEvents& events) {
  for (Watcher* watcher : watchers_) watcher->queue.push_back(events);
}

void FakeSchedulerServer::AddNode(const std::string& id, const std::string& address) {
  absl::MutexLock lock(&mu_);
  auto& node = nodes_[id];
  node.set_id(id);
  node.set_address(address);
  node.set_state(cat::NODE_STATE_READY);
  node.set_memory_total_bytes(1u << 30);
}

void FakeSchedulerServer::LoseNode(const std::string& id) {
  absl::MutexLock lock(&mu_);
  nodes_.erase(id);
  pb::LeaseEvents events;
  for (auto it = held_.begin(); it != held_.end();) {
    if (it->second.node_id() == id) {
      events.add_ended_lease_ids(it->first);
      it = held_.erase(it);
    } else {
      ++it;
    }
  }
  Tell(events);
}

void FakeSchedulerServer::AddFunction(const std::string& id, const std::string& app, const std::string& name,
                                      absl::Duration timeout) {
  absl::MutexLock lock(&mu_);
  auto& function = functions_[id];
  function.set_id(id);
  function.set_app_id(absl::StrCat(app, "-id"));
  function.set_app_name(app);
  function.set_name(name);
  function.set_version_id(absl::StrCat("version-", next_version_++));
  *function.mutable_timeout() = ToProto(timeout);
}

void FakeSchedulerServer::ChangeFunction(const std::string& id, bool tell) {
  absl::MutexLock lock(&mu_);
  functions_[id].set_version_id(absl::StrCat("version-", next_version_++));
  if (!tell) return;
  pb::LeaseEvents events;
  events.add_changed_function_ids(id);
  Tell(events);
}

void FakeSchedulerServer::set_time_to_live(absl::Duration time_to_live) {
  absl::MutexLock lock(&mu_);
  time_to_live_ = time_to_live;
}

void FakeSchedulerServer::set_concurrency(int concurrency) {
  absl::MutexLock lock(&mu_);
  concurrency_ = concurrency;
}

int FakeSchedulerServer::acquired() const {
  absl::MutexLock lock(&mu_);
  return acquired_;
}

int FakeSchedulerServer::renewals() const {
  absl::MutexLock lock(&mu_);
  return renewals_;
}

std::vector<std::string> FakeSchedulerServer::released() const {
  absl::MutexLock lock(&mu_);
  return released_;
}

int FakeSchedulerServer::watchers() const {
  absl::MutexLock lock(&mu_);
  return static_cast<int>(watchers_.size());
}

bool FakeSchedulerServer::AwaitWatcher() {
  absl::MutexLock lock(&mu_);
  const auto watched = [this]() { return !watchers_.empty(); };
  return mu_.AwaitWithTimeout(absl::Condition(&watched), absl::Seconds(10));
}

}  // namespace thaw::testing
