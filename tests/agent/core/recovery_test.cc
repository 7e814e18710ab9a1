#include "agent/recovery/recovery.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "agent/container/slot_spec.h"
#include "agent/pool/pool.h"
#include "common/log/log.h"
#include "tests/agent/core/version_pool_fixture.h"
#include "tests/agent/snapshot/sample_tree.h"
#include "tests/fakes/fake_container_runtime.h"
#include "tests/fakes/fake_dialer.h"
#include "tests/fakes/fake_snapshot_store.h"

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
  testing::FakeSnapshotStore store;
  Recovery recovery("a", Recovery::Deps{runtime, connector, restorer, pool, metrics_, clock_, Paths("/nowhere"), "tools",
                                        NullLogger(), store});
  ASSERT_TRUE(recovery.Run(absl::InfiniteFuture()).ok());
  std::vector<std::string> left;
  const auto containers = runtime.List({}, absl::InfiniteFuture());
  ASSERT_TRUE(containers.ok());
  for (const ContainerInfo& container : *containers) left.push_back(container.name);
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left, (std::vector<std::string>{"agent-a", "slot-of-b"}));
}

TEST_F(VersionPoolTest, RecoveryRemovesLaidOutSnapshotsThatTheStoreDoesNotHave) {
  const testing::TempDir dir;
  const Paths paths(dir.path());
  testing::FakeContainerRuntime runtime;
  testing::FakeDialer dialer;
  CriuEngine criu;
  const Engines engines(criu, criu);
  Restorer restorer(dialer, clock_, engines);
  NoInit connector;
  Pool pool(options_, Deps());
  const VersionState state = MakeState();
  pool.Apply(state);
  testing::FakeSnapshotStore store;
  const auto manifest = store.Publish("dump", testing::DraftManifest(state.spec().version_id()));
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  const std::string volume = paths.Cracdata(state.spec().version_id());
  const std::string kept = absl::StrCat(volume, "/", manifest->info().id());
  const std::string quarantined = absl::StrCat(volume, "/", std::string(32, 'b'));
  for (const std::string& laid_out : {kept, quarantined}) std::filesystem::create_directories(laid_out + "/images");
  Recovery recovery("a", Recovery::Deps{runtime, connector, restorer, pool, metrics_, clock_, paths, "tools", NullLogger(),
                                        store});
  ASSERT_TRUE(recovery.Run(absl::InfiniteFuture()).ok());
  EXPECT_TRUE(std::filesystem::exists(kept));
  EXPECT_FALSE(std::filesystem::exists(quarantined)) << "it was given up by the agent's former self, as by an older one";
}

}  // namespace
}  // namespace thaw::agent
