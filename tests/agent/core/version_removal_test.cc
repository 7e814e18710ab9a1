// What a version leaves on the disk goes when nothing of it runs here any more, and not when it has come back
// meanwhile.
#include "agent/recovery/version_removal.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "agent/pool/pool.h"
#include "tests/agent/core/version_pool_fixture.h"
#include "tests/fakes/fake_snapshot_store.h"

namespace thaw::agent {
namespace {

namespace fs = std::filesystem;
using testing::FakeFunction;
using testing::FakeSnapshotStore;

class VersionRemovalTest : public VersionPoolTest {
 protected:
  VersionRemovalTest() {
    char pattern[] = "/tmp/thaw-removal-XXXXXX";
    root_ = mkdtemp(pattern);
    paths_ = std::make_unique<Paths>(root_);
    removal_ = std::make_unique<VersionRemoval>(VersionRemoval::Deps{slots_, store_, *paths_, clock_, NullLogger()});
    pools_ = std::make_unique<Pool>(options_, Deps());
    pool_ = pools_->Apply(MakeState());
  }
  ~VersionRemovalTest() override { fs::remove_all(root_); }

  // As the agent does it, at once.
  void Remove() {
    pools_->Remove("v1", [this] {
      ++drained_;
      removal_->Remove(*pools_, "v1");
    });
  }
  void Publish() {
    v1::Manifest draft;
    draft.set_format(1);
    draft.mutable_info()->set_version_id("v1");
    ASSERT_TRUE(store_.Publish("dump", draft).ok());
    fs::create_directories(paths_->Cracdata("v1") + "/snap");
  }
  bool DirectoryStands() const { return fs::exists(paths_->Cracdata("v1") + "/snap"); }

  std::string root_;
  std::unique_ptr<Paths> paths_;
  FakeSnapshotStore store_;
  std::unique_ptr<VersionRemoval> removal_;
  std::unique_ptr<Pool> pools_;
  int drained_ = 0;
};

TEST_F(VersionRemovalTest, ARemovedVersionsSnapshotsAndDirectoryGoWhenItsLastCallHasEnded) {
  Publish();
  v1::Manifest other;
  other.set_format(1);
  other.mutable_info()->set_version_id("v2");
  ASSERT_TRUE(store_.Publish("dump2", other).ok());
  const auto call = InvokeAndStart();
  Remove();
  EXPECT_TRUE(DirectoryStands()) << "a call is under way";
  starter_.functions.at(0)->AnswerOk();
  EXPECT_TRUE(Succeeded(call));
  EXPECT_EQ(drained_, 1);
  EXPECT_FALSE(fs::exists(paths_->Version("v1")));
  ASSERT_EQ(store_.List().size(), 1u);
  EXPECT_EQ(store_.List()[0].version_id(), "v2");
}

TEST_F(VersionRemovalTest, ALateDrainLeavesAVersionThatHasComeBack) {
  const auto call = InvokeAndStart();
  Remove();
  const auto back = pools_->Apply(MakeState());
  Publish();
  starter_.functions.at(0)->AnswerOk();
  EXPECT_TRUE(Succeeded(call));
  EXPECT_TRUE(DirectoryStands());
  EXPECT_EQ(store_.List().size(), 1u);
  Remove();
  EXPECT_EQ(drained_, 1) << "it has gone for good";
  EXPECT_FALSE(DirectoryStands());
  EXPECT_TRUE(store_.List().empty());
}

TEST_F(VersionRemovalTest, TheLastOfTwoPoolsOfOneVersionThatDrainIsTheOneThatCounts) {
  Publish();
  const auto call = InvokeAndStart();
  Remove();
  pools_->Apply(MakeState());
  Remove();
  EXPECT_EQ(drained_, 0) << "the first one's call is under way";
  Remove();
  EXPECT_EQ(drained_, 0) << "nor is it unknown";
  EXPECT_TRUE(DirectoryStands());
  starter_.functions.at(0)->AnswerOk();
  EXPECT_EQ(drained_, 1);
  EXPECT_FALSE(DirectoryStands());
}

TEST_F(VersionRemovalTest, ADrainedVersionThatComesBackBeforeItsRemovalBeginsStands) {
  Publish();
  pools_->Remove("v1", [] {});
  pools_->Apply(MakeState());
  EXPECT_TRUE(removal_->Remove(*pools_, "v1").empty());
  EXPECT_TRUE(DirectoryStands());
  EXPECT_EQ(store_.List().size(), 1u);
}

TEST_F(VersionRemovalTest, ASlotOfAVersionThatComesBackDuringItsRemovalIsMadeAfterIt) {
  Publish();
  pools_->Remove("v1", [] {});
  absl::Notification removing, go_on;
  store_.BeforeNext(FakeSnapshotStore::Op::kRemove, [&] {
    removing.Notify();
    go_on.WaitForNotification();
  });
  std::thread remover([&] { EXPECT_EQ(removal_->Remove(*pools_, "v1").size(), 1u); });
  removing.WaitForNotification();
  pools_->Apply(MakeState());
  // Another version's is not held up.
  VersionState other = MakeState();
  other.mutable_spec()->set_version_id("v2");
  EXPECT_TRUE(removal_->Create(other, clock_.Now()).ok());
  const auto early = removal_->Create(MakeState(), clock_.Now());
  EXPECT_TRUE(absl::IsDeadlineExceeded(early.status())) << early.status();
  EXPECT_EQ(slots_.created(), 1);
  go_on.Notify();
  remover.join();
  EXPECT_TRUE(removal_->Create(MakeState(), clock_.Now()).ok());
}

}  // namespace
}  // namespace thaw::agent
