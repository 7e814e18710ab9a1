#ifndef THAW_TESTS_SCHEDULER_SUPPORT_TEST_SCHEDULER_H_
#define THAW_TESTS_SCHEDULER_SUPPORT_TEST_SCHEDULER_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "prometheus/registry.h"
#include "scheduler/metrics.h"
#include "scheduler/scheduler.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_store.h"

namespace thaw::scheduler::testing {

// `n` as 32 hex digits: an id of a version or snapshot.
inline std::string DigestId(int n) { return absl::StrCat(absl::Hex(n, absl::kZeroPad16), absl::Hex(n, absl::kZeroPad16)); }
// `n` as an image's id.
inline std::string ImageId(int n) { return absl::StrCat("sha256:", DigestId(n), DigestId(n)); }

// The value of one series in a registry's text, e.g. `thaw_scheduler_leases_ended_total{cause="expired"}`; -1 when it
// is not there.
inline double MetricValue(const prometheus::Registry& registry, const std::string& series) {
  const std::string text = RenderMetrics(registry);
  const std::string line = absl::StrCat("\n", series, " ");
  const std::size_t at = text.find(line);
  return at == std::string::npos ? -1 : std::stod(text.substr(at + line.size()));
}

// A node's stream whose other end is the test.
class FakeNodeLink final : public NodeLink {
 public:
  void Send(v1::SchedulerMessage message) override {
    absl::MutexLock lock(&mu_);
    if (!closed_.has_value()) sent_.push_back(std::move(message));
  }
  void Close(absl::Status status) override {
    absl::MutexLock lock(&mu_);
    if (!closed_.has_value()) closed_ = std::move(status);
  }

  // What was sent since the last call.
  std::vector<v1::SchedulerMessage> Take() {
    absl::MutexLock lock(&mu_);
    return std::exchange(sent_, {});
  }
  std::optional<absl::Status> closed() const {
    absl::MutexLock lock(&mu_);
    return closed_;
  }

 private:
  mutable absl::Mutex mu_;
  std::vector<v1::SchedulerMessage> sent_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Status> closed_ ABSL_GUARDED_BY(mu_);
};

// A gateway's subscription whose other end is the test.
class FakeLeaseWatcher final : public LeaseWatcher {
 public:
  void OnLeasesEnded(const std::vector<std::string>& lease_ids) override {
    ended.insert(ended.end(), lease_ids.begin(), lease_ids.end());
  }
  void OnFunctionsChanged(const std::vector<std::string>& function_ids) override {
    changed.insert(changed.end(), function_ids.begin(), function_ids.end());
  }
  void OnStopping() override { stopping = true; }

  std::vector<std::string> ended, changed;
  bool stopping = false;
};

// A scheduler on simulated time over a store in memory; Restart() replaces its process. One thread.
class TestScheduler {
 public:
  explicit TestScheduler(Scheduler::Options options = {}) : options_(options) { Restart(); }

  // Of what the key of the secrets is made.
  char sealing_byte = 'k';

  // Another process over the same store: what was in memory is gone.
  void Restart() {
    scheduler_.reset();
    metrics_.reset();
    registry_ = std::make_unique<prometheus::Registry>();
    metrics_ = std::make_unique<SchedulerMetrics>(*registry_);
    auto scheduler = Scheduler::Create(
        options_, {store, clock, clock, writer_, *metrics_, NullLogger(), SealingKey(std::string(SealingKey::kBytes, sealing_byte))});
    if (!scheduler.ok()) std::abort();
    scheduler_ = *std::move(scheduler);
  }

  Scheduler* operator->() { return scheduler_.get(); }
  Scheduler& operator*() { return *scheduler_; }

  double Metric(const std::string& series) const { return MetricValue(*registry_, series); }

  // An app and a function of the given image; returns the function.
  common::v1::Function MakeFunction(const std::string& app, const std::string& name, int image = 1,
                                    std::uint32_t memory_mib = 128) {
    if (!scheduler_->catalogue().GetApp("", app).ok()) {
      common::v1::App input;
      input.set_name(app);
      if (!scheduler_->catalogue().CreateApp(input).ok()) std::abort();
    }
    common::v1::Function function;
    function.set_app_id(scheduler_->catalogue().GetApp("", app)->id());
    function.set_name(name);
    function.set_image(absl::StrCat("image", image, ":1"));
    if (image > 0) function.set_image_id(ImageId(image));
    function.set_memory_mib(memory_mib);
    auto made = scheduler_->catalogue().CreateFunction(function);
    if (!made.ok()) std::abort();
    return *made;
  }

  static v1::Register Registration(const std::string& id, std::uint64_t memory_mib = 1024, std::uint32_t cpus = 2) {
    v1::Register registration;
    common::v1::Node& node = *registration.mutable_node();
    node.set_id(id);
    node.set_address(absl::StrCat(id, ".example:7300"));
    node.set_memory_total_bytes(memory_mib << 20);
    node.set_cpus(cpus);
    node.set_architecture("x86_64");
    return registration;
  }

  // Opens a node's stream.
  Cluster::Session Join(const v1::Register& registration, std::shared_ptr<FakeNodeLink> link = nullptr) {
    if (link == nullptr) link = std::make_shared<FakeNodeLink>();
    auto session = scheduler_->cluster().Connect(registration, link);
    if (!session.ok()) std::abort();
    return *session;
  }
  Cluster::Session Join(const std::string& id, std::shared_ptr<FakeNodeLink> link = nullptr) {
    return Join(Registration(id), std::move(link));
  }

  absl::Status Heartbeat(const Cluster::Session& session, const v1::Heartbeat& heartbeat = {}) {
    v1::NodeMessage message;
    *message.mutable_heartbeat() = heartbeat;
    return scheduler_->cluster().OnMessage(session, message);
  }

  static common::v1::SnapshotInfo Snapshot(int n, const std::string& version_id) {
    common::v1::SnapshotInfo snapshot;
    snapshot.set_id(DigestId(n));
    snapshot.set_version_id(version_id);
    snapshot.set_raw_bytes(20 << 20);
    snapshot.set_stored_bytes(4 << 20);
    snapshot.set_engine("criu 4.1.1");
    snapshot.set_architecture("x86_64");
    return snapshot;
  }

  absl::Status Publish(const Cluster::Session& session, const common::v1::SnapshotInfo& snapshot,
                       const std::string& instance = "i1") {
    v1::NodeMessage message;
    v1::CheckpointResult& result = *message.mutable_checkpoint_result();
    result.set_version_id(snapshot.version_id());
    result.set_instance_id(instance);
    *result.mutable_snapshot() = snapshot;
    return scheduler_->cluster().OnMessage(session, message);
  }
  absl::Status FailCheckpoint(const Cluster::Session& session, const std::string& version_id, const std::string& error,
                              const std::string& instance = "i1") {
    v1::NodeMessage message;
    v1::CheckpointResult& result = *message.mutable_checkpoint_result();
    result.set_version_id(version_id);
    result.set_instance_id(instance);
    result.set_error(error);
    return scheduler_->cluster().OnMessage(session, message);
  }
  absl::Status Hold(const Cluster::Session& session, const common::v1::SnapshotInfo& snapshot) {
    v1::NodeMessage message;
    *message.mutable_snapshot_held()->mutable_snapshot() = snapshot;
    return scheduler_->cluster().OnMessage(session, message);
  }
  absl::Status Gone(const Cluster::Session& session, const std::string& snapshot_id) {
    v1::NodeMessage message;
    message.mutable_snapshot_gone()->set_snapshot_id(snapshot_id);
    message.mutable_snapshot_gone()->set_reason("damaged");
    return scheduler_->cluster().OnMessage(session, message);
  }
  // The answer to a request to freeze `instance`, read from the node's link.
  v1::CheckpointGrant AskToFreeze(const Cluster::Session& session, FakeNodeLink& link, const std::string& version_id,
                                  const std::string& instance = "i1") {
    link.Take();
    v1::NodeMessage message;
    message.mutable_checkpoint_request()->set_version_id(version_id);
    message.mutable_checkpoint_request()->set_instance_id(instance);
    if (!scheduler_->cluster().OnMessage(session, message).ok()) std::abort();
    for (const auto& sent : link.Take()) {
      if (sent.has_checkpoint_grant()) return sent.checkpoint_grant();
    }
    std::abort();
  }

  absl::StatusOr<v1::Lease> Acquire(const std::string& path, const std::string& gateway = "gw",
                                    const std::vector<std::string>& excluded = {}, const std::string& pinned = "") {
    v1::AcquireLeaseRequest request;
    request.set_gateway_id(gateway);
    request.set_function_path(path);
    for (const auto& node : excluded) request.add_excluded_nodes(node);
    request.set_pinned_node(pinned);
    return scheduler_->issuer().Acquire(request);
  }
  // The ids of `lease_ids` that still hold.
  std::vector<std::string> Renew(const std::vector<std::string>& lease_ids, const std::string& gateway = "gw") {
    v1::RenewLeasesRequest request;
    request.set_gateway_id(gateway);
    for (const auto& id : lease_ids) request.add_lease_ids(id);
    const auto response = scheduler_->issuer().Renew(request);
    if (!response.ok()) std::abort();
    return {response->lease_ids().begin(), response->lease_ids().end()};
  }

  thaw::testing::FakeClock clock;
  thaw::testing::FakeStore store;

 private:
  const Scheduler::Options options_;
  thaw::testing::FakeExecutor writer_;
  std::unique_ptr<prometheus::Registry> registry_;
  std::unique_ptr<SchedulerMetrics> metrics_;
  std::unique_ptr<Scheduler> scheduler_;
};

}  // namespace thaw::scheduler::testing

#endif  // THAW_TESTS_SCHEDULER_SUPPORT_TEST_SCHEDULER_H_
