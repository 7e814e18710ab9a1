#ifndef THAW_SCHEDULER_STORE_SQLITE_STORE_H_
#define THAW_SCHEDULER_STORE_SQLITE_STORE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "scheduler/store/store.h"

struct sqlite3;

namespace thaw::scheduler {

// One SQLite file. Rows hold the columns that are looked up or must be unique, and the message itself, serialised.
//
// The journal is a write-ahead log with synchronous=FULL: an answered `CreateFunction` is on the disk even when the
// power fails. NORMAL would keep the file sound but could lose the last answers; writes here are people's and
// checkpoints', a few a second at most, so one fsync each costs nothing that matters.
//
// The file and its log are readable by the owner alone (configs hold secrets). A lock file beside it keeps a second
// scheduler out, while `sqlite3` may still read it.
class SqliteStore final : public Store {
 public:
  // The schema this program writes. Version 1: catalogue, snapshots, holders, nodes. Version 2: removed snapshots and
  // checkpoint failures. Version 3: secrets.
  static constexpr int kSchemaVersion = 3;

  // Opens `path`, making it, or bringing an older schema up to kSchemaVersion in one transaction.
  //
  //   FAILED_PRECONDITION  the schema is newer than this program, or another scheduler has the file open
  //   DATA_LOSS            the file is no SQLite database, or not one of Thaw's
  //   UNAVAILABLE          the file can't be opened or locked
  static absl::StatusOr<std::unique_ptr<SqliteStore>> Open(const std::string& path);

  ~SqliteStore() override;
  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;

  absl::StatusOr<StoreContents> Load() override;
  absl::Status Apply(const WriteBatch& batch) override;

 private:
  struct CloseDatabase {
    void operator()(sqlite3* database) const;
  };

  explicit SqliteStore(std::string path) : path_(std::move(path)) {}

  absl::Status TakeLock();
  absl::Status Configure();
  absl::Status Migrate();
  absl::StatusOr<int> ReadSchemaVersion();
  absl::Status ApplyOperation(const WriteBatch::Operation& operation);
  absl::Status Execute(const char* sql);
  // The database's last failure as a status; `act` completes "the store <path> can't …".
  absl::Status Failure(int code, const std::string& act) const;

  const std::string path_;
  int lock_descriptor_ = -1;
  std::unique_ptr<sqlite3, CloseDatabase> database_;
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_STORE_SQLITE_STORE_H_
