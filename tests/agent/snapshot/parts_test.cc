// The parts below the store: parallel work, the chunks' life, the codec.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/synchronization/notification.h"
#include "agent/snapshot/chunk_codec.h"
#include "agent/snapshot/chunk_index.h"
#include "agent/snapshot/manifest.h"
#include "agent/snapshot/parallel.h"
#include "agent/snapshot/tree.h"
#include "common/crypto/sha256.h"
#include "tests/agent/snapshot/sample_tree.h"

namespace thaw::agent {
namespace {

TEST(ParallelWork, RunsEachPieceOnce) {
  ParallelWork work(3);
  std::vector<std::atomic<int>> ran(1000);
  EXPECT_TRUE(work.ForEach(ran.size(), [&](std::size_t i) {
                    ++ran[i];
                    return absl::OkStatus();
                  }).ok());
  for (const auto& count : ran) EXPECT_EQ(count, 1);
  EXPECT_TRUE(work.ForEach(0, [](std::size_t) { return absl::InternalError("never"); }).ok());
}

TEST(ParallelWork, StopsAtTheFirstError) {
  ParallelWork work(1);
  int ran = 0;
  const absl::Status status = work.ForEach(100, [&](std::size_t i) {
    ++ran;
    return i == 3 ? absl::DataLossError("three") : absl::OkStatus();
  });
  EXPECT_EQ(status.message(), "three");
  EXPECT_EQ(ran, 4);
}

TEST(ParallelWork, EndsThoughAllItsThreadsAreTaken) {
  ParallelWork work(2);
  absl::Notification both_wait, go;
  std::atomic<int> waiting{0};
  std::thread hog([&] {
    work.ForEach(2, [&](std::size_t) {
          if (++waiting == 2) both_wait.Notify();
          go.WaitForNotification();
          return absl::OkStatus();
        })
        .IgnoreError();
  });
  both_wait.WaitForNotification();
  std::atomic<int> ran{0};
  EXPECT_TRUE(work.ForEach(5, [&](std::size_t) {
                    ++ran;
                    return absl::OkStatus();
                  }).ok());
  EXPECT_EQ(ran, 5);
  go.Notify();
  hog.join();
}

TEST(ChunkIndex, SecondClaimWaitsForTheWriter) {
  ChunkIndex index;
  ASSERT_EQ(index.Claim("c"), ChunkIndex::Claimed::kMustWrite);
  std::thread second([&] { EXPECT_EQ(index.Claim("c"), ChunkIndex::Claimed::kPresent); });
  index.Written("c", 7);
  second.join();
  EXPECT_EQ(index.total_bytes(), 7u);
  EXPECT_TRUE(index.Release({"c"}, ChunkIndex::Unused::kDelete, absl::Now()).empty()) << "one use is left";
  EXPECT_EQ(index.Release({"c"}, ChunkIndex::Unused::kDelete, absl::Now()).size(), 1u);
}

TEST(ChunkIndex, ClaimAfterAFailedWriteWritesItself) {
  ChunkIndex index;
  ASSERT_EQ(index.Claim("c"), ChunkIndex::Claimed::kMustWrite);
  std::thread second([&] { EXPECT_EQ(index.Claim("c"), ChunkIndex::Claimed::kMustWrite); });
  index.Abandon("c");
  second.join();
  index.Written("c", 1);
  EXPECT_TRUE(index.IsPresent("c"));
}

TEST(ChunkIndex, ClaimWaitsUntilADeletionIsDone) {
  ChunkIndex index;
  index.Claim("c");
  index.Written("c", 1);
  const auto to_delete = index.Release({"c"}, ChunkIndex::Unused::kDelete, absl::Now());
  ASSERT_EQ(to_delete.size(), 1u);
  EXPECT_FALSE(index.IsPresent("c"));
  std::atomic<bool> deleted{false};
  std::thread claimer([&] {
    EXPECT_EQ(index.Claim("c"), ChunkIndex::Claimed::kMustWrite);
    EXPECT_TRUE(deleted);
  });
  deleted = true;
  index.Deleted(to_delete);
  claimer.join();
}

TEST(ChunkIndex, ClaimAllIsAllOrNothing) {
  ChunkIndex index;
  index.Claim("a");
  index.Written("a", 1);
  EXPECT_EQ(index.ClaimAll({"a", "b"}), "b");
  EXPECT_EQ(index.Release({"a"}, ChunkIndex::Unused::kDelete, absl::Now()).size(), 1u) << "no use was added";
}

TEST(ChunkIndex, LostChunkIsWrittenAnewForThoseWhoUseIt) {
  ChunkIndex index;
  index.Claim("c");
  index.Written("c", 5);
  ASSERT_TRUE(index.BeginSetAside("c"));
  index.EndSetAside("c", true);
  EXPECT_FALSE(index.IsPresent("c"));
  EXPECT_EQ(index.total_bytes(), 0u);
  EXPECT_FALSE(index.BeginSetAside("c"));
  EXPECT_EQ(index.Claim("c"), ChunkIndex::Claimed::kMustWrite);
  index.Written("c", 6);
  EXPECT_TRUE(index.IsPresent("c"));
  EXPECT_EQ(index.total_bytes(), 6u);
}

TEST(ChunkIndex, KeptChunkThatIsUsedAgainDoesNotExpire) {
  ChunkIndex index;
  const absl::Time then = absl::FromUnixSeconds(1000);
  index.Claim("c");
  index.Written("c", 1);
  EXPECT_TRUE(index.Release({"c"}, ChunkIndex::Unused::kKeep, then).empty());
  EXPECT_EQ(index.ClaimAll({"c"}), "");
  EXPECT_TRUE(index.TakeExpired(then + absl::Hours(1)).empty());
  EXPECT_TRUE(index.IsPresent("c"));
}

TEST(ChunkCodec, RoundTripAndRefusals) {
  ChunkCodec codec;
  ChunkCodec::Lease lease(&codec);
  const std::string raw = thaw::testing::PageLikeBytes(kMaxChunkBytes, 1);
  const std::string frame(lease.Compress(raw));
  EXPECT_LT(frame.size(), raw.size());
  absl::string_view out;
  ASSERT_TRUE(lease.Decompress(Sha256Hex(raw), frame, &out).ok());
  EXPECT_EQ(out, raw);
  EXPECT_TRUE(absl::IsDataLoss(lease.Decompress(Sha256Hex("other"), frame, &out)));
  EXPECT_TRUE(absl::IsDataLoss(lease.Decompress(Sha256Hex(raw), frame.substr(0, frame.size() - 1), &out)));
  EXPECT_TRUE(absl::IsDataLoss(lease.Decompress(Sha256Hex(raw), frame + "x", &out)));
  EXPECT_TRUE(absl::IsDataLoss(lease.Decompress(Sha256Hex(raw), "not a frame at all", &out)));
  // A frame that would unpack to more than a chunk is refused before it does.
  const std::string big(kMaxChunkBytes + 1, 'x');
  EXPECT_TRUE(absl::IsDataLoss(lease.Decompress(Sha256Hex(big), std::string(lease.Compress(big)), &out)));
}

TEST(Manifest, IdIgnoresHoldersAndItselfButNothingElse) {
  auto manifest = thaw::testing::DraftManifest("v1");
  const std::string id = ManifestId(manifest);
  EXPECT_TRUE(IsSnapshotId(id));
  manifest.mutable_info()->set_id(id);
  manifest.mutable_info()->add_holders("b");
  EXPECT_EQ(ManifestId(manifest), id);
  manifest.mutable_info()->set_invocations(6);
  EXPECT_NE(ManifestId(manifest), id);
}

TEST(Manifest, ChunksMustAddUp) {
  v1::Manifest manifest = thaw::testing::DraftManifest("v1");
  manifest.set_format(1);
  auto* entry = manifest.add_entries();
  entry->set_path("f");
  entry->set_type(v1::Entry::TYPE_FILE);
  entry->set_sha256(std::string(64, '0'));
  entry->set_size_bytes(10);
  auto* chunk = entry->add_chunks();
  chunk->set_sha256(std::string(64, '0'));
  chunk->set_size_bytes(10);
  EXPECT_TRUE(ValidateManifest(manifest).ok());
  chunk->set_size_bytes(9);
  EXPECT_TRUE(absl::IsDataLoss(ValidateManifest(manifest)));
  chunk->set_size_bytes(kMaxChunkBytes + 1);
  entry->set_size_bytes(kMaxChunkBytes + 1);
  EXPECT_TRUE(absl::IsDataLoss(ValidateManifest(manifest)));
  chunk->set_size_bytes(10);
  entry->set_size_bytes(10);
  chunk->set_sha256("../../etc/passwd");
  EXPECT_TRUE(absl::IsDataLoss(ValidateManifest(manifest)));
}

TEST(IsZero, LooksAtEveryByte) {
  std::string data(4096, '\0');
  EXPECT_TRUE(IsZero(data));
  EXPECT_TRUE(IsZero(""));
  data.back() = 1;
  EXPECT_FALSE(IsZero(data));
  data.back() = 0;
  data.front() = 1;
  EXPECT_FALSE(IsZero(data));
}

}  // namespace
}  // namespace thaw::agent
