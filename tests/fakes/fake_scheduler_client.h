#ifndef THAW_TESTS_FAKES_FAKE_SCHEDULER_CLIENT_H_
#define THAW_TESTS_FAKES_FAKE_SCHEDULER_CLIENT_H_

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/status/reasons.h"
#include "gateway/errors.h"
#include "gateway/routing/scheduler_client.h"

namespace thaw::testing {

// A lease on `node` for `function_id`, in the form the scheduler gives it.
inline gateway::Lease MakeLease(const std::string& id, const std::string& node, const std::string& function_id = "fn",
                                int concurrency = 1) {
  gateway::Lease lease;
  lease.id = id;
  lease.version_id = "version-1";
  lease.app_id = "app-id";
  lease.function_id = function_id;
  lease.function_path = absl::StrCat("app/", function_id);
  lease.node_id = node;
  lease.node_address = absl::StrCat(node, ":1");
  lease.time_to_live = absl::Seconds(30);
  lease.concurrency = concurrency;
  return lease;
}

// A scheduler that answers as the test says. Requests for leases are answered by `on_acquire` if it is set, else they
// wait in `acquires`. Threads: any.
class FakeSchedulerClient final : public gateway::SchedulerClient {
 public:
  struct PendingAcquire {
    AcquireRequest request;
    absl::AnyInvocable<void(absl::StatusOr<gateway::Lease>)> done;
  };
  using AcquireAnswer = std::function<absl::StatusOr<gateway::Lease>(const AcquireRequest&)>;

  void AcquireLease(const AcquireRequest& request, absl::Duration,
                    absl::AnyInvocable<void(absl::StatusOr<gateway::Lease>)> done) override {
    std::shared_ptr<AcquireAnswer> answer;
    {
      absl::MutexLock lock(&mu_);
      requests_.push_back(request);
      answer = on_acquire_;
      if (answer == nullptr) {
        acquires.push_back({request, std::move(done)});
        return;
      }
    }
    done((*answer)(request));
  }

  // With no answer set, all leases are renewed.
  void RenewLeases(const std::vector<std::string>& lease_ids, absl::Duration,
                   absl::AnyInvocable<void(absl::StatusOr<Renewal>)> done) override {
    absl::StatusOr<Renewal> renewal = Renewal{.lease_ids = lease_ids, .time_to_live = absl::Seconds(30)};
    {
      absl::MutexLock lock(&mu_);
      renewals_.push_back(lease_ids);
      if (renewal_.has_value()) renewal = *renewal_;
    }
    done(std::move(renewal));
  }

  void ReleaseLeases(const std::vector<std::string>& lease_ids, absl::Duration,
                     absl::AnyInvocable<void(absl::Status)> done) override {
    {
      absl::MutexLock lock(&mu_);
      released_.insert(released_.end(), lease_ids.begin(), lease_ids.end());
    }
    done(absl::OkStatus());
  }

  void WatchLeases(absl::AnyInvocable<void(Events)> on_events,
                   absl::AnyInvocable<void(absl::Status)> on_end) override {
    absl::MutexLock lock(&mu_);
    ++watches_;
    on_events_ = std::move(on_events);
    on_end_ = std::move(on_end);
  }

  // ---- The test's side ----

  void set_on_acquire(AcquireAnswer answer) {
    absl::MutexLock lock(&mu_);
    on_acquire_ = answer == nullptr ? nullptr : std::make_shared<AcquireAnswer>(std::move(answer));
  }
  // Nothing: all are renewed again.
  void set_renewal(std::optional<absl::StatusOr<Renewal>> renewal) {
    absl::MutexLock lock(&mu_);
    renewal_ = std::move(renewal);
  }

  // Answers the oldest waiting request.
  void Answer(absl::StatusOr<gateway::Lease> lease) {
    PendingAcquire pending = std::move(acquires.front());
    acquires.pop_front();
    pending.done(std::move(lease));
  }

  void Send(Events events) { on_events_(std::move(events)); }
  void ConfirmWatch() { Send({}); }
  void EndWatch() {
    auto end = std::move(on_end_);
    end(gateway::SchedulerUnavailable("lease events", "connection reset"));
  }

  std::vector<AcquireRequest> requests() const {
    absl::MutexLock lock(&mu_);
    return requests_;
  }
  std::vector<std::vector<std::string>> renewals() const {
    absl::MutexLock lock(&mu_);
    return renewals_;
  }
  std::vector<std::string> released() const {
    absl::MutexLock lock(&mu_);
    return released_;
  }
  int watches() const {
    absl::MutexLock lock(&mu_);
    return watches_;
  }

  // One thread at a time.
  std::deque<PendingAcquire> acquires;

 private:
  mutable absl::Mutex mu_;
  std::shared_ptr<AcquireAnswer> on_acquire_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::StatusOr<Renewal>> renewal_ ABSL_GUARDED_BY(mu_);
  std::vector<AcquireRequest> requests_ ABSL_GUARDED_BY(mu_);
  std::vector<std::vector<std::string>> renewals_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> released_ ABSL_GUARDED_BY(mu_);
  int watches_ ABSL_GUARDED_BY(mu_) = 0;
  absl::AnyInvocable<void(Events)> on_events_;
  absl::AnyInvocable<void(absl::Status)> on_end_;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_FAKES_FAKE_SCHEDULER_CLIENT_H_
