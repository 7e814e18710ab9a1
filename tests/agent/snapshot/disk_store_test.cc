#include "agent/snapshot/disk_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "agent/snapshot/manifest.h"
#include "common/status/reasons.h"
#include "tests/agent/snapshot/sample_tree.h"
#include "tests/fakes/fake_clock.h"

namespace thaw::agent {
namespace {

namespace fs = std::filesystem;
using ::thaw::testing::DescribeTree;
using ::thaw::testing::DraftManifest;
using ::thaw::testing::FakeClock;
using ::thaw::testing::FlipByte;
using ::thaw::testing::TempDir;
using ::thaw::testing::WriteFile;
using ::thaw::testing::WriteSampleTree;

std::size_t CountIn(const std::string& dir) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(dir), fs::directory_iterator()));
}

class DiskStoreTest : public ::testing::Test {
 protected:
  DiskStoreTest() { WriteSampleTree(source_); }

  std::unique_ptr<DiskSnapshotStore> Open(FaultHook fault = nullptr) {
    DiskSnapshotStore::Options options;
    options.root = root_;
    options.clock = &clock_;
    options.max_quarantined = 3;
    options.fault = std::move(fault);
    options.on_quarantined = [this](const std::string& id, const std::string& reason) {
      absl::MutexLock lock(&mu_);
      quarantined_.emplace_back(id, reason);
    };
    options.on_stored_bytes = [this](std::uint64_t bytes) { reported_bytes_ = bytes; };
    auto store = DiskSnapshotStore::Open(std::move(options));
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }
  std::uint64_t BytesOnDisk() {
    std::uint64_t bytes = 0;
    for (const auto& chunk : fs::directory_iterator(root_ + "/chunks")) bytes += chunk.file_size();
    return bytes;
  }
  void FlipInChunk(const std::string& sha256) {
    const std::string path = root_ + "/chunks/" + sha256;
    FlipByte(path, fs::file_size(path) / 2);
  }

  TempDir dir_;
  const std::string root_ = dir_.path() + "/snapshots";
  const std::string source_ = dir_.Sub("source");
  const std::string target_ = dir_.path() + "/target";
  FakeClock clock_;
  std::atomic<std::uint64_t> reported_bytes_{0};
  absl::Mutex mu_;
  std::vector<std::pair<std::string, std::string>> quarantined_;
};

TEST_F(DiskStoreTest, AllThatIsWrittenIsRootsAlone) {
  const auto store = Open();
  ASSERT_TRUE(store->Publish(source_, DraftManifest("v1")).ok());
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root_)) {
    struct stat info {};
    ASSERT_EQ(::lstat(entry.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, S_ISDIR(info.st_mode) ? 0700u : 0600u) << entry.path();
    ++files;
  }
  EXPECT_GT(files, 6);
  struct stat info {};
  ASSERT_EQ(::stat(root_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
}

TEST_F(DiskStoreTest, OpenTakesAwayWhatOthersCouldReadBefore) {
  fs::create_directories(root_ + "/chunks");
  ::chmod(root_.c_str(), 0777);
  ::chmod((root_ + "/chunks").c_str(), 0777);
  Open();
  struct stat info {};
  ASSERT_EQ(::stat((root_ + "/chunks").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
}

TEST_F(DiskStoreTest, SecondStoreOnOneRootIsRefused) {
  const auto store = Open();
  DiskSnapshotStore::Options options;
  options.root = root_;
  const auto second = DiskSnapshotStore::Open(options);
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status())) << second.status();
}

TEST_F(DiskStoreTest, SnapshotsAreThereAfterReopening) {
  std::string id;
  {
    const auto store = Open();
    id = store->Publish(source_, DraftManifest("v1"))->info().id();
  }
  const auto store = Open();
  EXPECT_EQ(store->recovery().snapshots, 1u);
  EXPECT_EQ(store->recovery().removed_chunks, 0u);
  EXPECT_TRUE(store->recovery().quarantined.empty());
  ASSERT_TRUE(store->Materialize(id, target_).ok());
  EXPECT_EQ(DescribeTree(target_), DescribeTree(source_));
  EXPECT_EQ(reported_bytes_, BytesOnDisk());
}

TEST_F(DiskStoreTest, ChunkOfZerosCostsNextToNothing) {
  const auto store = Open();
  WriteFile(source_ + "/images/pages-2.img", std::string(64 << 20, '\0'));
  const auto manifest = store->Publish(source_, DraftManifest("v1"));
  ASSERT_TRUE(manifest.ok());
  EXPECT_GT(manifest->info().raw_bytes(), 64u << 20);
  EXPECT_LT(manifest->info().stored_bytes(), 1u << 20);
  ASSERT_TRUE(store->Materialize(manifest->info().id(), target_).ok());
  struct stat info {};
  ASSERT_EQ(::stat((target_ + "/images/pages-2.img").c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 64 << 20);
  EXPECT_LT(info.st_blocks * 512, 1 << 20) << "a hole";
  EXPECT_TRUE(store->Verify(manifest->info().id(), target_).ok());
}

TEST_F(DiskStoreTest, TwoSnapshotsShareTheChunksTheyHaveInCommon) {
  const auto store = Open();
  const auto first = store->Publish(source_, DraftManifest("v1"));
  const std::uint64_t before = BytesOnDisk();
  EXPECT_EQ(before, first->info().stored_bytes());
  WriteFile(source_ + "/images/core-1.img", "another");
  const auto second = store->Publish(source_, DraftManifest("v1"));
  ASSERT_TRUE(second.ok());
  EXPECT_NE(first->info().id(), second->info().id());
  EXPECT_LT(BytesOnDisk() - before, 100u);
  EXPECT_EQ(store->stored_bytes(), BytesOnDisk());
  EXPECT_EQ(reported_bytes_, BytesOnDisk());
}

TEST_F(DiskStoreTest, RemoveOfTheLastUserLeavesNoChunk) {
  const auto store = Open();
  const auto first = store->Publish(source_, DraftManifest("v1"));
  const auto second = store->Publish(source_, DraftManifest("v2"));
  ASSERT_TRUE(store->Remove(first->info().id()).ok());
  EXPECT_GT(CountIn(root_ + "/chunks"), 0u);
  ASSERT_TRUE(store->Remove(second->info().id()).ok());
  EXPECT_EQ(CountIn(root_ + "/chunks"), 0u);
  EXPECT_EQ(CountIn(root_ + "/manifests"), 0u);
  EXPECT_EQ(reported_bytes_, 0u);
}

TEST_F(DiskStoreTest, ChunksOfAnAbandonedFetchGoAfterAWhile) {
  const auto store = Open();
  const auto manifest = store->Publish(source_, DraftManifest("v1"));
  const std::string sha256 = ChunksOf(*manifest)[0];
  const std::string frame = *store->ReadChunk(sha256);
  ASSERT_TRUE(store->Remove(manifest->info().id()).ok());
  ASSERT_TRUE(store->PutChunk(sha256, frame).ok());
  clock_.Advance(absl::Minutes(14));
  EXPECT_TRUE(absl::IsDataLoss(store->PutChunk(std::string(64, '0'), frame)));
  EXPECT_TRUE(store->HasChunk(sha256));
  clock_.Advance(absl::Minutes(2));
  EXPECT_TRUE(absl::IsDataLoss(store->PutChunk(std::string(64, '0'), frame)));
  EXPECT_FALSE(store->HasChunk(sha256));
  EXPECT_EQ(CountIn(root_ + "/chunks"), 0u);
}

TEST_F(DiskStoreTest, FileThatShrinksWhileItIsReadAbortsThePublish) {
  std::atomic<bool> shrunk{false};
  const std::string pages = source_ + "/images/pages-1.img";
  const auto store = Open([&](FaultPoint point) {
    if (point == FaultPoint::kChunkWrite && !shrunk.exchange(true)) fs::resize_file(pages, 100);
    return absl::OkStatus();
  });
  WriteFile(pages, thaw::testing::PageLikeBytes(64 << 20, 9));
  const auto manifest = store->Publish(source_, DraftManifest("v1"));
  EXPECT_TRUE(absl::IsAborted(manifest.status())) << manifest.status();
  EXPECT_TRUE(shrunk);
  EXPECT_EQ(CountIn(root_ + "/chunks"), 0u);
}

// --- quarantine ---

TEST_F(DiskStoreTest, DamagedChunkQuarantinesAllItsSnapshotsWithAReasonAndAWholeCopy) {
  const auto store = Open();
  const auto first = store->Publish(source_, DraftManifest("v1"));
  const auto second = store->Publish(source_, DraftManifest("v2"));
  const auto chunks = ChunksOf(*first);
  FlipInChunk(chunks[0]);
  EXPECT_TRUE(absl::IsDataLoss(store->ReadChunk(chunks[0]).status()));
  EXPECT_TRUE(store->List().empty());
  EXPECT_EQ(CountIn(root_ + "/manifests"), 0u);
  EXPECT_EQ(CountIn(root_ + "/staging"), 0u);
  ASSERT_EQ(quarantined_.size(), 2u);
  std::size_t with_damaged = 0;
  for (const auto& entry : fs::directory_iterator(root_ + "/quarantine")) {
    const std::string path = entry.path().string();
    EXPECT_TRUE(absl::StrContains(thaw::testing::ReadFile(path + "/reason"), chunks[0]));
    EXPECT_TRUE(fs::exists(path + "/manifest"));
    for (std::size_t i = 1; i < chunks.size(); ++i) EXPECT_TRUE(fs::exists(path + "/chunks/" + chunks[i]));
    with_damaged += fs::exists(path + "/chunks/" + chunks[0]);
  }
  EXPECT_EQ(with_damaged, 1u);
  EXPECT_EQ(reported_bytes_, BytesOnDisk());
}

TEST_F(DiskStoreTest, QuarantineIsBoundedAndKeepsTheNewest) {
  const auto store = Open();
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    ids.push_back(store->Publish(source_, DraftManifest(absl::StrCat("v", i)))->info().id());
    clock_.Advance(absl::Seconds(1));
    ASSERT_TRUE(store->Quarantine(ids.back(), "test").ok());
  }
  std::string names;
  for (const auto& entry : fs::directory_iterator(root_ + "/quarantine")) absl::StrAppend(&names, entry.path().filename().string(), " ");
  EXPECT_EQ(CountIn(root_ + "/quarantine"), 3u) << names;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(absl::StrContains(names, ids[i]), i >= 2) << names;
}

TEST_F(DiskStoreTest, QuarantinedSnapshotStaysOutAfterReopening) {
  std::string id;
  {
    const auto store = Open();
    id = store->Publish(source_, DraftManifest("v1"))->info().id();
    ASSERT_TRUE(store->Quarantine(id, "test").ok());
  }
  const auto store = Open();
  EXPECT_TRUE(absl::IsNotFound(store->GetManifest(id).status()));
  EXPECT_EQ(CountIn(root_ + "/chunks"), 0u);
  EXPECT_TRUE(store->Quarantine(id, "again").ok()) << "it is still known to be there";
}

TEST_F(DiskStoreTest, SnapshotIsOutOfServiceEvenIfTheQuarantineHasNoRoom) {
  const auto store = Open([](FaultPoint point) {
    return point == FaultPoint::kQuarantineManifest ? absl::ResourceExhaustedError("no space") : absl::OkStatus();
  });
  const auto manifest = store->Publish(source_, DraftManifest("v1"));
  EXPECT_TRUE(store->Quarantine(manifest->info().id(), "test").ok());
  EXPECT_TRUE(absl::IsNotFound(store->GetManifest(manifest->info().id()).status()));
  EXPECT_EQ(CountIn(root_ + "/manifests"), 0u);
}

TEST_F(DiskStoreTest, ManifestWhoseChunkIsMissingIsQuarantinedAtOpenAndReported) {
  std::string id, chunk;
  {
    const auto store = Open();
    const auto manifest = store->Publish(source_, DraftManifest("v1"));
    id = manifest->info().id();
    chunk = ChunksOf(*manifest)[1];
  }
  fs::remove(root_ + "/chunks/" + chunk);
  const auto store = Open();
  ASSERT_EQ(store->recovery().quarantined.size(), 1u);
  EXPECT_EQ(store->recovery().quarantined[0].first, id);
  EXPECT_TRUE(absl::StrContains(store->recovery().quarantined[0].second, chunk));
  EXPECT_EQ(quarantined_, store->recovery().quarantined);
  EXPECT_TRUE(store->List().empty());
  EXPECT_EQ(CountIn(root_ + "/chunks"), 0u);
}

TEST_F(DiskStoreTest, ChunkCutToNothingByAPowerLossCountsAsMissing) {
  {
    const auto store = Open();
    const auto manifest = store->Publish(source_, DraftManifest("v1"));
    fs::resize_file(root_ + "/chunks/" + ChunksOf(*manifest)[0], 0);
  }
  EXPECT_EQ(Open()->recovery().quarantined.size(), 1u);
}

TEST_F(DiskStoreTest, EveryFlippedByteOfAManifestIsFoundAtOpen) {
  std::string id;
  {
    const auto store = Open();
    id = store->Publish(source_, DraftManifest("v1"))->info().id();
  }
  const std::string path = root_ + "/manifests/" + id;
  const std::string sound = thaw::testing::ReadFile(path);
  for (std::size_t i = 0; i < sound.size(); ++i) {
    std::string flipped = sound;
    flipped[i] ^= 1;
    EXPECT_FALSE(ParseManifest(flipped, id).ok()) << "byte " << i;
  }
  FlipByte(path, sound.size() / 2);
  const auto store = Open();
  ASSERT_EQ(store->recovery().quarantined.size(), 1u);
  EXPECT_EQ(store->recovery().snapshots, 0u);
}

// --- what Verify finds ---

TEST_F(DiskStoreTest, VerifyFindsEachKindOfChange) {
  const auto store = Open();
  const std::string id = store->Publish(source_, DraftManifest("v1"))->info().id();
  const std::vector<std::pair<std::string, std::function<void()>>> changes = {
      {"images/pages-1.img", [&] { FlipByte(target_ + "/images/pages-1.img", 900'000); }},
      {"images/pages-1.img", [&] { FlipByte(target_ + "/images/pages-1.img", 300'000); }},
      {"images/pages-1.img", [&] { fs::resize_file(target_ + "/images/pages-1.img", 900'002); }},
      {"images/core-1.img", [&] { fs::remove(target_ + "/images/core-1.img"); }},
      {"images/extra.img", [&] { WriteFile(target_ + "/images/extra.img", "x"); }},
      {"images/core-1.img",
       [&] {
         fs::rename(target_ + "/images/core-1.img", dir_.path() + "/core");
         fs::create_symlink(dir_.path() + "/core", target_ + "/images/core-1.img");
       }},
      {"files/tmp/link",
       [&] {
         fs::remove(target_ + "/files/tmp/link");
         fs::create_symlink("/etc/shadow", target_ + "/files/tmp/link");
       }},
      {"files/tmp/tool", [&] { ::chmod((target_ + "/files/tmp/tool").c_str(), 0755); }},
  };
  for (const auto& [path, change] : changes) {
    fs::remove_all(target_);
    ASSERT_TRUE(store->Materialize(id, target_).ok());
    ASSERT_TRUE(store->Verify(id, target_).ok());
    change();
    const absl::Status status = store->Verify(id, target_);
    EXPECT_TRUE(absl::IsDataLoss(status)) << path << ": " << status;
    EXPECT_TRUE(absl::StrContains(status.message(), path)) << status;
  }
}

TEST_F(DiskStoreTest, LeftoversOfAnInterruptedLayoutAreRemovedByTheNext) {
  const auto store = Open();
  const std::string id = store->Publish(source_, DraftManifest("v1"))->info().id();
  fs::create_directories(target_ + ".tmp-0badcafe/images");
  ASSERT_TRUE(store->Materialize(id, target_).ok());
  EXPECT_FALSE(fs::exists(target_ + ".tmp-0badcafe"));
  EXPECT_EQ(DescribeTree(target_), DescribeTree(source_));
}

TEST_F(DiskStoreTest, LayoutThroughASymbolicLinkIsRefused) {
  const auto store = Open();
  const std::string id = store->Publish(source_, DraftManifest("v1"))->info().id();
  const std::string elsewhere = dir_.Sub("elsewhere");
  fs::create_symlink(elsewhere, dir_.path() + "/volume");
  EXPECT_FALSE(store->Materialize(id, dir_.path() + "/volume/target").ok());
  EXPECT_EQ(CountIn(elsewhere), 0u);
}

// --- concurrency ---

TEST_F(DiskStoreTest, ConcurrentPublishesAndARemoveLeaveEachSnapshotWhole) {
  const auto store = Open();
  for (int round = 0; round < 8; ++round) {
    const std::string doomed = store->Publish(source_, DraftManifest("doomed"))->info().id();
    // All three have the same chunks, so the remove's deletions meet the publishes' claims.
    absl::StatusOr<v1::Manifest> a, b;
    std::thread first([&] { a = store->Publish(source_, DraftManifest("a")); });
    std::thread second([&] { b = store->Publish(source_, DraftManifest("b")); });
    std::thread remover([&] { EXPECT_TRUE(store->Remove(doomed).ok()); });
    first.join();
    second.join();
    remover.join();
    ASSERT_TRUE(a.ok()) << a.status();
    ASSERT_TRUE(b.ok()) << b.status();
    EXPECT_EQ(store->List().size(), 2u);
    for (const auto& manifest : {*a, *b}) {
      const std::string target = absl::StrCat(target_, "-", manifest.info().id());
      fs::remove_all(target);
      ASSERT_TRUE(store->Materialize(manifest.info().id(), target).ok());
      EXPECT_EQ(DescribeTree(target), DescribeTree(source_));
      ASSERT_TRUE(store->Remove(manifest.info().id()).ok());
    }
    EXPECT_EQ(CountIn(root_ + "/chunks"), 0u);
    EXPECT_EQ(CountIn(root_ + "/staging"), 0u);
  }
}

TEST_F(DiskStoreTest, ConcurrentLayoutsOfOneTargetAreOne) {
  const auto store = Open();
  const std::string id = store->Publish(source_, DraftManifest("v1"))->info().id();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { EXPECT_TRUE(store->Materialize(id, target_).ok()); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(store->Verify(id, target_).ok());
  EXPECT_EQ(CountIn(dir_.path()), 3u) << "source, store and target";
}

TEST_F(DiskStoreTest, RemoveDuringALayoutDoesNotTakeItsChunksAway) {
  DiskSnapshotStore* opened = nullptr;
  std::string id;
  std::atomic<bool> removed{false};
  const auto store = Open([&](FaultPoint point) {
    if (point == FaultPoint::kMaterializeFile && !removed.exchange(true)) {
      EXPECT_TRUE(opened->Remove(id).ok());
    }
    return absl::OkStatus();
  });
  opened = store.get();
  id = store->Publish(source_, DraftManifest("v1"))->info().id();
  EXPECT_TRUE(store->Materialize(id, target_).ok());
  EXPECT_TRUE(removed);
  EXPECT_EQ(DescribeTree(target_), DescribeTree(source_));
  EXPECT_EQ(CountIn(root_ + "/chunks"), 0u) << "they went when the layout was done";
}

}  // namespace
}  // namespace thaw::agent
