#ifndef THAW_SCHEDULER_STORE_STORE_H_
#define THAW_SCHEDULER_STORE_STORE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "thaw/common/v1/catalogue.pb.h"

namespace thaw::scheduler {

// A snapshot id that must not come back: its removal was ordered while some holder may have been away.
struct RemovedSnapshot {
  std::string id;
  absl::Time removed_at;
};

// How often freezing a version went wrong.
struct CheckpointFailure {
  std::string version_id;
  std::uint32_t failures = 0;
  std::string last_error;
  absl::Time failed_at;
};

// A secret of an app; `sealed` is its value as SealingKey::Seal() gives it.
struct SecretRow {
  std::string app_id, name;
  absl::Time updated_at;
  // Of the value.
  std::uint32_t size_bytes = 0;
  std::string sealed;
};

// All that is kept. `snapshots` carry their holders; nodes are as they registered.
struct StoreContents {
  std::vector<common::v1::App> apps;
  std::vector<common::v1::Function> functions;
  std::vector<common::v1::VersionSpec> versions;
  std::vector<common::v1::SnapshotInfo> snapshots;
  std::vector<common::v1::Node> nodes;
  std::vector<RemovedSnapshot> removed_snapshots;
  std::vector<CheckpointFailure> checkpoint_failures;
  std::vector<SecretRow> secrets;
};

// Changes that are made together or not at all, in the order they were added.
//
// Puts replace the row of the same id. Deletes of what is not there are no error. Deleting a snapshot deletes its
// holders; a holder of a snapshot that is not there is an error of the caller (FAILED_PRECONDITION from Apply).
// Nothing else cascades: the catalogue names every row it wants gone.
class WriteBatch {
 public:
  enum class Table { kApp, kFunction, kVersion, kSnapshot, kNode, kRemovedSnapshot, kCheckpointFailure };
  struct Delete {
    Table table;
    std::string id;
  };
  struct PutHolder {
    std::string snapshot_id, node_id;
  };
  struct DeleteHolder {
    std::string snapshot_id, node_id;
  };
  struct DeleteSecret {
    std::string app_id, name;
  };
  using Operation = std::variant<common::v1::App, common::v1::Function, common::v1::VersionSpec,
                                 common::v1::SnapshotInfo, common::v1::Node, RemovedSnapshot, CheckpointFailure,
                                 SecretRow, PutHolder, DeleteHolder, DeleteSecret, Delete>;

  // A row by its type. A SnapshotInfo's `holders` are ignored: holders are rows of their own.
  WriteBatch& Put(Operation row) {
    operations_.push_back(std::move(row));
    return *this;
  }
  WriteBatch& AddHolder(std::string snapshot_id, std::string node_id) {
    return Put(PutHolder{std::move(snapshot_id), std::move(node_id)});
  }
  WriteBatch& RemoveHolder(std::string snapshot_id, std::string node_id) {
    return Put(DeleteHolder{std::move(snapshot_id), std::move(node_id)});
  }
  WriteBatch& RemoveSecret(std::string app_id, std::string name) {
    return Put(DeleteSecret{std::move(app_id), std::move(name)});
  }
  WriteBatch& Remove(Table table, std::string id) { return Put(Delete{table, std::move(id)}); }

  bool empty() const { return operations_.empty(); }
  const std::vector<Operation>& operations() const { return operations_; }

 private:
  std::vector<Operation> operations_;
};

// What the cluster knows, on durable storage. The scheduler is its only writer.
//
// Threads: one at a time; the scheduler calls it from one executor thread. Calls block on the disk.
class Store {
 public:
  virtual ~Store() = default;

  // Everything, each list in no order that callers may rely on.
  //
  //   DATA_LOSS    a row does not parse; the message names it
  //   UNAVAILABLE  the storage can't be read
  virtual absl::StatusOr<StoreContents> Load() = 0;

  // When it returns OK, all of `batch` survives a kill of the process and a loss of power; else none of it was done.
  //
  //   ALREADY_EXISTS       an app's name, or a function's name in its app, is taken by another id
  //   FAILED_PRECONDITION  a holder of a snapshot that is not there
  //   RESOURCE_EXHAUSTED   the disk is full (reason DISK_FULL)
  //   UNAVAILABLE          the storage can't be written
  virtual absl::Status Apply(const WriteBatch& batch) = 0;
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_STORE_STORE_H_
