#include "agent/snapshot/laid_out.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/agent/snapshot/sample_tree.h"
#include "tests/fakes/fake_snapshot_store.h"

namespace thaw::agent {
namespace {

namespace fs = std::filesystem;

class LaidOutTest : public ::testing::Test {
 protected:
  LaidOutTest() {
    testing::WriteSampleTree(source_);
    fs::create_directories(paths_.Cracdata("v1"));
    fs::create_directories(paths_.Cracdata("v2"));
    id_ = store_.Publish(source_, testing::DraftManifest("v1"))->info().id();
  }
  std::string LayOut(const std::string& version, const std::string& name) {
    const std::string dir = absl::StrCat(paths_.Cracdata(version), "/", name);
    fs::create_directories(dir + "/images");
    testing::WriteFile(dir + "/images/pages-1.img", "a secret");
    return dir;
  }
  bool NothingIn(const std::string& version) { return fs::is_empty(paths_.Cracdata(version)); }

  testing::TempDir dir_;
  const std::string source_ = dir_.Sub("source");
  const Paths paths_{dir_.path()};
  testing::FakeSnapshotStore store_{testing::FakeSnapshotStore::Trees::kOnDisk};
  LaidOutSnapshots laid_out_{store_, paths_};
  std::string id_;
};

TEST_F(LaidOutTest, RemovedSnapshotLeavesNoDirectory) {
  LayOut("v1", id_);
  ASSERT_TRUE(laid_out_.RemoveSnapshot(id_).ok());
  EXPECT_TRUE(store_.List().empty());
  EXPECT_TRUE(NothingIn("v1"));
}

TEST_F(LaidOutTest, RemovalFindsTheDirectoryOfAQuarantinedSnapshotWithoutItsManifest) {
  LayOut("v1", id_);
  ASSERT_TRUE(store_.Quarantine(id_, "test").ok());
  ASSERT_TRUE(laid_out_.RemoveSnapshot(id_).ok());
  EXPECT_TRUE(NothingIn("v1")) << "`thaw snapshot rm` is the remedy for a revoked secret";
}

TEST_F(LaidOutTest, OnlyThatSnapshotGoes) {
  LayOut("v1", id_);
  const std::string other = LayOut("v2", std::string(32, 'b'));
  const std::string dump = LayOut("v1", "dump-i1");
  ASSERT_TRUE(laid_out_.RemoveSnapshot(id_).ok());
  EXPECT_TRUE(fs::exists(other));
  EXPECT_TRUE(fs::exists(dump));
}

TEST_F(LaidOutTest, WhatTheStoreHasStays) {
  const std::string dir = LayOut("v1", id_);
  ASSERT_TRUE(laid_out_.RemoveUnlessStored(id_).ok());
  EXPECT_TRUE(fs::exists(dir));
  ASSERT_TRUE(store_.Quarantine(id_, "test").ok());
  ASSERT_TRUE(laid_out_.RemoveUnlessStored(id_).ok());
  EXPECT_TRUE(NothingIn("v1"));
}

TEST_F(LaidOutTest, AFailedRemovalKeepsBoth) {
  const std::string dir = LayOut("v1", id_);
  store_.FailNext(testing::FakeSnapshotStore::Op::kRemove, absl::InternalError("the disk"));
  EXPECT_FALSE(laid_out_.RemoveSnapshot(id_).ok());
  EXPECT_TRUE(fs::exists(dir)) << "a snapshot in the catalogue stays one that can be restored";
}

TEST_F(LaidOutTest, NamesThatAreNoSnapshotsAreRefused) {
  const std::string dir = LayOut("v1", "dump-i1");
  for (const std::string name : {"", ".", "..", "dump-i1", "../cracdata"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(laid_out_.RemoveUnlessStored(name))) << name;
  }
  EXPECT_TRUE(fs::exists(dir));
}

TEST_F(LaidOutTest, AtTheStartAllThatTheStoreDoesNotHaveGoes) {
  const std::string kept = LayOut("v1", id_);
  LayOut("v2", std::string(32, 'b'));
  LayOut("v2", std::string(32, 'c'));
  EXPECT_EQ(laid_out_.RemoveAllUnstored(), 2u);
  EXPECT_TRUE(NothingIn("v2"));
  EXPECT_TRUE(fs::exists(kept));
}

}  // namespace
}  // namespace thaw::agent
