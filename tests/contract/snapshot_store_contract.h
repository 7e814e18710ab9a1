#ifndef THAW_TESTS_CONTRACT_SNAPSHOT_STORE_CONTRACT_H_
#define THAW_TESTS_CONTRACT_SNAPSHOT_STORE_CONTRACT_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>

#include "agent/snapshot/manifest.h"
#include "agent/snapshot/store.h"
#include "common/crypto/sha256.h"
#include "common/status/reasons.h"
#include "tests/agent/snapshot/sample_tree.h"

namespace thaw::testing {

// A store to put under the suite, with the means to harm it from outside.
struct StoreUnderTest {
  std::unique_ptr<agent::SnapshotStore> store;
  std::function<void(const std::string& sha256)> damage_chunk;
  std::function<void(const std::string& snapshot_id)> damage_manifest;
};

struct StoreFactory {
  const char* name;
  // `dir` is an empty directory of the test's own.
  StoreUnderTest (*make)(const std::string& dir);
};

// What agent/snapshot/store.h promises of every store. The tree is real: a store in memory must read and write it too.
class SnapshotStoreContract : public ::testing::TestWithParam<StoreFactory> {
 protected:
  SnapshotStoreContract() : under_test_(GetParam().make(dir_.Sub("store"))), store_(*under_test_.store) {
    WriteSampleTree(source_);
  }

  agent::v1::Manifest Publish(const std::string& version = "v1") {
    auto manifest = store_.Publish(source_, DraftManifest(version));
    EXPECT_TRUE(manifest.ok()) << manifest.status();
    return manifest.ok() ? *manifest : agent::v1::Manifest();
  }
  static std::string PagesChunk(const agent::v1::Manifest& manifest) {
    for (const auto& entry : manifest.entries()) {
      if (entry.path() == "images/pages-1.img") return entry.chunks(0).sha256();
    }
    return "";
  }
  bool Lists(const std::string& id) {
    for (const auto& info : store_.List()) {
      if (info.id() == id) return true;
    }
    return false;
  }

  TempDir dir_;
  StoreUnderTest under_test_;
  agent::SnapshotStore& store_;
  const std::string source_ = dir_.Sub("source");
  const std::string target_ = dir_.path() + "/target";
};

TEST_P(SnapshotStoreContract, PublishedSnapshotHasIdSizesAndEntriesAndIsListed) {
  const auto manifest = Publish();
  EXPECT_EQ(manifest.info().id(), agent::ManifestId(manifest));
  EXPECT_EQ(manifest.info().version_id(), "v1");
  EXPECT_EQ(manifest.info().raw_bytes(), TreeBytes(source_));
  EXPECT_GT(manifest.info().stored_bytes(), 0u);
  EXPECT_LT(manifest.info().stored_bytes(), manifest.info().raw_bytes());
  EXPECT_TRUE(agent::ValidateManifest(manifest).ok());
  const auto again = store_.GetManifest(manifest.info().id());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(agent::SerializeManifest(*again), agent::SerializeManifest(manifest));
  ASSERT_EQ(store_.List().size(), 1u);
  EXPECT_EQ(store_.List()[0].stored_bytes(), manifest.info().stored_bytes());
}

TEST_P(SnapshotStoreContract, PublishLeavesTheSourceAsItWas) {
  const std::string before = DescribeTree(source_);
  Publish();
  EXPECT_EQ(DescribeTree(source_), before);
}

TEST_P(SnapshotStoreContract, PublishOfAMissingDirectoryIsNotFound) {
  EXPECT_EQ(store_.Publish(dir_.path() + "/none", DraftManifest("v1")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(store_.List().empty());
}

TEST_P(SnapshotStoreContract, PublishingTheSameTwiceIsOneSnapshot) {
  EXPECT_EQ(Publish().info().id(), Publish().info().id());
  EXPECT_EQ(store_.List().size(), 1u);
  EXPECT_NE(Publish("v2").info().id(), Publish("v1").info().id());
  EXPECT_EQ(store_.List().size(), 2u);
}

TEST_P(SnapshotStoreContract, MaterializedTreeIsTheSourceToTheByteModeOwnerAndTime) {
  const auto manifest = Publish();
  ASSERT_TRUE(store_.Materialize(manifest.info().id(), target_).ok());
  EXPECT_EQ(DescribeTree(target_), DescribeTree(source_));
  EXPECT_TRUE(store_.Verify(manifest.info().id(), target_).ok());
  EXPECT_TRUE(store_.Materialize(manifest.info().id(), target_).ok()) << "at once when it is there";
}

TEST_P(SnapshotStoreContract, UnknownSnapshotIsNotFound) {
  const std::string id(32, 'a');
  EXPECT_TRUE(absl::IsNotFound(store_.GetManifest(id).status()));
  EXPECT_EQ(ReasonOf(store_.GetManifest(id).status()), reason::kSnapshotNotFound);
  EXPECT_TRUE(absl::IsNotFound(store_.Materialize(id, target_)));
  EXPECT_TRUE(absl::IsNotFound(store_.Verify(id, target_)));
  EXPECT_TRUE(absl::IsNotFound(store_.Quarantine(id, "test")));
  EXPECT_TRUE(absl::IsNotFound(store_.ReadChunk(std::string(64, 'a')).status()));
  EXPECT_TRUE(absl::IsNotFound(store_.ReadChunk("../lock").status()));
  EXPECT_TRUE(store_.Remove(id).ok());
}

TEST_P(SnapshotStoreContract, ChunksCarryASnapshotToAnotherStore) {
  const auto manifest = Publish();
  const TempDir other_dir;
  const StoreUnderTest other = GetParam().make(other_dir.Sub("store"));
  const absl::Status too_early = other.store->Adopt(manifest);
  EXPECT_TRUE(absl::IsFailedPrecondition(too_early)) << too_early;
  for (const std::string& sha256 : agent::ChunksOf(manifest)) {
    EXPECT_FALSE(other.store->HasChunk(sha256));
    const auto chunk = store_.ReadChunk(sha256);
    ASSERT_TRUE(chunk.ok()) << chunk.status();
    ASSERT_TRUE(other.store->PutChunk(sha256, *chunk).ok());
    EXPECT_TRUE(other.store->HasChunk(sha256));
  }
  ASSERT_TRUE(other.store->Adopt(manifest).ok());
  EXPECT_TRUE(other.store->Adopt(manifest).ok()) << "again";
  ASSERT_TRUE(other.store->Materialize(manifest.info().id(), target_).ok());
  EXPECT_EQ(DescribeTree(target_), DescribeTree(source_));
}

TEST_P(SnapshotStoreContract, HoldersAreNoPartOfTheIdAndAreNotKept) {
  auto manifest = Publish();
  manifest.mutable_info()->add_holders("a");
  const TempDir other_dir;
  const StoreUnderTest other = GetParam().make(other_dir.Sub("store"));
  for (const std::string& sha256 : agent::ChunksOf(manifest)) {
    ASSERT_TRUE(other.store->PutChunk(sha256, *store_.ReadChunk(sha256)).ok());
  }
  ASSERT_TRUE(other.store->Adopt(manifest).ok());
  EXPECT_TRUE(other.store->GetManifest(manifest.info().id())->info().holders().empty());
}

TEST_P(SnapshotStoreContract, PutOfAFlippedChunkIsDataLossAndKeepsNothing) {
  const auto manifest = Publish();
  const std::string sha256 = PagesChunk(manifest);
  std::string chunk = *store_.ReadChunk(sha256);
  const TempDir other_dir;
  const StoreUnderTest other = GetParam().make(other_dir.Sub("store"));
  std::string flipped = chunk;
  flipped[flipped.size() / 2] ^= 1;
  EXPECT_TRUE(absl::IsDataLoss(other.store->PutChunk(sha256, flipped)));
  EXPECT_TRUE(absl::IsDataLoss(other.store->PutChunk(sha256, chunk + chunk))) << "two frames";
  EXPECT_TRUE(absl::IsDataLoss(other.store->PutChunk(sha256, "")));
  EXPECT_TRUE(absl::IsDataLoss(other.store->PutChunk(std::string(64, '0'), chunk))) << "another chunk's name";
  EXPECT_TRUE(absl::IsInvalidArgument(other.store->PutChunk("../../x", chunk)));
  EXPECT_FALSE(other.store->HasChunk(sha256));
}

TEST_P(SnapshotStoreContract, AdoptRefusesAManifestThatIsNotItsId) {
  auto manifest = Publish();
  manifest.set_uid(0);
  const absl::Status status = store_.Adopt(manifest);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
}

TEST_P(SnapshotStoreContract, AdoptRefusesPathsThatLeadOut) {
  for (const std::string path : {"../evil", "/evil", "images/../../evil", "images//evil", "images/./evil", "nowhere/evil",
                                 "link/evil", "images/pages-1.img/evil", ""}) {
    auto manifest = Publish();
    auto* link = manifest.add_entries();
    link->set_path("link");
    link->set_type(agent::v1::Entry::TYPE_SYMLINK);
    link->set_link_target("/tmp");
    auto* evil = manifest.add_entries();
    evil->set_path(path);
    evil->set_type(agent::v1::Entry::TYPE_FIFO);
    manifest.mutable_info()->set_id(agent::ManifestId(manifest));
    const absl::Status status = store_.Adopt(manifest);
    EXPECT_TRUE(absl::IsDataLoss(status)) << path << ": " << status;
  }
}

TEST_P(SnapshotStoreContract, AdoptRefusesANewerFormat) {
  auto manifest = Publish();
  manifest.set_format(agent::kManifestFormat + 1);
  manifest.mutable_info()->set_id(agent::ManifestId(manifest));
  EXPECT_TRUE(absl::IsFailedPrecondition(store_.Adopt(manifest)));
}

TEST_P(SnapshotStoreContract, DamagedChunkIsDataLossOnReadAndNeverServedAgain) {
  const auto manifest = Publish();
  const std::string sha256 = PagesChunk(manifest);
  under_test_.damage_chunk(sha256);
  const absl::Status status = store_.ReadChunk(sha256).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_EQ(ReasonOf(status), reason::kSnapshotDamaged);
  EXPECT_FALSE(store_.HasChunk(sha256));
  EXPECT_TRUE(absl::IsNotFound(store_.ReadChunk(sha256).status()));
  EXPECT_TRUE(absl::IsNotFound(store_.GetManifest(manifest.info().id()).status())) << "not whole any more";
  EXPECT_FALSE(Lists(manifest.info().id()));
}

TEST_P(SnapshotStoreContract, DamagedChunkIsFoundWhenMaterializing) {
  const auto manifest = Publish();
  under_test_.damage_chunk(PagesChunk(manifest));
  const absl::Status status = store_.Materialize(manifest.info().id(), target_);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_EQ(ReasonOf(status), reason::kSnapshotDamaged);
  EXPECT_TRUE(store_.Quarantine(manifest.info().id(), "test").ok()) << "it is there already";
  EXPECT_FALSE(Lists(manifest.info().id()));
}

TEST_P(SnapshotStoreContract, AfterDamageOnlyTheDamagedChunkIsMissing) {
  const auto manifest = Publish();
  const std::string damaged = PagesChunk(manifest);
  const std::string sound = *store_.ReadChunk(damaged);
  under_test_.damage_chunk(damaged);
  EXPECT_FALSE(store_.ReadChunk(damaged).ok());
  for (const std::string& sha256 : agent::ChunksOf(manifest)) {
    EXPECT_EQ(store_.HasChunk(sha256), sha256 != damaged) << sha256;
  }
  ASSERT_TRUE(store_.PutChunk(damaged, sound).ok());
  ASSERT_TRUE(store_.Adopt(manifest).ok());
  ASSERT_TRUE(store_.Materialize(manifest.info().id(), target_).ok());
  EXPECT_EQ(DescribeTree(target_), DescribeTree(source_));
}

TEST_P(SnapshotStoreContract, DamagedManifestIsDataLossThenNotFound) {
  const auto manifest = Publish();
  under_test_.damage_manifest(manifest.info().id());
  const absl::Status status = store_.GetManifest(manifest.info().id()).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_EQ(ReasonOf(status), reason::kSnapshotDamaged);
  EXPECT_TRUE(absl::IsNotFound(store_.GetManifest(manifest.info().id()).status()));
  EXPECT_TRUE(store_.List().empty());
}

TEST_P(SnapshotStoreContract, FlippedByteInALaidOutFileIsNamed) {
  const auto manifest = Publish();
  ASSERT_TRUE(store_.Materialize(manifest.info().id(), target_).ok());
  FlipByte(target_ + "/images/core-1.img", 3);
  const absl::Status status = store_.Verify(manifest.info().id(), target_);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_EQ(ReasonOf(status), reason::kSnapshotDamaged);
  EXPECT_NE(status.message().find("images/core-1.img"), absl::string_view::npos) << status;
  EXPECT_TRUE(store_.GetManifest(manifest.info().id()).ok()) << "the chunks are as they were";
}

TEST_P(SnapshotStoreContract, QuarantinedSnapshotIsOutOfService) {
  const auto manifest = Publish();
  ASSERT_TRUE(store_.Quarantine(manifest.info().id(), "criu refused it").ok());
  EXPECT_TRUE(absl::IsNotFound(store_.GetManifest(manifest.info().id()).status()));
  EXPECT_TRUE(absl::IsNotFound(store_.Materialize(manifest.info().id(), target_)));
  EXPECT_TRUE(store_.Quarantine(manifest.info().id(), "again").ok());
}

TEST_P(SnapshotStoreContract, RemoveKeepsWhatOthersShareAndDeletesTheRest) {
  const auto first = Publish("v1");
  WriteFile(source_ + "/images/core-1.img", "of the second one only");
  const auto second = Publish("v2");
  ASSERT_TRUE(store_.Remove(first.info().id()).ok());
  EXPECT_TRUE(absl::IsNotFound(store_.GetManifest(first.info().id()).status()));
  const auto kept = agent::ChunksOf(second);
  bool deleted = false;
  for (const std::string& sha256 : agent::ChunksOf(first)) {
    const bool shared = std::binary_search(kept.begin(), kept.end(), sha256);
    EXPECT_EQ(store_.HasChunk(sha256), shared) << sha256;
    deleted |= !shared;
  }
  EXPECT_TRUE(deleted) << "the test's trees must differ";
  ASSERT_TRUE(store_.Materialize(second.info().id(), target_).ok());
  EXPECT_EQ(DescribeTree(target_), DescribeTree(source_));
}

}  // namespace thaw::testing

#endif  // THAW_TESTS_CONTRACT_SNAPSHOT_STORE_CONTRACT_H_
