#include "scheduler/store/sqlite_store.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <iterator>
#include <unordered_map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::scheduler {
namespace {

// kMigrations[n] takes a file from schema n to n + 1. A released entry never changes: a file of any age is brought up
// by running the rest of the list.
constexpr const char* kMigrations[] = {
    // 0 → 1
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE apps (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, record BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE functions (id TEXT PRIMARY KEY, app_id TEXT NOT NULL, name TEXT NOT NULL, record BLOB NOT NULL,"
    "  UNIQUE (app_id, name)) WITHOUT ROWID;"
    "CREATE TABLE versions (id TEXT PRIMARY KEY, function_id TEXT NOT NULL, record BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE snapshots (id TEXT PRIMARY KEY, version_id TEXT NOT NULL, record BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE holders (snapshot_id TEXT NOT NULL REFERENCES snapshots (id) ON DELETE CASCADE,"
    "  node_id TEXT NOT NULL, PRIMARY KEY (snapshot_id, node_id)) WITHOUT ROWID;"
    "CREATE TABLE nodes (id TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;",
    // 1 → 2
    "CREATE TABLE removed_snapshots (id TEXT PRIMARY KEY, removed_at_us INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE checkpoint_failures (version_id TEXT PRIMARY KEY, failures INTEGER NOT NULL,"
    "  last_error TEXT NOT NULL, failed_at_us INTEGER NOT NULL) WITHOUT ROWID;",
    // 2 → 3
    "CREATE TABLE secrets (app_id TEXT NOT NULL, name TEXT NOT NULL, updated_at_us INTEGER NOT NULL,"
    "  size_bytes INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (app_id, name)) WITHOUT ROWID;",
};
static_assert(std::size(kMigrations) == SqliteStore::kSchemaVersion);

// How long a statement waits for a reader outside (sqlite3, a backup) before it fails.
constexpr int kBusyTimeoutMillis = 2000;

// Marks the file as ours ("THAW").
constexpr int kApplicationId = 0x54484157;

struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

// One statement: bound from left to right, then stepped.
class Statement {
 public:
  Statement(sqlite3* database, const char* sql) {
    sqlite3_stmt* statement = nullptr;
    code_ = sqlite3_prepare_v2(database, sql, -1, &statement, nullptr);
    statement_.reset(statement);
  }
  Statement& Text(absl::string_view value) {
    if (code_ == SQLITE_OK) {
      code_ = sqlite3_bind_text(statement_.get(), ++bound_, value.data(), static_cast<int>(value.size()),
                                SQLITE_TRANSIENT);
    }
    return *this;
  }
  Statement& Blob(const std::string& value) {
    if (code_ == SQLITE_OK) {
      code_ = sqlite3_bind_blob(statement_.get(), ++bound_, value.data(), static_cast<int>(value.size()),
                                SQLITE_TRANSIENT);
    }
    return *this;
  }
  Statement& Integer(std::int64_t value) {
    if (code_ == SQLITE_OK) code_ = sqlite3_bind_int64(statement_.get(), ++bound_, value);
    return *this;
  }
  // SQLITE_ROW, SQLITE_DONE, or the first error of binding or stepping.
  int Step() { return code_ == SQLITE_OK ? sqlite3_step(statement_.get()) : code_; }

  // Bytes of a column of the current row.
  absl::string_view Column(int index) const {
    const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_.get(), index));
    return absl::string_view(data, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), index)));
  }
  std::int64_t IntegerColumn(int index) const { return sqlite3_column_int64(statement_.get(), index); }

 private:
  std::unique_ptr<sqlite3_stmt, FinalizeStatement> statement_;
  int code_ = SQLITE_OK;
  int bound_ = 0;
};

// Whether the last system call that failed on the write-ahead log did so for want of space. (sqlite3_system_errno()
// answers with whatever errno is by now.)
bool NoSpaceForLog(sqlite3* database) {
  sqlite3_file* log = nullptr;
  if (sqlite3_file_control(database, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) != SQLITE_OK || log == nullptr ||
      log->pMethods == nullptr) {
    return false;
  }
  int cause = 0;
  if (log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &cause) != SQLITE_OK) return false;
  return cause == ENOSPC || cause == EDQUOT || cause == EFBIG;
}

absl::Status DiskFull(const std::string& message) {
  return WithReason(absl::ResourceExhaustedError(absl::StrCat(message, "; free space on the disk of --data-dir")),
                    reason::kDiskFull);
}

const char* DeleteSql(WriteBatch::Table table) {
  switch (table) {
    case WriteBatch::Table::kApp:
      return "DELETE FROM apps WHERE id = ?";
    case WriteBatch::Table::kFunction:
      return "DELETE FROM functions WHERE id = ?";
    case WriteBatch::Table::kVersion:
      return "DELETE FROM versions WHERE id = ?";
    case WriteBatch::Table::kSnapshot:
      return "DELETE FROM snapshots WHERE id = ?";
    case WriteBatch::Table::kNode:
      return "DELETE FROM nodes WHERE id = ?";
    case WriteBatch::Table::kRemovedSnapshot:
      return "DELETE FROM removed_snapshots WHERE id = ?";
    case WriteBatch::Table::kCheckpointFailure:
      return "DELETE FROM checkpoint_failures WHERE version_id = ?";
  }
  return "";
}

// Runs one operation; the result is SQLITE_DONE when it went well.
struct Runner {
  sqlite3* database;

  int operator()(const common::v1::App& app) const {
    return Statement(database,
                     "INSERT INTO apps VALUES (?,?,?) ON CONFLICT (id) DO UPDATE SET name = excluded.name,"
                     " record = excluded.record")
        .Text(app.id())
        .Text(app.name())
        .Blob(app.SerializeAsString())
        .Step();
  }
  int operator()(const common::v1::Function& function) const {
    return Statement(database,
                     "INSERT INTO functions VALUES (?,?,?,?) ON CONFLICT (id) DO UPDATE SET app_id = excluded.app_id,"
                     " name = excluded.name, record = excluded.record")
        .Text(function.id())
        .Text(function.app_id())
        .Text(function.name())
        .Blob(function.SerializeAsString())
        .Step();
  }
  int operator()(const common::v1::VersionSpec& version) const {
    return Statement(database,
                     "INSERT INTO versions VALUES (?,?,?) ON CONFLICT (id) DO UPDATE SET"
                     " function_id = excluded.function_id, record = excluded.record")
        .Text(version.version_id())
        .Text(version.function_id())
        .Blob(version.SerializeAsString())
        .Step();
  }
  int operator()(const common::v1::SnapshotInfo& snapshot) const {
    common::v1::SnapshotInfo record = snapshot;
    record.clear_holders();
    return Statement(database,
                     "INSERT INTO snapshots VALUES (?,?,?) ON CONFLICT (id) DO UPDATE SET"
                     " version_id = excluded.version_id, record = excluded.record")
        .Text(record.id())
        .Text(record.version_id())
        .Blob(record.SerializeAsString())
        .Step();
  }
  int operator()(const common::v1::Node& node) const {
    return Statement(database, "INSERT INTO nodes VALUES (?,?) ON CONFLICT (id) DO UPDATE SET record = excluded.record")
        .Text(node.id())
        .Blob(node.SerializeAsString())
        .Step();
  }
  int operator()(const RemovedSnapshot& removed) const {
    return Statement(database, "INSERT OR REPLACE INTO removed_snapshots VALUES (?,?)")
        .Text(removed.id)
        .Integer(absl::ToUnixMicros(removed.removed_at))
        .Step();
  }
  int operator()(const CheckpointFailure& failure) const {
    return Statement(database, "INSERT OR REPLACE INTO checkpoint_failures VALUES (?,?,?,?)")
        .Text(failure.version_id)
        .Integer(failure.failures)
        .Text(failure.last_error)
        .Integer(absl::ToUnixMicros(failure.failed_at))
        .Step();
  }
  int operator()(const SecretRow& secret) const {
    return Statement(database, "INSERT OR REPLACE INTO secrets VALUES (?,?,?,?,?)")
        .Text(secret.app_id)
        .Text(secret.name)
        .Integer(absl::ToUnixMicros(secret.updated_at))
        .Integer(secret.size_bytes)
        .Blob(secret.sealed)
        .Step();
  }
  int operator()(const WriteBatch::DeleteSecret& secret) const {
    return Statement(database, "DELETE FROM secrets WHERE app_id = ? AND name = ?")
        .Text(secret.app_id)
        .Text(secret.name)
        .Step();
  }
  int operator()(const WriteBatch::PutHolder& holder) const {
    return Statement(database, "INSERT INTO holders VALUES (?,?) ON CONFLICT DO NOTHING")
        .Text(holder.snapshot_id)
        .Text(holder.node_id)
        .Step();
  }
  int operator()(const WriteBatch::DeleteHolder& holder) const {
    return Statement(database, "DELETE FROM holders WHERE snapshot_id = ? AND node_id = ?")
        .Text(holder.snapshot_id)
        .Text(holder.node_id)
        .Step();
  }
  int operator()(const WriteBatch::Delete& row) const {
    return Statement(database, DeleteSql(row.table)).Text(row.id).Step();
  }
};

}  // namespace

void SqliteStore::CloseDatabase::operator()(sqlite3* database) const { sqlite3_close_v2(database); }

absl::StatusOr<std::unique_ptr<SqliteStore>> SqliteStore::Open(const std::string& path) {
  std::unique_ptr<SqliteStore> store(new SqliteStore(path));
  RETURN_IF_ERROR(store->TakeLock());
  // SQLite would make the file with the umask's mode; its log takes the file's.
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) {
    return absl::UnavailableError(absl::StrCat("the store ", path, " can't be opened: ", strerror(errno),
                                               "; check --data-dir and its mode"));
  }
  close(file);
  sqlite3* database = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  store->database_.reset(database);
  if (code != SQLITE_OK) return store->Failure(code, "be opened");
  RETURN_IF_ERROR(store->Configure());
  RETURN_IF_ERROR(store->Migrate());
  return store;
}

SqliteStore::~SqliteStore() {
  // The database goes first, so that whoever waits for the lock finds its log closed.
  database_.reset();
  if (lock_descriptor_ >= 0) close(lock_descriptor_);
}

absl::Status SqliteStore::TakeLock() {
  const std::string lock_path = path_ + ".lock";
  lock_descriptor_ = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_descriptor_ < 0) {
    return absl::UnavailableError(
        absl::StrCat("the store's lock ", lock_path, " can't be opened: ", strerror(errno), "; check --data-dir"));
  }
  if (flock(lock_descriptor_, LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
  if (errno == EWOULDBLOCK) {
    return absl::FailedPreconditionError(absl::StrCat("the store ", path_,
                                                      " is in use by another scheduler; stop that one or choose "
                                                      "another --data-dir"));
  }
  return absl::UnavailableError(absl::StrCat("the store's lock ", lock_path, " can't be taken: ", strerror(errno)));
}

absl::Status SqliteStore::Configure() {
  sqlite3_extended_result_codes(database_.get(), 1);
  sqlite3_busy_timeout(database_.get(), kBusyTimeoutMillis);
  RETURN_IF_ERROR(Execute("PRAGMA journal_mode = WAL"));
  RETURN_IF_ERROR(Execute("PRAGMA synchronous = FULL"));
  return Execute("PRAGMA foreign_keys = ON");
}

absl::StatusOr<int> SqliteStore::ReadSchemaVersion() {
  Statement tables(database_.get(), "SELECT name FROM sqlite_master WHERE type = 'table'");
  bool has_meta = false;
  bool has_tables = false;
  int code;
  while ((code = tables.Step()) == SQLITE_ROW) {
    has_tables = true;
    has_meta = has_meta || tables.Column(0) == "meta";
  }
  if (code != SQLITE_DONE) return Failure(code, "be read");
  if (!has_tables) return 0;
  const absl::Status not_ours = absl::DataLossError(
      absl::StrCat("the store ", path_, " is a database, but not one of Thaw's; choose another --data-dir"));
  if (!has_meta) return not_ours;
  Statement statement(database_.get(), "SELECT value FROM meta WHERE key = 'schema_version'");
  code = statement.Step();
  if (code == SQLITE_DONE) return not_ours;
  if (code != SQLITE_ROW) return Failure(code, "be read");
  int version = 0;
  const absl::string_view text = statement.Column(0);
  if (!absl::SimpleAtoi(text, &version) || version < 1) {
    return absl::DataLossError(absl::StrCat("the store ", path_, " says its schema version is '", text,
                                            "', which is no version; restore it from a backup"));
  }
  return version;
}

absl::Status SqliteStore::Migrate() {
  ASSIGN_OR_RETURN(const int found, ReadSchemaVersion());
  if (found > kSchemaVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("the store ", path_, " has schema version ", found, ", newer than this program's ", kSchemaVersion,
                     "; start a scheduler at least as new as the one that wrote it"));
  }
  if (found == kSchemaVersion) return absl::OkStatus();
  RETURN_IF_ERROR(Execute("BEGIN IMMEDIATE"));
  const auto run = [&]() -> absl::Status {
    for (int version = found; version < kSchemaVersion; ++version) RETURN_IF_ERROR(Execute(kMigrations[version]));
    RETURN_IF_ERROR(Execute(absl::StrCat("PRAGMA application_id = ", kApplicationId).c_str()));
    RETURN_IF_ERROR(Execute(
        absl::StrCat("INSERT OR REPLACE INTO meta VALUES ('schema_version', '", kSchemaVersion, "')").c_str()));
    return Execute("COMMIT");
  };
  absl::Status status = run();
  if (!status.ok()) (void)Execute("ROLLBACK");
  return status;
}

absl::StatusOr<StoreContents> SqliteStore::Load() {
  StoreContents contents;
  const auto read = [this](const char* sql, const char* table, auto& rows) -> absl::Status {
    Statement statement(database_.get(), sql);
    int code;
    while ((code = statement.Step()) == SQLITE_ROW) {
      const absl::string_view record = statement.Column(1);
      if (!rows.emplace_back().ParseFromArray(record.data(), static_cast<int>(record.size()))) {
        return absl::DataLossError(absl::StrCat("the store ", path_, " has a damaged row '", statement.Column(0),
                                                "' in ", table, "; restore it from a backup"));
      }
    }
    return code == SQLITE_DONE ? absl::OkStatus() : Failure(code, absl::StrCat("read ", table));
  };
  RETURN_IF_ERROR(read("SELECT id, record FROM apps", "apps", contents.apps));
  RETURN_IF_ERROR(read("SELECT id, record FROM functions", "functions", contents.functions));
  RETURN_IF_ERROR(read("SELECT id, record FROM versions", "versions", contents.versions));
  RETURN_IF_ERROR(read("SELECT id, record FROM snapshots", "snapshots", contents.snapshots));
  RETURN_IF_ERROR(read("SELECT id, record FROM nodes", "nodes", contents.nodes));

  std::unordered_map<std::string, common::v1::SnapshotInfo*> by_id;
  for (auto& snapshot : contents.snapshots) by_id[snapshot.id()] = &snapshot;
  int code;
  Statement holders(database_.get(), "SELECT snapshot_id, node_id FROM holders ORDER BY snapshot_id, node_id");
  while ((code = holders.Step()) == SQLITE_ROW) {
    const auto it = by_id.find(std::string(holders.Column(0)));
    if (it != by_id.end()) it->second->add_holders(std::string(holders.Column(1)));
  }
  if (code != SQLITE_DONE) return Failure(code, "read holders");
  Statement removed(database_.get(), "SELECT id, removed_at_us FROM removed_snapshots");
  while ((code = removed.Step()) == SQLITE_ROW) {
    contents.removed_snapshots.push_back(
        {std::string(removed.Column(0)), absl::FromUnixMicros(removed.IntegerColumn(1))});
  }
  if (code != SQLITE_DONE) return Failure(code, "read removed_snapshots");
  Statement failures(database_.get(), "SELECT version_id, failures, last_error, failed_at_us FROM checkpoint_failures");
  while ((code = failures.Step()) == SQLITE_ROW) {
    contents.checkpoint_failures.push_back(
        {std::string(failures.Column(0)), static_cast<std::uint32_t>(failures.IntegerColumn(1)),
         std::string(failures.Column(2)), absl::FromUnixMicros(failures.IntegerColumn(3))});
  }
  if (code != SQLITE_DONE) return Failure(code, "read checkpoint_failures");
  Statement secrets(database_.get(), "SELECT app_id, name, updated_at_us, size_bytes, sealed FROM secrets");
  while ((code = secrets.Step()) == SQLITE_ROW) {
    contents.secrets.push_back({std::string(secrets.Column(0)), std::string(secrets.Column(1)),
                                absl::FromUnixMicros(secrets.IntegerColumn(2)),
                                static_cast<std::uint32_t>(secrets.IntegerColumn(3)), std::string(secrets.Column(4))});
  }
  if (code != SQLITE_DONE) return Failure(code, "read secrets");
  return contents;
}

absl::Status SqliteStore::Apply(const WriteBatch& batch) {
  if (batch.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(Execute("BEGIN IMMEDIATE"));
  const auto run = [&]() -> absl::Status {
    for (const auto& operation : batch.operations()) RETURN_IF_ERROR(ApplyOperation(operation));
    return Execute("COMMIT");
  };
  absl::Status status = run();
  // A failed COMMIT (disk full, say) leaves the transaction open; some errors have rolled it back already, and then
  // this fails harmlessly.
  if (!status.ok()) sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  return status;
}

absl::Status SqliteStore::ApplyOperation(const WriteBatch::Operation& operation) {
  const int code = std::visit(Runner{database_.get()}, operation);
  return code == SQLITE_DONE ? absl::OkStatus() : Failure(code, "be written");
}

absl::Status SqliteStore::Execute(const char* sql) {
  const int code = sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Failure(code, "be written");
}

absl::Status SqliteStore::Failure(int code, const std::string& act) const {
  const std::string message =
      absl::StrCat("the store ", path_, " can't ", act, ": ",
                   database_ != nullptr ? sqlite3_errmsg(database_.get()) : sqlite3_errstr(code));
  switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
      if (code == SQLITE_CONSTRAINT_FOREIGNKEY) {
        return absl::FailedPreconditionError(absl::StrCat(message, " (a holder of a snapshot that is not there)"));
      }
      return WithReason(absl::AlreadyExistsError(message), reason::kAlreadyExists);
    case SQLITE_FULL:
      return DiskFull(message);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return absl::DataLossError(absl::StrCat(message, "; restore it from a backup or choose another --data-dir"));
    default:
      // A quota or a limit on the file's size is an I/O error to SQLite; to people it is a full disk.
      if (database_ != nullptr && (code & 0xff) == SQLITE_IOERR && NoSpaceForLog(database_.get())) {
        return DiskFull(message);
      }
      return absl::UnavailableError(absl::StrCat(message, "; check the disk and mode of --data-dir"));
  }
}

}  // namespace thaw::scheduler
