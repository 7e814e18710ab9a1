#include <grpcpp/support/server_callback.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/status.h"
#include "scheduler/errors.h"
#include "scheduler/lease/lease_issuer.h"
#include "scheduler/service/services.h"
#include "scheduler/service/unary.h"
#include "thaw/scheduler/v1/scheduler.grpc.pb.h"

namespace thaw::scheduler {
namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

// One gateway's subscription. What happens while a message is on its way goes into the next one, each id once, so that
// what waits for a slow gateway is bounded by what there is to tell.
class LeaseWatch final : public grpc::ServerWriteReactor<v1::LeaseEvents>,
                         public LeaseWatcher,
                         public std::enable_shared_from_this<LeaseWatch> {
 public:
  LeaseWatch(LeaseTable& leases, std::string gateway_id) : leases_(leases), gateway_id_(std::move(gateway_id)) {}

  // Subscribes, or ends with `status`. Keeps this alive until the call is done.
  void Begin(absl::Status status) {
    self_ = shared_from_this();
    if (status.ok()) {
      // As if a message were on its way: what happens from the subscription on waits until it is confirmed.
      {
        absl::MutexLock lock(&mu_);
        writing_ = true;
      }
      status = leases_.Watch(gateway_id_, self_);
      absl::MutexLock lock(&mu_);
      if (status.ok()) {
        StartWrite(&message_);
      } else {
        writing_ = false;
      }
    }
    if (!status.ok()) End(std::move(status));
  }

  void OnLeasesEnded(const std::vector<std::string>& lease_ids) override {
    absl::MutexLock lock(&mu_);
    ended_lease_ids_.insert(lease_ids.begin(), lease_ids.end());
    Continue();
  }
  void OnFunctionsChanged(const std::vector<std::string>& function_ids) override {
    absl::MutexLock lock(&mu_);
    changed_function_ids_.insert(function_ids.begin(), function_ids.end());
    Continue();
  }
  void OnStopping() override { End(errors::Stopping()); }

  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    if (!ok && end_.ok()) end_ = absl::CancelledError("the gateway is gone");
    Continue();
  }
  void OnCancel() override { End(absl::CancelledError("the gateway ended its subscription")); }
  void OnDone() override {
    leases_.Unwatch(gateway_id_, this);
    self_.reset();
  }

 private:
  void End(absl::Status status) {
    absl::MutexLock lock(&mu_);
    if (end_.ok()) end_ = std::move(status);
    Continue();
  }

  // Sends what there is to send, or finishes, when no message is on its way.
  void Continue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (writing_ || finished_) return;
    if (!end_.ok()) {
      finished_ = true;
      Finish(ToGrpcStatus(end_));
      return;
    }
    if (ended_lease_ids_.empty() && changed_function_ids_.empty()) return;
    message_.Clear();
    for (const auto& id : ended_lease_ids_) message_.add_ended_lease_ids(id);
    for (const auto& id : changed_function_ids_) message_.add_changed_function_ids(id);
    ended_lease_ids_.clear();
    changed_function_ids_.clear();
    writing_ = true;
    StartWrite(&message_);
  }

  LeaseTable& leases_;
  const std::string gateway_id_;
  std::shared_ptr<LeaseWatch> self_;

  absl::Mutex mu_;
  std::set<std::string> ended_lease_ids_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> changed_function_ids_ ABSL_GUARDED_BY(mu_);
  // Not OK once the call is to end.
  absl::Status end_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  // gRPC's while `writing_`.
  v1::LeaseEvents message_;
};

class LeasesService final : public v1::Leases::CallbackService {
 public:
  LeasesService(Scheduler& scheduler, const Security& security) : scheduler_(scheduler), security_(security) {}

  ServerUnaryReactor* AcquireLease(CallbackServerContext* context, const v1::AcquireLeaseRequest* request,
                                   v1::Lease* response) override {
    return Answer(security_, context, [=, this] { return Fill(scheduler_.issuer().Acquire(*request), response); });
  }
  ServerUnaryReactor* RenewLeases(CallbackServerContext* context, const v1::RenewLeasesRequest* request,
                                  v1::RenewLeasesResponse* response) override {
    return Answer(security_, context, [=, this] { return Fill(scheduler_.issuer().Renew(*request), response); });
  }
  ServerUnaryReactor* ReleaseLeases(CallbackServerContext* context, const v1::ReleaseLeasesRequest* request,
                                    v1::ReleaseLeasesResponse*) override {
    return Answer(security_, context, [=, this] { return scheduler_.issuer().Release(*request); });
  }
  grpc::ServerWriteReactor<v1::LeaseEvents>* WatchLeases(CallbackServerContext* context,
                                                         const v1::WatchLeasesRequest* request) override {
    absl::Status status = security_.CheckToken(*context);
    if (status.ok()) status = CheckGatewayId(request->gateway_id());
    auto watch = std::make_shared<LeaseWatch>(scheduler_.leases(), request->gateway_id());
    watch->Begin(std::move(status));
    return watch.get();
  }

 private:
  Scheduler& scheduler_;
  const Security& security_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewLeasesService(Scheduler& scheduler, const Security& security) {
  return std::make_unique<LeasesService>(scheduler, security);
}

}  // namespace thaw::scheduler
