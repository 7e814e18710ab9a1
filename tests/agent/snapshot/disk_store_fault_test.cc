// Disk full and sudden death at every step of the store.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "absl/synchronization/mutex.h"
#include "agent/snapshot/disk_store.h"
#include "common/status/reasons.h"
#include "tests/agent/snapshot/sample_tree.h"

namespace thaw::agent {
namespace {

namespace fs = std::filesystem;
using ::thaw::testing::DescribeTree;
using ::thaw::testing::DraftManifest;
using ::thaw::testing::TempDir;
using ::thaw::testing::WriteFile;
using ::thaw::testing::WriteSampleTree;

constexpr int kDiedAtTheFaultPoint = 42;

std::size_t CountIn(const std::string& dir) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(dir), fs::directory_iterator()));
}

std::unique_ptr<DiskSnapshotStore> OpenAt(const std::string& root, FaultHook fault = nullptr) {
  DiskSnapshotStore::Options options;
  options.root = root;
  options.fault = std::move(fault);
  auto store = DiskSnapshotStore::Open(std::move(options));
  if (!store.ok()) {
    ADD_FAILURE() << store.status();
    return nullptr;
  }
  return *std::move(store);
}

absl::Status DiskFull() {
  return WithReason(absl::ResourceExhaustedError("no space left on device"), reason::kDiskFull);
}

// Runs `act` on the store in a process that dies at the `nth` pass of `point`. True when it did.
bool DieAt(const std::string& root, FaultPoint point, int nth, const std::function<void(DiskSnapshotStore&)>& act) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::atomic<int> passes{0};
    const auto store = OpenAt(root, [&](FaultPoint at) {
      if (at == point && ++passes == nth) ::_exit(kDiedAtTheFaultPoint);
      return absl::OkStatus();
    });
    if (store != nullptr) act(*store);
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == kDiedAtTheFaultPoint;
}

struct Fault {
  FaultPoint point;
  int nth;
  const char* name;
};

std::string FaultName(const ::testing::TestParamInfo<Fault>& info) { return info.param.name; }

class FaultTest : public ::testing::TestWithParam<Fault> {
 protected:
  FaultTest() { WriteSampleTree(source_); }

  TempDir dir_;
  const std::string root_ = dir_.path() + "/snapshots";
  const std::string source_ = dir_.Sub("source");
  const std::string target_ = dir_.path() + "/target";
};

// --- publish ---

class PublishFaultTest : public FaultTest {};

TEST_P(PublishFaultTest, FullDiskPublishesNothingAndLeavesNothing) {
  std::atomic<int> passes{0};
  std::atomic<bool> armed{false};
  const auto store = OpenAt(root_, [&](FaultPoint point) {
    return armed && point == GetParam().point && ++passes == GetParam().nth ? DiskFull() : absl::OkStatus();
  });
  // A neighbour that shares chunks must come out unharmed.
  const auto neighbour = store->Publish(source_, DraftManifest("neighbour"));
  WriteSampleTree(dir_.Sub("other"), 2);
  const std::size_t chunks_before = CountIn(root_ + "/chunks");
  armed = true;
  const auto failed = store->Publish(dir_.path() + "/other", DraftManifest("v1"));
  ASSERT_GE(passes, GetParam().nth) << "the fault must fire";
  EXPECT_TRUE(absl::IsResourceExhausted(failed.status())) << failed.status();
  EXPECT_EQ(ReasonOf(failed.status()), reason::kDiskFull);
  EXPECT_EQ(store->List().size(), 1u);
  EXPECT_EQ(CountIn(root_ + "/staging"), 0u);
  EXPECT_EQ(CountIn(root_ + "/manifests"), 1u);
  EXPECT_EQ(CountIn(root_ + "/chunks"), chunks_before);
  EXPECT_TRUE(store->Materialize(neighbour->info().id(), target_).ok());
  // With room again, it works.
  armed = false;
  EXPECT_TRUE(store->Publish(dir_.path() + "/other", DraftManifest("v1")).ok());
}

TEST_P(PublishFaultTest, AfterACrashTheSnapshotIsWholeOrAbsent) {
  std::string neighbour;
  {
    const auto store = OpenAt(root_);
    neighbour = store->Publish(source_, DraftManifest("neighbour"))->info().id();
  }
  WriteSampleTree(dir_.Sub("other"), 2);
  const std::size_t chunks_before = CountIn(root_ + "/chunks");
  ASSERT_TRUE(DieAt(root_, GetParam().point, GetParam().nth, [&](DiskSnapshotStore& store) {
    store.Publish(dir_.path() + "/other", DraftManifest("v1")).status().IgnoreError();
  })) << "the fault must fire";

  const auto store = OpenAt(root_);
  EXPECT_TRUE(store->recovery().quarantined.empty());
  EXPECT_EQ(CountIn(root_ + "/staging"), 0u);
  EXPECT_TRUE(store->Materialize(neighbour, target_).ok());
  if (GetParam().point == FaultPoint::kManifestRenamed) {
    ASSERT_EQ(store->List().size(), 2u);
    for (const auto& info : store->List()) {
      if (info.id() == neighbour) continue;
      ASSERT_TRUE(store->Materialize(info.id(), target_ + "-2").ok());
      EXPECT_EQ(DescribeTree(target_ + "-2"), DescribeTree(dir_.path() + "/other"));
    }
  } else {
    EXPECT_EQ(store->List().size(), 1u);
    EXPECT_EQ(CountIn(root_ + "/chunks"), chunks_before);
  }
}

INSTANTIATE_TEST_SUITE_P(EachStep, PublishFaultTest,
                         ::testing::Values(Fault{FaultPoint::kChunkWrite, 1, "FirstChunkWrite"},
                                           Fault{FaultPoint::kChunkWrite, 4, "LaterChunkWrite"},
                                           Fault{FaultPoint::kChunkRename, 1, "FirstChunkRename"},
                                           Fault{FaultPoint::kChunkRename, 4, "LaterChunkRename"},
                                           Fault{FaultPoint::kChunksSync, 1, "ChunksSync"},
                                           Fault{FaultPoint::kManifestWrite, 1, "ManifestWrite"},
                                           Fault{FaultPoint::kManifestRename, 1, "ManifestRename"},
                                           Fault{FaultPoint::kManifestRenamed, 1, "ManifestRenamed"}),
                         FaultName);

// --- put and adopt: what a fetch does ---

class AdoptFaultTest : public FaultTest {};

TEST_P(AdoptFaultTest, AfterACrashTheFetchedSnapshotIsWholeOrAbsent) {
  const auto holder = OpenAt(dir_.path() + "/holder");
  const auto manifest = holder->Publish(source_, DraftManifest("v1"));
  std::map<std::string, std::string> frames;
  for (const std::string& sha256 : ChunksOf(*manifest)) frames[sha256] = *holder->ReadChunk(sha256);
  ASSERT_TRUE(DieAt(root_, GetParam().point, GetParam().nth, [&](DiskSnapshotStore& store) {
    for (const auto& [sha256, frame] : frames) store.PutChunk(sha256, frame).IgnoreError();
    store.Adopt(*manifest).IgnoreError();
  })) << "the fault must fire";
  const auto store = OpenAt(root_);
  EXPECT_EQ(CountIn(root_ + "/staging"), 0u);
  if (GetParam().point == FaultPoint::kManifestRenamed) {
    ASSERT_TRUE(store->Materialize(manifest->info().id(), target_).ok());
    EXPECT_EQ(DescribeTree(target_), DescribeTree(source_));
  } else {
    EXPECT_TRUE(store->List().empty());
    EXPECT_EQ(CountIn(root_ + "/chunks"), 0u);
  }
}

TEST_P(AdoptFaultTest, FullDiskAdoptsNothingAndIsMadeGoodWhenThereIsRoom) {
  const auto holder = OpenAt(dir_.path() + "/holder");
  const auto manifest = holder->Publish(source_, DraftManifest("v1"));
  std::atomic<int> passes{0};
  const auto store = OpenAt(root_, [&](FaultPoint point) {
    return point == GetParam().point && ++passes == GetParam().nth ? DiskFull() : absl::OkStatus();
  });
  const auto fetch = [&]() -> absl::Status {
    for (const std::string& sha256 : ChunksOf(*manifest)) {
      if (store->HasChunk(sha256)) continue;
      if (absl::Status status = store->PutChunk(sha256, *holder->ReadChunk(sha256)); !status.ok()) return status;
    }
    return store->Adopt(*manifest);
  };
  const absl::Status failed = fetch();
  EXPECT_TRUE(absl::IsResourceExhausted(failed)) << failed;
  EXPECT_EQ(ReasonOf(failed), reason::kDiskFull);
  EXPECT_TRUE(store->List().empty());
  EXPECT_EQ(CountIn(root_ + "/staging"), 0u);
  EXPECT_EQ(CountIn(root_ + "/manifests"), 0u);
  EXPECT_TRUE(fetch().ok());
  EXPECT_TRUE(store->Materialize(manifest->info().id(), target_).ok());
}

INSTANTIATE_TEST_SUITE_P(EachStep, AdoptFaultTest,
                         ::testing::Values(Fault{FaultPoint::kChunkWrite, 2, "ChunkWrite"},
                                           Fault{FaultPoint::kChunkRename, 2, "ChunkRename"},
                                           Fault{FaultPoint::kChunksSync, 1, "ChunksSync"},
                                           Fault{FaultPoint::kManifestWrite, 1, "ManifestWrite"},
                                           Fault{FaultPoint::kManifestRename, 1, "ManifestRename"},
                                           Fault{FaultPoint::kManifestRenamed, 1, "ManifestRenamed"}),
                         FaultName);

// --- materialize ---

class MaterializeFaultTest : public FaultTest {};

TEST_P(MaterializeFaultTest, FullDiskLeavesNoDirectory) {
  std::atomic<int> passes{0};
  const auto store = OpenAt(root_, [&](FaultPoint point) {
    return point == GetParam().point && ++passes == GetParam().nth ? DiskFull() : absl::OkStatus();
  });
  const std::string id = store->Publish(source_, DraftManifest("v1"))->info().id();
  const std::size_t before = CountIn(dir_.path());
  const absl::Status status = store->Materialize(id, target_);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(ReasonOf(status), reason::kDiskFull);
  EXPECT_EQ(CountIn(dir_.path()), before);
  EXPECT_EQ(store->List().size(), 1u) << "a full disk does not condemn the snapshot";
  EXPECT_TRUE(store->Materialize(id, target_).ok());
}

TEST_P(MaterializeFaultTest, AfterACrashTheDirectoryIsNotThereAndTheNextLayoutIsWhole) {
  std::string id;
  {
    const auto store = OpenAt(root_);
    id = store->Publish(source_, DraftManifest("v1"))->info().id();
  }
  ASSERT_TRUE(DieAt(root_, GetParam().point, GetParam().nth, [&](DiskSnapshotStore& store) {
    store.Materialize(id, target_).IgnoreError();
  })) << "the fault must fire";
  EXPECT_FALSE(fs::exists(target_));
  const auto store = OpenAt(root_);
  ASSERT_TRUE(store->Materialize(id, target_).ok());
  EXPECT_EQ(DescribeTree(target_), DescribeTree(source_));
  EXPECT_EQ(CountIn(dir_.path()), 3u) << "source, store and target; no leftovers";
}

INSTANTIATE_TEST_SUITE_P(EachStep, MaterializeFaultTest,
                         ::testing::Values(Fault{FaultPoint::kMaterializeFile, 1, "FirstFile"},
                                           Fault{FaultPoint::kMaterializeFile, 3, "LaterFile"},
                                           Fault{FaultPoint::kMaterializeRename, 1, "Rename"}),
                         FaultName);

// --- remove and quarantine ---

class TakeOutFaultTest : public FaultTest {};

TEST_P(TakeOutFaultTest, AfterACrashTheSnapshotIsWholeOrGoneAndItsNeighbourWhole) {
  std::string id, neighbour;
  {
    const auto store = OpenAt(root_);
    id = store->Publish(source_, DraftManifest("v1"))->info().id();
    WriteFile(source_ + "/images/core-1.img", "of the neighbour");
    neighbour = store->Publish(source_, DraftManifest("neighbour"))->info().id();
  }
  const bool remove = GetParam().point == FaultPoint::kRemoveManifest || GetParam().point == FaultPoint::kRemoveChunks;
  ASSERT_TRUE(DieAt(root_, GetParam().point, GetParam().nth, [&](DiskSnapshotStore& store) {
    (remove ? store.Remove(id) : store.Quarantine(id, "test")).IgnoreError();
  })) << "the fault must fire";
  const auto store = OpenAt(root_);
  EXPECT_TRUE(store->recovery().quarantined.empty()) << "nobody is taken for damaged";
  const bool before_commit =
      GetParam().point == FaultPoint::kRemoveManifest || GetParam().point == FaultPoint::kQuarantineManifest;
  EXPECT_EQ(store->Materialize(id, target_ + "-1").ok(), before_commit);
  ASSERT_TRUE(store->Materialize(neighbour, target_).ok());
  EXPECT_EQ(DescribeTree(target_), DescribeTree(source_));
  std::vector<std::string> used;
  for (const auto& info : store->List()) {
    for (std::string& sha256 : ChunksOf(*store->GetManifest(info.id()))) used.push_back(std::move(sha256));
  }
  std::sort(used.begin(), used.end());
  used.erase(std::unique(used.begin(), used.end()), used.end());
  EXPECT_EQ(CountIn(root_ + "/chunks"), used.size()) << "no chunk without a user";
}

INSTANTIATE_TEST_SUITE_P(EachStep, TakeOutFaultTest,
                         ::testing::Values(Fault{FaultPoint::kRemoveManifest, 1, "RemoveManifest"},
                                           Fault{FaultPoint::kRemoveChunks, 1, "RemoveChunks"},
                                           Fault{FaultPoint::kQuarantineManifest, 1, "QuarantineManifest"},
                                           Fault{FaultPoint::kQuarantineChunks, 1, "QuarantineChunks"}),
                         FaultName);

TEST(FaultPoints, EachIsPassedSomewhere) {
  const TempDir dir;
  const std::string source = dir.Sub("source");
  WriteSampleTree(source);
  absl::Mutex mu;
  std::set<FaultPoint> passed;
  const auto store = OpenAt(dir.path() + "/snapshots", [&](FaultPoint point) {
    absl::MutexLock lock(&mu);
    passed.insert(point);
    return absl::OkStatus();
  });
  const std::string id = store->Publish(source, DraftManifest("v1"))->info().id();
  ASSERT_TRUE(store->Materialize(id, dir.path() + "/target").ok());
  ASSERT_TRUE(store->Remove(id).ok());
  ASSERT_TRUE(store->Quarantine(store->Publish(source, DraftManifest("v1"))->info().id(), "test").ok());
  EXPECT_EQ(passed.size(), std::size(kAllFaultPoints));
}

// The kernel's own ENOSPC, on a file system of 1 MiB.
TEST(RealFullDisk, PublishAndLayoutSayDiskFullAndLeaveNothing) {
  const TempDir dir;
  const std::string small = dir.Sub("small");
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=1m,mode=0700") != 0) {
    const std::string why = std::string("can't mount a tmpfs (needs CAP_SYS_ADMIN): ") + std::strerror(errno);
    if (std::getenv("THAW_REQUIRE_HOST") != nullptr) FAIL() << why;
    GTEST_SKIP() << why;
  }
  {
    const std::string source = dir.Sub("source");
    WriteSampleTree(source);
    const auto store = OpenAt(small + "/snapshots");
    const auto fits = store->Publish(source, DraftManifest("v1"));
    ASSERT_TRUE(fits.ok()) << fits.status();
    // Noise does not compress: more than there is room for.
    std::string noise(4 << 20, '\0');
    unsigned state = 1;
    for (char& c : noise) c = static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
    WriteFile(source + "/images/pages-2.img", noise);
    const auto failed = store->Publish(source, DraftManifest("v2"));
    EXPECT_TRUE(absl::IsResourceExhausted(failed.status())) << failed.status();
    EXPECT_EQ(ReasonOf(failed.status()), reason::kDiskFull);
    EXPECT_EQ(store->List().size(), 1u);
    EXPECT_EQ(CountIn(small + "/snapshots/staging"), 0u);
    EXPECT_EQ(store->stored_bytes(), fits->info().stored_bytes());

    // The layout is larger than its chunks: leave it some room, but not enough.
    WriteFile(small + "/filler", noise.substr(0, 400 << 10));
    const absl::Status laid_out = store->Materialize(fits->info().id(), small + "/target");
    EXPECT_TRUE(absl::IsResourceExhausted(laid_out)) << laid_out;
    EXPECT_EQ(ReasonOf(laid_out), reason::kDiskFull);
    EXPECT_EQ(CountIn(small), 2u) << "only the store and the filler";
    EXPECT_TRUE(store->Materialize(fits->info().id(), dir.path() + "/target").ok());
  }
  EXPECT_EQ(::umount2(small.c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace thaw::agent
