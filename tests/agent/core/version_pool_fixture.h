#ifndef THAW_TESTS_AGENT_CORE_VERSION_POOL_FIXTURE_H_
#define THAW_TESTS_AGENT_CORE_VERSION_POOL_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "agent/pool/version_pool.h"
#include "agent/start/given.h"
#include "common/log/log.h"
#include "common/rpc/client.h"
#include "common/status/reasons.h"
#include "prometheus/registry.h"
#include "tests/fakes/fake_checkpointer.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_function.h"
#include "tests/fakes/fake_slots.h"
#include "tests/fakes/fake_starter.h"

namespace thaw::agent {

using Policy = thaw::common::v1::CheckpointPolicy;

inline constexpr absl::Duration kIdleTimeout = absl::Seconds(30);
// The pause of a checkpoint that is refused for good.
inline constexpr absl::Duration kForEver = absl::ZeroDuration();

inline VersionState MakeState() {
  VersionState state;
  auto& spec = *state.mutable_spec();
  spec.set_version_id("v1");
  spec.set_function_id("fn");
  spec.set_function_name("hello");
  spec.set_image_id("sha256:aa");
  spec.set_memory_mib(128);
  *spec.mutable_timeout() = ToProto(absl::Seconds(30));
  *spec.mutable_idle_timeout() = ToProto(kIdleTimeout);
  return state;
}

inline VersionState WithMode(Policy::Mode mode, VersionState state) {
  state.mutable_spec()->mutable_checkpoint()->set_mode(mode);
  return state;
}

inline VersionState WithSnapshot(const std::string& id, VersionState state) {
  state.mutable_snapshot()->set_id(id);
  return state;
}

// Empty until the call has ended.
using PendingCall = std::shared_ptr<std::optional<absl::StatusOr<CallResult>>>;

inline bool Succeeded(const PendingCall& call) { return call->has_value() && (*call)->ok(); }

// A pool of the version MakeState(), on a fake clock. Starts and checkpoints wait until the test runs them
// (`starts_`, `checkpoints_`), and function calls until it answers them.
class VersionPoolTest : public ::testing::Test, public PoolEvents {
 protected:
  VersionPoolTest() { Make(MakeState()); }
  // Calls without an answer hold the pool that waits for it.
  ~VersionPoolTest() override {
    for (const auto& function : starter_.functions) function->pending.clear();
  }

  PoolDeps Deps() {
    return PoolDeps{starter_, checkpointer_, slots_, *this, memory_, metrics_, starts_, checkpoints_, housekeeping_, clock_,
                    clock_, NullLogger()};
  }
  void Make(VersionState state) { pool_ = VersionPool::Create(std::move(state), options_, Deps()); }

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

  PendingCall Invoke(absl::Duration limit = absl::Seconds(60),
                     std::shared_ptr<Cancellation> cancellation = nullptr) {
    auto result = std::make_shared<std::optional<absl::StatusOr<CallResult>>>();
    Call call;
    call.deadline = clock_.Now() + limit;
    call.cancellation = std::move(cancellation);
    call.make_request = [](absl::Time) { return FunctionRequest(); };
    call.done = [result](absl::StatusOr<CallResult> answer) { result->emplace(std::move(answer)); };
    pool_->Invoke(std::move(call));
    return result;
  }

  // A call, and the starts that wait: its own, where no instance is free.
  PendingCall InvokeAndStart() {
    PendingCall call = Invoke();
    starts_.RunAll();
    return call;
  }

  // One whole call on a warm instance.
  void Warm(testing::FakeFunction& function) {
    const PendingCall call = Invoke();
    ASSERT_EQ(function.pending.size(), 1u);
    function.AnswerOk();
    ASSERT_TRUE(Succeeded(call));
  }

  // The first instance, idle after so many calls. The fifth makes the pool ask for a checkpoint (MakeState()'s policy).
  testing::FakeFunction& InstanceAfterCalls(int calls) {
    InvokeAndStart();
    testing::FakeFunction& function = *starter_.functions.at(0);
    function.AnswerOk();
    for (int call = 2; call <= calls; ++call) Warm(function);
    return function;
  }

  // The function goes away in the middle of its call.
  static void BreakCall(testing::FakeFunction& function) {
    function.Answer(MarkSent(WithReason(absl::InternalError("eof"), reason::kFunctionExited)));
  }

  // The scheduler's answers to the last checkpoint that was asked for.
  void Grant() {
    ASSERT_FALSE(wanted_.empty());
    pool_->OnCheckpointGrant(wanted_.back(), true, absl::ZeroDuration());
  }
  void Deny(absl::Duration pause, absl::string_view why = "") {
    ASSERT_FALSE(wanted_.empty());
    pool_->OnCheckpointGrant(wanted_.back(), false, pause, why);
  }

  // The scheduler chooses this node to freeze an instance of `state` ahead of its calls, and grants it: one is started.
  void OrderFreeze(VersionState state) {
    state.set_freeze_now(true);
    Make(state);
    pool_->Update(std::move(state));
    Grant();
    starts_.RunAll();
  }

  // What the first slot's init was told, but for starts; what it tells.
  std::vector<std::string> Orders() { return slots_.control(0)->Orders(); }
  Given LastGiven() {
    const auto control = slots_.control(0);
    absl::MutexLock lock(&control->mu);
    return control->last_given;
  }
  void Wish() {
    InitEvent wish;
    wish.kind = InitEvent::Kind::kCheckpointWished;
    slots_.control(0)->Tell(wish);
  }

  testing::FakeClock clock_;
  testing::FakeSlotFactory slots_;
  testing::FakeStarter starter_{slots_};
  testing::FakeCheckpointer checkpointer_;
  MemoryBudget memory_{1ull << 30};
  prometheus::Registry registry_;
  AgentMetrics metrics_{registry_};
  testing::FakeExecutor starts_{false};
  testing::FakeExecutor checkpoints_{false};
  testing::FakeExecutor housekeeping_{true};
  PoolOptions options_;
  std::shared_ptr<VersionPool> pool_;
  // The instances for which a checkpoint was asked, and what the last request said.
  std::vector<std::string> wanted_;
  std::uint64_t wanted_answered_ = 0;
  bool wanted_manual_ = false;
  std::vector<thaw::scheduler::v1::RestoreReport> reports_;
  std::vector<absl::StatusOr<thaw::common::v1::SnapshotInfo>> finished_;
  int room_asked_ = 0;
  bool room_ = false;
};

}  // namespace thaw::agent

#endif  // THAW_TESTS_AGENT_CORE_VERSION_POOL_FIXTURE_H_
