// What every Store does, over the fake and the real one, so that the fake can't drift.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>

#include "common/status/reasons.h"
#include "scheduler/store/sqlite_store.h"
#include "scheduler/store/store.h"
#include "tests/fakes/fake_store.h"

namespace thaw::scheduler {
namespace {

using Table = WriteBatch::Table;

class StoreContractTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::string(GetParam()) == "fake") {
      store_ = std::make_unique<thaw::testing::FakeStore>();
      return;
    }
    char path[] = "/tmp/thaw-store-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    directory_ = path;
    auto store = SqliteStore::Open(directory_ + "/thaw.db");
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  void TearDown() override {
    store_.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  StoreContents Load() {
    auto contents = store_->Load();
    EXPECT_TRUE(contents.ok()) << contents.status();
    return contents.ok() ? *std::move(contents) : StoreContents{};
  }

  void ExpectEmpty() {
    const StoreContents contents = Load();
    EXPECT_TRUE(contents.apps.empty());
    EXPECT_TRUE(contents.functions.empty());
    EXPECT_TRUE(contents.versions.empty());
    EXPECT_TRUE(contents.snapshots.empty());
    EXPECT_TRUE(contents.nodes.empty());
    EXPECT_TRUE(contents.removed_snapshots.empty());
    EXPECT_TRUE(contents.checkpoint_failures.empty());
    EXPECT_TRUE(contents.secrets.empty());
  }

  static common::v1::App App(const std::string& id, const std::string& name) {
    common::v1::App app;
    app.set_id(id);
    app.set_name(name);
    (*app.mutable_config())["KEY"] = "väl\nue";
    return app;
  }
  static common::v1::Function Function(const std::string& id, const std::string& app_id, const std::string& name) {
    common::v1::Function function;
    function.set_id(id);
    function.set_app_id(app_id);
    function.set_name(name);
    function.set_memory_mib(256);
    return function;
  }
  static common::v1::SnapshotInfo Snapshot(const std::string& id, const std::string& version_id) {
    common::v1::SnapshotInfo snapshot;
    snapshot.set_id(id);
    snapshot.set_version_id(version_id);
    snapshot.set_raw_bytes(123456789012);
    return snapshot;
  }

  std::string directory_;
  std::unique_ptr<Store> store_;
};

INSTANTIATE_TEST_SUITE_P(Stores, StoreContractTest, ::testing::Values("fake", "sqlite"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(StoreContractTest, ANewStoreIsEmpty) {
  ExpectEmpty();
}

TEST_P(StoreContractTest, EveryKindOfRowComesBackAsItWasPut) {
  common::v1::VersionSpec version;
  version.set_version_id("v1");
  version.set_function_id("f1");
  (*version.mutable_config())["A"] = "b";
  common::v1::Node node;
  node.set_id("n1");
  node.set_address("10.0.0.1:7300");
  const absl::Time when = absl::FromUnixMicros(1'790'000'000'123'456);
  WriteBatch batch;
  batch.Put(App("a1", "app"))
      .Put(Function("f1", "a1", "fn"))
      .Put(version)
      .Put(Snapshot("s1", "v1"))
      .AddHolder("s1", "n2")
      .AddHolder("s1", "n1")
      .Put(node)
      .Put(RemovedSnapshot{"s0", when})
      .Put(CheckpointFailure{"v1", 3, "criu said \"no\"", when});
  ASSERT_TRUE(store_->Apply(batch).ok());

  const StoreContents contents = Load();
  ASSERT_EQ(contents.apps.size(), 1u);
  EXPECT_EQ(contents.apps[0].SerializeAsString(), App("a1", "app").SerializeAsString());
  ASSERT_EQ(contents.functions.size(), 1u);
  EXPECT_EQ(contents.functions[0].SerializeAsString(), Function("f1", "a1", "fn").SerializeAsString());
  ASSERT_EQ(contents.versions.size(), 1u);
  EXPECT_EQ(contents.versions[0].SerializeAsString(), version.SerializeAsString());
  ASSERT_EQ(contents.snapshots.size(), 1u);
  EXPECT_EQ(contents.snapshots[0].raw_bytes(), 123456789012u);
  ASSERT_EQ(contents.snapshots[0].holders_size(), 2);
  EXPECT_EQ(contents.snapshots[0].holders(0), "n1");
  EXPECT_EQ(contents.snapshots[0].holders(1), "n2");
  ASSERT_EQ(contents.nodes.size(), 1u);
  EXPECT_EQ(contents.nodes[0].SerializeAsString(), node.SerializeAsString());
  ASSERT_EQ(contents.removed_snapshots.size(), 1u);
  EXPECT_EQ(contents.removed_snapshots[0].id, "s0");
  EXPECT_EQ(contents.removed_snapshots[0].removed_at, when);
  ASSERT_EQ(contents.checkpoint_failures.size(), 1u);
  EXPECT_EQ(contents.checkpoint_failures[0].version_id, "v1");
  EXPECT_EQ(contents.checkpoint_failures[0].failures, 3u);
  EXPECT_EQ(contents.checkpoint_failures[0].last_error, "criu said \"no\"");
  EXPECT_EQ(contents.checkpoint_failures[0].failed_at, when);
}

TEST_P(StoreContractTest, PutReplacesTheRowOfTheSameId) {
  ASSERT_TRUE(store_->Apply(WriteBatch().Put(Function("f1", "a1", "fn")).Put(Snapshot("s1", "v1")).AddHolder("s1", "n1")).ok());
  auto function = Function("f1", "a1", "fn");
  function.set_memory_mib(512);
  auto snapshot = Snapshot("s1", "v1");
  snapshot.set_raw_bytes(1);
  ASSERT_TRUE(store_->Apply(WriteBatch().Put(function).Put(snapshot)).ok());
  const StoreContents contents = Load();
  ASSERT_EQ(contents.functions.size(), 1u);
  EXPECT_EQ(contents.functions[0].memory_mib(), 512u);
  ASSERT_EQ(contents.snapshots.size(), 1u);
  EXPECT_EQ(contents.snapshots[0].raw_bytes(), 1u);
  // A snapshot that is put again keeps its holders: they are rows of their own.
  EXPECT_EQ(contents.snapshots[0].holders_size(), 1);
}

TEST_P(StoreContractTest, TheHoldersInAPutSnapshotAreIgnored) {
  auto snapshot = Snapshot("s1", "v1");
  snapshot.add_holders("n1");
  ASSERT_TRUE(store_->Apply(WriteBatch().Put(snapshot)).ok());
  ASSERT_EQ(Load().snapshots.size(), 1u);
  EXPECT_EQ(Load().snapshots[0].holders_size(), 0);
}

TEST_P(StoreContractTest, DeletingASnapshotDeletesItsHolders) {
  ASSERT_TRUE(store_->Apply(WriteBatch().Put(Snapshot("s1", "v1")).AddHolder("s1", "n1")).ok());
  ASSERT_TRUE(store_->Apply(WriteBatch().Remove(Table::kSnapshot, "s1")).ok());
  ASSERT_TRUE(store_->Apply(WriteBatch().Put(Snapshot("s1", "v1"))).ok());
  EXPECT_EQ(Load().snapshots[0].holders_size(), 0);
}

TEST_P(StoreContractTest, EveryKindOfRowCanBeDeletedAndDeletingNothingIsNoError) {
  common::v1::VersionSpec version;
  version.set_version_id("x");
  common::v1::Node node;
  node.set_id("x");
  ASSERT_TRUE(store_
                  ->Apply(WriteBatch()
                              .Put(App("x", "app"))
                              .Put(Function("x", "a1", "fn"))
                              .Put(version)
                              .Put(Snapshot("x", "v1"))
                              .AddHolder("x", "n1")
                              .Put(node)
                              .Put(RemovedSnapshot{"x", absl::UnixEpoch()})
                              .Put(CheckpointFailure{"x", 1, "", absl::UnixEpoch()}))
                  .ok());
  WriteBatch deletes;
  deletes.RemoveHolder("x", "n1");
  for (const Table table : {Table::kApp, Table::kFunction, Table::kVersion, Table::kSnapshot, Table::kNode,
                            Table::kRemovedSnapshot, Table::kCheckpointFailure}) {
    deletes.Remove(table, "x");
  }
  ASSERT_TRUE(store_->Apply(deletes).ok());
  ExpectEmpty();
  EXPECT_TRUE(store_->Apply(deletes).ok());
}

TEST_P(StoreContractTest, TwoAppsOfOneNameAreRefused) {
  ASSERT_TRUE(store_->Apply(WriteBatch().Put(App("a1", "app"))).ok());
  const absl::Status status = store_->Apply(WriteBatch().Put(App("a2", "app")));
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReasonOf(status), reason::kAlreadyExists);
  EXPECT_EQ(Load().apps.size(), 1u);
}

TEST_P(StoreContractTest, AFunctionsNameIsUniqueWithinItsAppOnly) {
  ASSERT_TRUE(store_->Apply(WriteBatch().Put(Function("f1", "a1", "fn")).Put(Function("f2", "a2", "fn"))).ok());
  EXPECT_EQ(store_->Apply(WriteBatch().Put(Function("f3", "a1", "fn"))).code(), absl::StatusCode::kAlreadyExists);
}

TEST_P(StoreContractTest, ASecretIsKeptByAppAndName) {
  const absl::Time at = absl::FromUnixMicros(1234567);
  ASSERT_TRUE(store_->Apply(WriteBatch()
                                .Put(SecretRow{"a", "key", at, 3, std::string("\0x\xff", 3)})
                                .Put(SecretRow{"b", "key", at, 3, "other"})
                                .Put(SecretRow{"a", "key", at, 4, std::string("\0y\xff", 3)}))
                  .ok());
  ASSERT_EQ(Load().secrets.size(), 2u);
  ASSERT_TRUE(store_->Apply(WriteBatch().RemoveSecret("b", "key").RemoveSecret("b", "none")).ok());
  const StoreContents contents = Load();
  ASSERT_EQ(contents.secrets.size(), 1u);
  EXPECT_EQ(contents.secrets[0].app_id, "a");
  EXPECT_EQ(contents.secrets[0].name, "key");
  EXPECT_EQ(contents.secrets[0].updated_at, at);
  EXPECT_EQ(contents.secrets[0].size_bytes, 4u);
  EXPECT_EQ(contents.secrets[0].sealed, std::string("\0y\xff", 3));
}

TEST_P(StoreContractTest, AHolderOfAnUnknownSnapshotIsRefused) {
  EXPECT_EQ(store_->Apply(WriteBatch().AddHolder("s1", "n1")).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(StoreContractTest, ABatchThatFailsAtItsEndChangesNothing) {
  ASSERT_TRUE(store_->Apply(WriteBatch().Put(App("a1", "app")).Put(Snapshot("s1", "v1")).AddHolder("s1", "n1")).ok());
  EXPECT_FALSE(store_
                   ->Apply(WriteBatch()
                               .Put(App("a2", "other"))
                               .Remove(Table::kSnapshot, "s1")
                               .Put(Function("f1", "a1", "fn"))
                               .Put(App("a3", "app")))
                   .ok());
  const StoreContents contents = Load();
  ASSERT_EQ(contents.apps.size(), 1u);
  EXPECT_EQ(contents.apps[0].id(), "a1");
  EXPECT_TRUE(contents.functions.empty());
  ASSERT_EQ(contents.snapshots.size(), 1u);
  EXPECT_EQ(contents.snapshots[0].holders_size(), 1);
  // And the store still takes the next one.
  EXPECT_TRUE(store_->Apply(WriteBatch().Put(App("a2", "other"))).ok());
}

TEST_P(StoreContractTest, OperationsOfOneBatchHappenInTheirOrder) {
  ASSERT_TRUE(store_->Apply(WriteBatch().Put(App("a1", "app"))).ok());
  // The name is free only once its old owner is gone.
  ASSERT_TRUE(store_->Apply(WriteBatch().Remove(Table::kApp, "a1").Put(App("a2", "app"))).ok());
  ASSERT_EQ(Load().apps.size(), 1u);
  EXPECT_EQ(Load().apps[0].id(), "a2");
}

}  // namespace
}  // namespace thaw::scheduler
