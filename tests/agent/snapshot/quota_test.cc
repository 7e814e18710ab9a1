#include "agent/snapshot/quota.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/snapshot/manifest.h"
#include "common/log/log.h"
#include "tests/agent/snapshot/sample_tree.h"
#include "tests/fakes/fake_clock.h"

namespace thaw::agent {
namespace {

using thaw::testing::DraftManifest;
using thaw::testing::PageLikeBytes;
using thaw::testing::TempDir;

constexpr absl::Duration kRecent = absl::Minutes(2);

class QuotaTest : public ::testing::Test {
 protected:
  QuotaTest() { Open(0); }

  void Open(std::uint64_t bytes) {
    quota_.reset();
    store_.reset();
    DiskSnapshotStore::Options options;
    options.root = dir_.path() + "/store";
    options.clock = &clock_;
    options.make_room = [this](std::uint64_t wanted) { return quota_->MakeRoom(wanted); };
    store_ = *DiskSnapshotStore::Open(std::move(options));
    quota_ = std::make_unique<SnapshotQuota>(
        SnapshotQuota::Options{bytes, kRecent},
        SnapshotQuota::Deps{*store_,
                            [this](const thaw::common::v1::SnapshotInfo& info) {
                              const auto it = standing_.find(info.version_id());
                              return it == standing_.end() ? SnapshotStanding::kNotCurrent : it->second;
                            },
                            [this](const std::string& id, const std::string& reason) {
                              evicted_.push_back(id);
                              reasons_.push_back(reason);
                            },
                            clock_, NullLogger()});
  }
  // A snapshot of some 100 KiB that shares nothing with those of other versions.
  absl::StatusOr<std::string> Publish(const std::string& version) {
    const std::string source = dir_.Sub("dump-" + version);
    const auto seed = static_cast<unsigned>(std::hash<std::string>()(version));
    testing::WriteFile(source + "/pages", PageLikeBytes(200 << 10, seed));
    const auto manifest = store_->Publish(source, DraftManifest(version));
    std::filesystem::remove_all(source);
    if (!manifest.ok()) return manifest.status();
    return manifest->info().id();
  }
  std::string MustPublish(const std::string& version) {
    const auto id = Publish(version);
    EXPECT_TRUE(id.ok()) << id.status();
    clock_.Advance(kRecent);
    return id.value_or("");
  }
  // Of all that is here and half of such a one more: room for no other, until one goes.
  void LimitToWhatIsHere() {
    const std::uint64_t one = store_->stored_bytes() / store_->List().size();
    Open(store_->stored_bytes() + one / 2);
  }
  std::set<std::string> Here() {
    std::set<std::string> ids;
    for (const auto& info : store_->List()) ids.insert(info.id());
    return ids;
  }

  TempDir dir_;
  testing::FakeClock clock_;
  std::map<std::string, SnapshotStanding> standing_;
  std::vector<std::string> evicted_, reasons_;
  std::unique_ptr<SnapshotQuota> quota_;
  std::unique_ptr<DiskSnapshotStore> store_;
};

TEST_F(QuotaTest, WithoutALimitNothingIsEvicted) {
  for (const char* version : {"v1", "v2", "v3"}) MustPublish(version);
  EXPECT_TRUE(quota_->MakeRoom(1ull << 60).ok());
  EXPECT_EQ(Here().size(), 3u);
}

TEST_F(QuotaTest, LeastRecentlyUsedGoesFirst) {
  const std::string v1 = MustPublish("v1"), v2 = MustPublish("v2");
  LimitToWhatIsHere();
  ASSERT_TRUE(store_->GetManifest(v2).ok());
  clock_.Advance(absl::Seconds(1));
  ASSERT_TRUE(store_->GetManifest(v1).ok());
  clock_.Advance(kRecent);
  const std::string v3 = MustPublish("v3");
  EXPECT_EQ(Here(), (std::set<std::string>{v1, v3}));
  EXPECT_EQ(evicted_, std::vector<std::string>{v2});
}

TEST_F(QuotaTest, WhatNoVersionRestoresFromGoesBeforeWhatOthersHold) {
  const std::string v1 = MustPublish("v1"), v2 = MustPublish("v2");
  LimitToWhatIsHere();
  standing_["v1"] = SnapshotStanding::kHeldElsewhere;
  clock_.Advance(kRecent);
  const std::string v3 = MustPublish("v3");
  EXPECT_EQ(evicted_, std::vector<std::string>{v2}) << "although v1 is older";
  standing_["v3"] = SnapshotStanding::kKeep;
  const std::string v4 = MustPublish("v4");
  EXPECT_EQ(Here(), (std::set<std::string>{v3, v4}));
  ASSERT_EQ(reasons_.size(), 2u);
  EXPECT_TRUE(absl::StrContains(reasons_[1], "other nodes hold it")) << reasons_[1];
}

TEST_F(QuotaTest, LastCopyOfACurrentSnapshotStaysAndTheNewOneIsRefusedWithTheRemedy) {
  const std::string v1 = MustPublish("v1"), v2 = MustPublish("v2");
  LimitToWhatIsHere();
  standing_ = {{"v1", SnapshotStanding::kKeep}, {"v2", SnapshotStanding::kKeep}};
  clock_.Advance(kRecent);
  const std::uint64_t before = store_->stored_bytes();
  const absl::Status refused = Publish("v3").status();
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_TRUE(absl::StrContains(refused.message(), "--snapshot-store-bytes")) << refused;
  EXPECT_TRUE(absl::StrContains(refused.message(), "thaw snapshot rm")) << refused;
  EXPECT_EQ(Here(), (std::set<std::string>{v1, v2}));
  EXPECT_EQ(store_->stored_bytes(), before) << "its chunks are gone";
}

TEST_F(QuotaTest, NothingIsEvictedInVain) {
  const std::string v1 = MustPublish("v1");
  Open(store_->stored_bytes() / 2);
  clock_.Advance(kRecent);
  EXPECT_TRUE(absl::IsResourceExhausted(Publish("v2").status()));
  EXPECT_EQ(Here(), std::set<std::string>{v1});
}

TEST_F(QuotaTest, WhatIsInUseStays) {
  const std::string v1 = MustPublish("v1"), v2 = MustPublish("v2");
  LimitToWhatIsHere();
  clock_.Advance(kRecent);
  std::shared_ptr<void> use = store_->Use(v1);
  const std::shared_ptr<void> other = store_->Use(v2);
  clock_.Advance(10 * kRecent);
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->Evict(v1)));
  EXPECT_TRUE(absl::IsResourceExhausted(Publish("v3").status()));
  use.reset();
  EXPECT_TRUE(absl::IsResourceExhausted(Publish("v3").status())) << "another node may be fetching it";
  clock_.Advance(kRecent);
  EXPECT_TRUE(Publish("v3").ok());
  EXPECT_EQ(evicted_, std::vector<std::string>{v1});
}

TEST_F(QuotaTest, WhatIsServedOrWasPublishedJustNowStays) {
  const std::string v1 = MustPublish("v1");
  LimitToWhatIsHere();
  clock_.Advance(kRecent);
  ASSERT_TRUE(store_->GetManifest(v1).ok()) << "as for another node that fetches it";
  EXPECT_TRUE(absl::IsResourceExhausted(Publish("v2").status()));
  clock_.Advance(kRecent);
  ASSERT_TRUE(Publish("v2").ok());
  EXPECT_TRUE(absl::IsResourceExhausted(Publish("v3").status())) << "the scheduler has not heard of v2 yet";
}

TEST_F(QuotaTest, CopyThatDoesNotFitIsRefusedBeforeAndAfterItsChunksCame) {
  const std::string v1 = MustPublish("v1");
  const v1::Manifest wanted = *store_->GetManifest(v1);
  std::vector<std::pair<std::string, std::string>> chunks;
  for (const std::string& sha256 : ChunksOf(wanted)) chunks.emplace_back(sha256, *store_->ReadChunk(sha256));
  ASSERT_TRUE(store_->Remove(v1).ok());
  MustPublish("v2");
  LimitToWhatIsHere();
  standing_["v2"] = SnapshotStanding::kKeep;
  clock_.Advance(kRecent);
  const std::uint64_t before = store_->stored_bytes();
  EXPECT_TRUE(absl::IsResourceExhausted(store_->MakeRoom(wanted.info().stored_bytes())));
  for (const auto& [sha256, data] : chunks) ASSERT_TRUE(store_->PutChunk(sha256, data).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(store_->Adopt(wanted)));
  EXPECT_EQ(store_->stored_bytes(), before) << "else they would be in the next one's way";
  standing_.clear();
  EXPECT_TRUE(store_->MakeRoom(wanted.info().stored_bytes()).ok());
  EXPECT_EQ(evicted_.size(), 1u);
  for (const auto& [sha256, data] : chunks) ASSERT_TRUE(store_->PutChunk(sha256, data).ok());
  EXPECT_TRUE(store_->Adopt(wanted).ok());
}

TEST_F(QuotaTest, EvictedSnapshotIsGoneAfterARestart) {
  const std::string v1 = MustPublish("v1");
  ASSERT_TRUE(store_->Evict(v1).ok());
  EXPECT_TRUE(store_->Evict(v1).ok()) << "it is not here";
  EXPECT_TRUE(absl::IsNotFound(store_->GetManifest(v1).status()));
  EXPECT_EQ(store_->stored_bytes(), 0u);
  Open(0);
  EXPECT_TRUE(Here().empty());
}

}  // namespace
}  // namespace thaw::agent
