#include "agent/recovery/recovery.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/container/slot_spec.h"
#include "agent/pool/pool.h"
#include "common/log/log.h"
#include "tests/agent/core/version_pool_fixture.h"
#include "tests/fakes/fake_container_runtime.h"
#include "tests/fakes/fake_dialer.h"

namespace thaw::agent {
namespace {

class NoInit final : public SlotInitConnector {
 public:
  absl::StatusOr<std::unique_ptr<SlotInit>> Connect(const std::string&, absl::Time) override {
    return absl::DeadlineExceededError("no init answers");
  }
};

TEST_F(VersionPoolTest, RecoveryRemovesSlotsAndProbesOfItsNodeButNoAgentAndNothingOfOthers) {
  testing::FakeContainerRuntime runtime;
  const std::string image_id = runtime.AddImage(ImageContent());
  const auto make = [&](const std::string& name, const std::string& node, const std::string& role) {
    ContainerSpec spec;
    spec.name = name;
    spec.image_id = image_id;
    spec.command = {"/thaw/init", "--slot"};
    spec.labels = {{kNodeLabel, node}, {kRoleLabel, role}};
    ASSERT_TRUE(runtime.Create(spec, absl::InfiniteFuture()).ok());
  };
  make("slot-of-a", "a", kSlotRole);
  make("probe-of-a", "a", kProbeRole);
  // An agent may run in a container that carries its node's name.
  make("agent-a", "a", "agent");
  make("slot-of-b", "b", kSlotRole);

  testing::FakeDialer dialer;
  CriuEngine criu;
  const Engines engines(criu, criu);
  Restorer restorer(dialer, clock_, engines);
  NoInit connector;
  Pool pool(options_, Deps());
  Recovery recovery("a", Recovery::Deps{runtime, connector, restorer, pool, metrics_, clock_, Paths("/nowhere"), "tools",
                                        NullLogger()});
  ASSERT_TRUE(recovery.Run(absl::InfiniteFuture()).ok());
  std::vector<std::string> left;
  const auto containers = runtime.List({}, absl::InfiniteFuture());
  ASSERT_TRUE(containers.ok());
  for (const ContainerInfo& container : *containers) left.push_back(container.name);
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left, (std::vector<std::string>{"agent-a", "slot-of-b"}));
}

}  // namespace
}  // namespace thaw::agent
