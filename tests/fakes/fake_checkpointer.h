#ifndef THAW_TESTS_FAKES_FAKE_CHECKPOINTER_H_
#define THAW_TESTS_FAKES_FAKE_CHECKPOINTER_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/pool/version_pool.h"

namespace thaw::testing {

// Publishes `snap1`, or fails on command. One thread.
class FakeCheckpointer final : public agent::Checkpointer {
 public:
  agent::FrozenInstance Freeze(const agent::CheckpointRequest& request) override {
    ++freezes;
    answered = request.answered;
    agent::FrozenInstance frozen;
    frozen.sealed = seals;
    frozen.status = freeze_result;
    frozen.instance = after;
    return frozen;
  }
  absl::StatusOr<Published> Publish(const agent::CheckpointRequest&, const agent::FrozenInstance&,
                                    std::unique_ptr<agent::Slot> canary) override {
    if (!publish_result.ok()) return publish_result;
    Published published;
    published.snapshot.set_id("snap1");
    published.snapshot.set_invocations(answered);
    published.canary_slot = std::move(canary);
    return published;
  }

  int freezes = 0;
  // Of the last freeze.
  std::uint64_t answered = 0;
  bool seals = false;
  absl::Status freeze_result;
  absl::Status publish_result;
  agent::InstanceAfter after = agent::InstanceAfter::kServing;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_FAKES_FAKE_CHECKPOINTER_H_
