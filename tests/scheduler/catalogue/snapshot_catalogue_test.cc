#include "scheduler/catalogue/snapshot_catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/rpc/client.h"
#include "common/status/reasons.h"
#include "prometheus/registry.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_store.h"
#include "tests/scheduler/support/test_scheduler.h"

namespace thaw::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::DigestId;
using Verdict = SnapshotCatalogue::Verdict;

class SnapshotCatalogueTest : public ::testing::Test {
 protected:
  SnapshotCatalogueTest() {
    for (int n : {1, 2}) {
      auto version = std::make_shared<common::v1::VersionSpec>();
      version->set_version_id(DigestId(n));
      version->set_function_id("F");
      version->set_function_name("fn");
      version->set_app_name("app");
      live_[DigestId(n)] = version;
    }
    Restart();
  }
  void Restart() { catalogue_ = std::make_unique<SnapshotCatalogue>(store_, clock_, metrics_, *store_.Load()); }

  static common::v1::SnapshotInfo Snapshot(int n, int version = 1) {
    common::v1::SnapshotInfo snapshot;
    snapshot.set_id(DigestId(n));
    snapshot.set_version_id(DigestId(version));
    return snapshot;
  }
  Verdict Add(int n, const std::string& node, bool other_usable = true, int version = 1) {
    auto verdict = catalogue_->AddHolder(Snapshot(n, version), node, *live_[DigestId(version)],
                                         [=](const auto&) { return other_usable; });
    EXPECT_TRUE(verdict.ok()) << verdict.status();
    return verdict.value_or(Verdict::kUnwanted);
  }
  SnapshotCatalogue::Reconciliation Reconcile(const std::string& node, std::vector<common::v1::SnapshotInfo> held,
                                              bool other_usable = true) {
    auto result = catalogue_->Reconcile(
        node, held,
        [this](absl::string_view id) -> VersionPtr {
          const auto it = live_.find(std::string(id));
          return it == live_.end() ? nullptr : it->second;
        },
        [=](const auto&) { return other_usable; });
    EXPECT_TRUE(result.ok()) << result.status();
    return result.value_or(SnapshotCatalogue::Reconciliation{});
  }
  std::vector<std::string> Holders(int n) {
    const auto snapshot = catalogue_->Get(DigestId(n));
    if (!snapshot.ok()) return {"not found"};
    return {snapshot->holders().begin(), snapshot->holders().end()};
  }

  using VersionPtr = std::shared_ptr<const common::v1::VersionSpec>;
  thaw::testing::FakeClock clock_;
  thaw::testing::FakeStore store_;
  prometheus::Registry registry_;
  SchedulerMetrics metrics_{registry_};
  std::map<std::string, VersionPtr> live_;
  std::unique_ptr<SnapshotCatalogue> catalogue_;
};

TEST_F(SnapshotCatalogueTest, APublishedSnapshotIsListedWithItsMakerAndItsFunction) {
  EXPECT_EQ(Add(10, "a"), Verdict::kKept);
  const auto list = catalogue_->List("");
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].function_id(), "F");
  EXPECT_EQ(list[0].function_name(), "fn");
  EXPECT_EQ(list[0].app_name(), "app");
  EXPECT_EQ(list[0].node_id(), "a");
  EXPECT_EQ(FromProto(list[0].created_at()), clock_.Now());
  EXPECT_THAT(Holders(10), ElementsAre("a"));
  EXPECT_EQ(catalogue_->List("other").size(), 0u);
}

TEST_F(SnapshotCatalogueTest, AFetchedCopyAddsAHolderAndItsMakerStays) {
  Add(10, "b");
  EXPECT_EQ(Add(10, "a"), Verdict::kKept);
  EXPECT_EQ(Add(10, "a"), Verdict::kKept);
  EXPECT_THAT(Holders(10), ElementsAre("a", "b"));
  EXPECT_EQ(catalogue_->Get(DigestId(10))->node_id(), "b");
}

TEST_F(SnapshotCatalogueTest, AVersionHasOneSnapshot) {
  Add(10, "a");
  EXPECT_EQ(Add(11, "b"), Verdict::kUnwanted);
  EXPECT_EQ(catalogue_->OfVersion(DigestId(1))->id(), DigestId(10));
}

TEST_F(SnapshotCatalogueTest, ANewSnapshotReplacesOneThatNobodyCanReachForGood) {
  Add(10, "lost");
  EXPECT_EQ(Add(11, "b", /*other_usable=*/false), Verdict::kKept);
  EXPECT_EQ(catalogue_->OfVersion(DigestId(1))->id(), DigestId(11));
  // The lost node comes back with the old one.
  EXPECT_EQ(Add(10, "lost", false), Verdict::kUnwanted);
  EXPECT_THAT(Holders(11), ElementsAre("b"));
}

TEST_F(SnapshotCatalogueTest, WhenNobodyHoldsItAnyMoreASnapshotLeavesTheCatalogue) {
  Add(10, "a");
  Add(10, "b");
  EXPECT_EQ(*catalogue_->RemoveHolder(DigestId(10), "a"), DigestId(1));
  EXPECT_THAT(Holders(10), ElementsAre("b"));
  EXPECT_EQ(*catalogue_->RemoveHolder(DigestId(10), "b"), DigestId(1));
  EXPECT_FALSE(catalogue_->OfVersion(DigestId(1)).has_value());
  EXPECT_EQ(store_.Load()->snapshots.size(), 0u);
  // Another one may take its place, even the same: a copy that was mended, say.
  EXPECT_EQ(Add(10, "a"), Verdict::kKept);
}

TEST_F(SnapshotCatalogueTest, AHolderThatIsNoneIsNotRemoved) {
  Add(10, "a");
  EXPECT_EQ(*catalogue_->RemoveHolder(DigestId(10), "b"), "");
  EXPECT_EQ(*catalogue_->RemoveHolder(DigestId(99), "a"), "");
}

TEST_F(SnapshotCatalogueTest, ADeletedSnapshotDoesNotComeBackWithAHolderThatWasAway) {
  Add(10, "a");
  Add(10, "away");
  const auto deleted = catalogue_->Delete(DigestId(10));
  ASSERT_TRUE(deleted.ok());
  EXPECT_EQ(deleted->holders_size(), 2);
  EXPECT_EQ(ReasonOf(catalogue_->Delete(DigestId(10)).status()), reason::kSnapshotNotFound);
  EXPECT_THAT(Reconcile("away", {Snapshot(10)}).unwanted_snapshot_ids, ElementsAre(DigestId(10)));
  Restart();
  EXPECT_THAT(Reconcile("away", {Snapshot(10)}).unwanted_snapshot_ids, ElementsAre(DigestId(10)));
  EXPECT_FALSE(catalogue_->OfVersion(DigestId(1)).has_value());
}

TEST_F(SnapshotCatalogueTest, ARegistrationStrikesOutCopiesThatAreGone) {
  Add(10, "a");
  Add(10, "b");
  const auto result = Reconcile("a", {});
  EXPECT_THAT(result.changed_version_ids, ElementsAre(DigestId(1)));
  EXPECT_THAT(Holders(10), ElementsAre("b"));
}

TEST_F(SnapshotCatalogueTest, ARegistrationBringsInACopyWhoseNewsWasLost) {
  const auto result = Reconcile("a", {Snapshot(10)});
  EXPECT_THAT(result.changed_version_ids, ElementsAre(DigestId(1)));
  EXPECT_THAT(result.unwanted_snapshot_ids, IsEmpty());
  EXPECT_THAT(Holders(10), ElementsAre("a"));
}

TEST_F(SnapshotCatalogueTest, ARegistrationThatSaysWhatIsKnownChangesNothing) {
  Add(10, "a");
  const int applied = store_.applied();
  const auto result = Reconcile("a", {Snapshot(10)});
  EXPECT_THAT(result.changed_version_ids, IsEmpty());
  EXPECT_EQ(store_.applied(), applied);
}

TEST_F(SnapshotCatalogueTest, ARegisteredCopyOfADeadVersionIsUnwanted) {
  EXPECT_THAT(Reconcile("a", {Snapshot(10, /*version=*/7)}).unwanted_snapshot_ids, ElementsAre(DigestId(10)));
}

TEST_F(SnapshotCatalogueTest, ANodeThatSwappedItsCopyForAnotherIsTakenAtItsWord) {
  Add(10, "a");
  const auto result = Reconcile("a", {Snapshot(11)});
  EXPECT_THAT(result.unwanted_snapshot_ids, IsEmpty());
  EXPECT_EQ(catalogue_->OfVersion(DigestId(1))->id(), DigestId(11));
}

TEST_F(SnapshotCatalogueTest, AForgottenNodeHoldsNothing) {
  Add(10, "a");
  Add(10, "b");
  Add(20, "a", true, /*version=*/2);
  EXPECT_THAT(*catalogue_->ForgetNode("a"), ElementsAre(DigestId(1), DigestId(2)));
  EXPECT_THAT(Holders(10), ElementsAre("b"));
  EXPECT_FALSE(catalogue_->OfVersion(DigestId(2)).has_value());
}

TEST_F(SnapshotCatalogueTest, AVersionsEndIsItsSnapshotsEndEvenIfTheVersionComesBack) {
  Add(10, "a");
  ASSERT_TRUE(catalogue_->DropVersion(DigestId(1)).ok());
  EXPECT_FALSE(catalogue_->OfVersion(DigestId(1)).has_value());
  EXPECT_EQ(Add(10, "a"), Verdict::kUnwanted);
  EXPECT_EQ(Add(11, "a"), Verdict::kKept);
}

TEST_F(SnapshotCatalogueTest, SnapshotsOfDeadVersionsAreDroppedAtStart) {
  Add(10, "a");
  Add(20, "a", true, /*version=*/2);
  Restart();
  ASSERT_TRUE(catalogue_->DropAllBut({DigestId(2)}).ok());
  EXPECT_FALSE(catalogue_->OfVersion(DigestId(1)).has_value());
  EXPECT_TRUE(catalogue_->OfVersion(DigestId(2)).has_value());
  EXPECT_EQ(store_.Load()->snapshots.size(), 1u);
}

TEST_F(SnapshotCatalogueTest, ARemovedSnapshotIsRememberedForAMonth) {
  Add(10, "a");
  ASSERT_TRUE(catalogue_->Delete(DigestId(10)).ok());
  clock_.Advance(absl::Hours(24 * 30));
  ASSERT_TRUE(catalogue_->DropAllBut({DigestId(1)}).ok());
  EXPECT_EQ(store_.Load()->removed_snapshots.size(), 1u);
  clock_.Advance(absl::Seconds(1));
  ASSERT_TRUE(catalogue_->DropAllBut({DigestId(1)}).ok());
  EXPECT_EQ(store_.Load()->removed_snapshots.size(), 0u);
}

TEST_F(SnapshotCatalogueTest, WhenTheStoreFailsNothingHasChanged) {
  Add(10, "a");
  store_.FailApply(absl::UnavailableError("no disk"));
  EXPECT_FALSE(catalogue_->AddHolder(Snapshot(10), "b", *live_[DigestId(1)], [](const auto&) { return true; }).ok());
  EXPECT_FALSE(catalogue_->RemoveHolder(DigestId(10), "a").ok());
  EXPECT_FALSE(catalogue_->Delete(DigestId(10)).ok());
  EXPECT_FALSE(catalogue_->DropVersion(DigestId(1)).ok());
  EXPECT_THAT(Holders(10), ElementsAre("a"));
}

TEST_F(SnapshotCatalogueTest, TheNewestIsListedFirst) {
  Add(10, "a");
  clock_.Advance(absl::Seconds(1));
  Add(20, "a", true, /*version=*/2);
  const auto list = catalogue_->List("");
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].id(), DigestId(20));
}

}  // namespace
}  // namespace thaw::scheduler
