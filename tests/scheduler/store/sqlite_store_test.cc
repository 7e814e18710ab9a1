// What only the real store has: a file that outlives its process, its age, its owner.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status/reasons.h"
#include "scheduler/store/sqlite_store.h"

namespace thaw::scheduler {
namespace {

using ::testing::HasSubstr;

class SqliteStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/thaw-store-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    directory_ = path;
    file_ = directory_ + "/thaw.db";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  static common::v1::App App(const std::string& id, std::size_t config_bytes = 0) {
    common::v1::App app;
    app.set_id(id);
    app.set_name("name-" + id);
    if (config_bytes > 0) (*app.mutable_config())["K"] = std::string(config_bytes, 'x');
    return app;
  }

  // Runs SQL on the file, as another program would.
  void Sql(const std::string& sql) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(file_.c_str(), &database), SQLITE_OK);
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, &error), SQLITE_OK) << error;
    sqlite3_close(database);
  }

  std::string directory_, file_;
};

TEST_F(SqliteStoreTest, WhatWasAppliedSurvivesAKillOfTheProcess) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    auto store = SqliteStore::Open(file_);
    if (!store.ok()) _exit(1);
    for (int i = 0; i < 50; ++i) {
      if (!(*store)->Apply(WriteBatch().Put(App(absl::StrCat("a", i)))).ok()) _exit(2);
    }
    if (write(ready[1], "x", 1) != 1) _exit(3);
    pause();
    _exit(4);
  }
  ASSERT_GT(child, 0);
  close(ready[1]);
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1) << "the child failed before it had written";
  close(ready[0]);
  ASSERT_EQ(kill(child, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  // Proof that the log was never folded in: the child had no chance to close.
  EXPECT_GT(std::filesystem::file_size(file_ + "-wal"), 0u);

  auto store = SqliteStore::Open(file_);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->Load()->apps.size(), 50u);
}

// Of every schema before today's there is a fixture, as SQL: a catalogue with a snapshot that two nodes hold.
class OlderSchemaTest : public SqliteStoreTest, public ::testing::WithParamInterface<int> {};

INSTANTIATE_TEST_SUITE_P(, OlderSchemaTest, ::testing::Range(1, SqliteStore::kSchemaVersion),
                         ::testing::PrintToStringParamName());

TEST_P(OlderSchemaTest, IsBroughtUpToDateWithAllThatIsInIt) {
  const int schema = GetParam();
  std::ifstream fixture(absl::StrCat(THAW_STORE_FIXTURES "/schema_v", schema, ".sql"));
  ASSERT_TRUE(fixture) << "a new schema needs a fixture of the one before it: CONTRIBUTING.md";
  std::ostringstream sql;
  sql << fixture.rdbuf();
  Sql(sql.str());

  auto store = SqliteStore::Open(file_);
  ASSERT_TRUE(store.ok()) << store.status();
  auto contents = (*store)->Load();
  ASSERT_TRUE(contents.ok()) << contents.status();
  ASSERT_EQ(contents->apps.size(), 1u);
  EXPECT_EQ(contents->apps[0].name(), "demo");
  EXPECT_EQ(contents->apps[0].config().at("GREETING"), "hello");
  ASSERT_EQ(contents->functions.size(), 1u);
  EXPECT_EQ(contents->functions[0].name(), "hello");
  EXPECT_EQ(contents->functions[0].memory_mib(), 256u);
  ASSERT_EQ(contents->versions.size(), 1u);
  EXPECT_EQ(contents->versions[0].version_id(), contents->functions[0].version_id());
  ASSERT_EQ(contents->snapshots.size(), 1u);
  EXPECT_EQ(contents->snapshots[0].version_id(), contents->versions[0].version_id());
  ASSERT_EQ(contents->snapshots[0].holders_size(), 2);
  ASSERT_EQ(contents->nodes.size(), 2u);
  if (schema >= 2) {
    ASSERT_EQ(contents->removed_snapshots.size(), 1u);
    EXPECT_EQ(contents->removed_snapshots[0].id, "fedcba9876543210fedcba9876543210");
    ASSERT_EQ(contents->checkpoint_failures.size(), 1u);
    EXPECT_EQ(contents->checkpoint_failures[0].version_id, contents->versions[0].version_id());
    EXPECT_EQ(contents->checkpoint_failures[0].failures, 2);
    EXPECT_EQ(contents->checkpoint_failures[0].last_error, "criu dump failed");
    EXPECT_EQ(contents->checkpoint_failures[0].failed_at, absl::FromUnixSeconds(1'790'000'001));
  }
  const std::size_t failures = contents->checkpoint_failures.size();
  // What an older schema could not hold.
  ASSERT_TRUE((*store)
                  ->Apply(WriteBatch()
                              .Put(RemovedSnapshot{"s", absl::UnixEpoch()})
                              .Put(CheckpointFailure{"v", 1, "e", absl::UnixEpoch()})
                              .Put(SecretRow{"a", "key", absl::UnixEpoch(), 1, "sealed"}))
                  .ok());
  // Opened again, it is a file of today.
  store->reset();
  store = SqliteStore::Open(file_);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->Load()->checkpoint_failures.size(), failures + 1);
  EXPECT_EQ((*store)->Load()->secrets.size(), 1u);
}

TEST_F(SqliteStoreTest, ANewerSchemaIsRefusedAndLeftAlone) {
  ASSERT_TRUE(SqliteStore::Open(file_).ok());
  Sql("UPDATE meta SET value = '999' WHERE key = 'schema_version'");
  const auto store = SqliteStore::Open(file_);
  EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("schema version 999, newer than this program's 3"));
  // Still what it was.
  EXPECT_EQ(SqliteStore::Open(file_).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(SqliteStoreTest, AnotherProgramsDatabaseIsRefused) {
  Sql("CREATE TABLE songs (title TEXT)");
  const auto store = SqliteStore::Open(file_);
  EXPECT_EQ(store.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("not one of Thaw's"));
}

TEST_F(SqliteStoreTest, AFileThatIsNoDatabaseIsRefused) {
  std::ofstream(file_) << std::string(8192, 'n') << "o database";
  EXPECT_EQ(SqliteStore::Open(file_).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(SqliteStoreTest, ADamagedRowIsNamed) {
  {
    auto store = SqliteStore::Open(file_);
    ASSERT_TRUE((*store)->Apply(WriteBatch().Put(App("a1"))).ok());
  }
  Sql("UPDATE apps SET record = x'ff00ff'");
  auto store = SqliteStore::Open(file_);
  ASSERT_TRUE(store.ok());
  const auto contents = (*store)->Load();
  EXPECT_EQ(contents.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(contents.status().message()), HasSubstr("damaged row 'a1' in apps"));
}

TEST_F(SqliteStoreTest, ASecondSchedulerIsKeptOutWhileTheFirstRuns) {
  auto first = SqliteStore::Open(file_);
  ASSERT_TRUE(first.ok());
  const auto second = SqliteStore::Open(file_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("in use by another scheduler"));
  first->reset();
  EXPECT_TRUE(SqliteStore::Open(file_).ok());
}

TEST_F(SqliteStoreTest, TheFilesAreTheOwnersAlone) {
  const mode_t mask = umask(0);
  auto store = SqliteStore::Open(file_);
  umask(mask);
  ASSERT_TRUE(store.ok());
  ASSERT_TRUE((*store)->Apply(WriteBatch().Put(App("a1"))).ok());
  for (const char* suffix : {"", "-wal", ".lock"}) {
    struct stat info;
    ASSERT_EQ(stat((file_ + suffix).c_str(), &info), 0) << suffix;
    EXPECT_EQ(info.st_mode & 0777, 0600) << suffix;
  }
}

TEST_F(SqliteStoreTest, ADirectoryThatIsNotThereIsNamed) {
  const auto store = SqliteStore::Open(directory_ + "/none/thaw.db");
  EXPECT_EQ(store.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("/none/thaw.db"));
}

// A file size limit stands for the full disk: SQLite gets the same refusal from write().
TEST_F(SqliteStoreTest, AFullDiskFailsTheWriteKeepsTheRestAndHeals) {
  auto store = SqliteStore::Open(file_);
  ASSERT_TRUE(store.ok());
  ASSERT_TRUE((*store)->Apply(WriteBatch().Put(App("a1"))).ok());
  struct rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit small = before;
  small.rlim_cur = std::filesystem::file_size(file_ + "-wal") + 4096;
  ASSERT_EQ(signal(SIGXFSZ, SIG_IGN), SIG_DFL);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = (*store)->Apply(WriteBatch().Put(App("a2", 1 << 20)));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, SIG_DFL);

  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(ReasonOf(status), reason::kDiskFull);
  EXPECT_EQ((*store)->Load()->apps.size(), 1u);
  ASSERT_TRUE((*store)->Apply(WriteBatch().Put(App("a2", 1 << 20))).ok());
  EXPECT_EQ((*store)->Load()->apps.size(), 2u);
}

}  // namespace
}  // namespace thaw::scheduler
