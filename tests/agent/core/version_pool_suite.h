#ifndef THAW_TESTS_AGENT_CORE_VERSION_POOL_SUITE_H_
#define THAW_TESTS_AGENT_CORE_VERSION_POOL_SUITE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/pool/version_pool.h"
#include "agent/start/given.h"
#include "common/log/log.h"
#include "common/rpc/client.h"
#include "prometheus/registry.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_function.h"
#include "tests/fakes/fake_slots.h"

// A version's pool with fakes for all that it works with, and the fakes of its own.
namespace thaw::agent {

using testing::FakeClock;
using testing::FakeExecutor;
using testing::FakeFunction;
using testing::FakeFunctionConnection;
using testing::FakeSlotFactory;

constexpr absl::Duration kIdleTimeout = absl::Seconds(30);

inline VersionState MakeState(const std::string& version = "v1") {
  VersionState state;
  auto& spec = *state.mutable_spec();
  spec.set_version_id(version);
  spec.set_function_id("fn");
  spec.set_function_name("hello");
  spec.set_image_id("sha256:aa");
  spec.set_memory_mib(128);
  *spec.mutable_timeout() = ToProto(absl::Seconds(30));
  *spec.mutable_idle_timeout() = ToProto(kIdleTimeout);
  return state;
}

// Starts take no time but the test's: each waits until the test finishes it.
class FakeStarter final : public InstanceStarter {
 public:
  explicit FakeStarter(SlotFactory& slots) : slots_(slots) {}

  absl::StatusOr<StartedInstance> Start(StartRequest request) override {
    ++starts;
    had_slot = request.slot != nullptr;
    if (!next_result.ok()) return next_result;
    StartedInstance started;
    started.slot = request.slot != nullptr ? std::move(request.slot) : *slots_.Create(request.version, absl::InfiniteFuture());
    functions.push_back(std::make_shared<FakeFunction>());
    started.connection = std::make_unique<FakeFunctionConnection>(functions.back());
    started.record.kind = request.version.has_snapshot() ? StartKind::kRestored : StartKind::kCold;
    started.record.phases.restore = absl::Milliseconds(40);
    awaits_freeze = request.awaits_freeze;
    started.sealed = HasLateSecrets(request.version) && (request.version.has_snapshot() || !request.awaits_freeze);
    started.answered_before = request.version.has_snapshot() ? request.version.snapshot().invocations() : 0;
    return started;
  }

  int starts = 0;
  bool had_slot = false;
  bool awaits_freeze = false;
  absl::Status next_result;
  std::deque<std::shared_ptr<FakeFunction>> functions;

 private:
  SlotFactory& slots_;
};

class FakeCheckpointer final : public Checkpointer {
 public:
  FrozenInstance Freeze(const CheckpointRequest& request) override {
    ++freezes;
    answered = request.answered;
    FrozenInstance frozen;
    frozen.sealed = seals;
    frozen.status = freeze_result;
    frozen.instance = after;
    return frozen;
  }
  absl::StatusOr<Published> Publish(const CheckpointRequest&, const FrozenInstance&, std::unique_ptr<Slot> canary) override {
    if (!publish_result.ok()) return publish_result;
    Published published;
    published.snapshot.set_id("snap1");
    published.snapshot.set_invocations(answered);
    published.canary_slot = std::move(canary);
    return published;
  }
  int freezes = 0;
  bool seals = false;
  std::uint64_t answered = 0;
  absl::Status freeze_result;
  absl::Status publish_result;
  InstanceAfter after = InstanceAfter::kServing;
};

class VersionPoolTest : public ::testing::Test, public PoolEvents {
 protected:
  VersionPoolTest() { Make(MakeState()); }

  void Make(VersionState state) {
    pool_ = VersionPool::Create(std::move(state), options_,
                                PoolDeps{starter_, checkpointer_, slots_, *this, memory_, metrics_, starts_, checkpoints_,
                                         housekeeping_, clock_, clock_, NullLogger()});
  }

  // PoolEvents
  void WantsCheckpoint(const std::string&, const std::string& instance_id, std::uint64_t answered, bool manual) override {
    wanted_.push_back(instance_id);
    wanted_answered_ = answered;
    wanted_manual_ = manual;
  }
  void RestoreMeasured(const thaw::scheduler::v1::RestoreReport& report) override { reports_.push_back(report); }
  void CheckpointFinished(const std::string&, const std::string&,
                          const absl::StatusOr<thaw::common::v1::SnapshotInfo>& result) override {
    finished_.push_back(result);
  }
  bool MakeRoom(const std::string&, std::uint64_t) override {
    ++room_asked_;
    return room_;
  }

  std::shared_ptr<std::optional<absl::StatusOr<CallResult>>> Invoke(absl::Duration limit = absl::Seconds(60)) {
    auto result = std::make_shared<std::optional<absl::StatusOr<CallResult>>>();
    Call call;
    call.deadline = clock_.Now() + limit;
    call.make_request = [](absl::Time) { return FunctionRequest(); };
    call.done = [result](absl::StatusOr<CallResult> answer) { result->emplace(std::move(answer)); };
    pool_->Invoke(std::move(call));
    return result;
  }

  // One whole call on a warm instance.
  void Warm(FakeFunction& function) {
    const auto result = Invoke();
    ASSERT_EQ(function.pending.size(), 1u);
    function.AnswerOk();
    ASSERT_TRUE(result->has_value());
    ASSERT_TRUE((*result)->ok());
  }

  FakeClock clock_;
  FakeSlotFactory slots_;
  FakeStarter starter_{slots_};
  FakeCheckpointer checkpointer_;
  MemoryBudget memory_{1ull << 30};
  prometheus::Registry registry_;
  AgentMetrics metrics_{registry_};
  FakeExecutor starts_{false};
  FakeExecutor checkpoints_{false};
  FakeExecutor housekeeping_{true};
  PoolOptions options_;
  std::shared_ptr<VersionPool> pool_;
  std::vector<std::string> wanted_;
  std::uint64_t wanted_answered_ = 0;
  bool wanted_manual_ = false;
  std::vector<thaw::scheduler::v1::RestoreReport> reports_;
  std::vector<absl::StatusOr<thaw::common::v1::SnapshotInfo>> finished_;
  int room_asked_ = 0;
  bool room_ = false;
};

}  // namespace thaw::agent

#endif  // THAW_TESTS_AGENT_CORE_VERSION_POOL_SUITE_H_
