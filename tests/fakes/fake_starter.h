#ifndef THAW_TESTS_FAKES_FAKE_STARTER_H_
#define THAW_TESTS_FAKES_FAKE_STARTER_H_

#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/pool/version_pool.h"
#include "agent/start/given.h"
#include "tests/fakes/fake_function.h"

namespace thaw::testing {

// Starts instances of fake functions at once, or fails on command. One thread; `slots` must outlive it.
class FakeStarter final : public agent::InstanceStarter {
 public:
  explicit FakeStarter(agent::SlotFactory& slots) : slots_(slots) {}

  absl::StatusOr<agent::StartedInstance> Start(agent::StartRequest request) override {
    ++starts;
    had_slot = request.slot != nullptr;
    awaits_freeze = request.awaits_freeze;
    replaced = request.replaced;
    if (!next_result.ok()) return next_result;
    const bool restored = request.version.has_snapshot();
    agent::StartedInstance started;
    started.slot =
        request.slot != nullptr ? std::move(request.slot) : *slots_.Create(request.version, absl::InfiniteFuture());
    if (connect) {
      started.connection = connect();
    } else {
      functions.push_back(std::make_shared<FakeFunction>());
      started.connection = std::make_unique<FakeFunctionConnection>(functions.back());
    }
    started.record.kind = restored ? agent::StartKind::kRestored : agent::StartKind::kCold;
    started.record.phases.restore = absl::Milliseconds(40);
    started.sealed = agent::HasLateSecrets(request.version) && (restored || !request.awaits_freeze);
    started.answered_before = restored ? request.version.snapshot().invocations() : 0;
    return started;
  }

  int starts = 0;
  // Of the last start.
  bool had_slot = false;
  bool awaits_freeze = false;
  decltype(agent::StartRequest::replaced) replaced;
  absl::Status next_result;
  // Where set, makes the connections in place of those to `functions`.
  std::function<std::unique_ptr<agent::FunctionConnection>()> connect;
  // In the order of their starts.
  std::deque<std::shared_ptr<FakeFunction>> functions;

 private:
  agent::SlotFactory& slots_;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_FAKES_FAKE_STARTER_H_
