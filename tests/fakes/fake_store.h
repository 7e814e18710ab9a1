#ifndef THAW_TESTS_FAKES_FAKE_STORE_H_
#define THAW_TESTS_FAKES_FAKE_STORE_H_

#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/status/reasons.h"
#include "scheduler/store/store.h"

namespace thaw::testing {

// A store in memory. Threads: one at a time, as the real one; what it holds outlives the scheduler that uses it, so a
// second scheduler over the same fake is a restart.
class FakeStore final : public scheduler::Store {
 public:
  absl::StatusOr<scheduler::StoreContents> Load() override {
    if (!load_failure_.ok()) return load_failure_;
    scheduler::StoreContents contents;
    for (const auto& [id, row] : tables_.apps) contents.apps.push_back(row);
    for (const auto& [id, row] : tables_.functions) contents.functions.push_back(row);
    for (const auto& [id, row] : tables_.versions) contents.versions.push_back(row);
    for (const auto& [id, row] : tables_.snapshots) {
      auto& snapshot = contents.snapshots.emplace_back(row);
      for (const auto& [snapshot_id, node_id] : tables_.holders) {
        if (snapshot_id == id) snapshot.add_holders(node_id);
      }
    }
    for (const auto& [id, row] : tables_.nodes) contents.nodes.push_back(row);
    for (const auto& [id, row] : tables_.removed_snapshots) contents.removed_snapshots.push_back(row);
    for (const auto& [id, row] : tables_.checkpoint_failures) contents.checkpoint_failures.push_back(row);
    for (const auto& [key, row] : tables_.secrets) contents.secrets.push_back(row);
    return contents;
  }

  absl::Status Apply(const scheduler::WriteBatch& batch) override {
    if (!apply_failure_.ok()) return apply_failure_;
    Tables changed = tables_;
    for (const auto& operation : batch.operations()) {
      absl::Status status = std::visit(Writer{changed}, operation);
      if (!status.ok()) return status;
    }
    tables_ = std::move(changed);
    ++applied_;
    return absl::OkStatus();
  }

  // What the next calls answer, until set to OK: a full disk, say.
  void FailApply(absl::Status status) { apply_failure_ = std::move(status); }
  void FailLoad(absl::Status status) { load_failure_ = std::move(status); }
  int applied() const { return applied_; }

 private:
  struct Tables {
    std::map<std::string, common::v1::App> apps;
    std::map<std::string, common::v1::Function> functions;
    std::map<std::string, common::v1::VersionSpec> versions;
    std::map<std::string, common::v1::SnapshotInfo> snapshots;
    std::set<std::pair<std::string, std::string>> holders;
    std::map<std::string, common::v1::Node> nodes;
    std::map<std::string, scheduler::RemovedSnapshot> removed_snapshots;
    std::map<std::string, scheduler::CheckpointFailure> checkpoint_failures;
    std::map<std::pair<std::string, std::string>, scheduler::SecretRow> secrets;
  };

  struct Writer {
    Tables& tables;

    absl::Status operator()(const common::v1::App& row) const {
      for (const auto& [id, other] : tables.apps) {
        if (id != row.id() && other.name() == row.name()) return Taken("apps.name", row.name());
      }
      tables.apps[row.id()] = row;
      return absl::OkStatus();
    }
    absl::Status operator()(const common::v1::Function& row) const {
      for (const auto& [id, other] : tables.functions) {
        if (id != row.id() && other.app_id() == row.app_id() && other.name() == row.name()) {
          return Taken("functions.name", row.name());
        }
      }
      tables.functions[row.id()] = row;
      return absl::OkStatus();
    }
    absl::Status operator()(const common::v1::VersionSpec& row) const {
      tables.versions[row.version_id()] = row;
      return absl::OkStatus();
    }
    absl::Status operator()(const common::v1::SnapshotInfo& row) const {
      common::v1::SnapshotInfo record = row;
      record.clear_holders();
      tables.snapshots[row.id()] = std::move(record);
      return absl::OkStatus();
    }
    absl::Status operator()(const common::v1::Node& row) const {
      tables.nodes[row.id()] = row;
      return absl::OkStatus();
    }
    absl::Status operator()(const scheduler::RemovedSnapshot& row) const {
      tables.removed_snapshots[row.id] = row;
      return absl::OkStatus();
    }
    absl::Status operator()(const scheduler::CheckpointFailure& row) const {
      tables.checkpoint_failures[row.version_id] = row;
      return absl::OkStatus();
    }
    absl::Status operator()(const scheduler::SecretRow& row) const {
      tables.secrets[{row.app_id, row.name}] = row;
      return absl::OkStatus();
    }
    absl::Status operator()(const scheduler::WriteBatch::DeleteSecret& secret) const {
      tables.secrets.erase({secret.app_id, secret.name});
      return absl::OkStatus();
    }
    absl::Status operator()(const scheduler::WriteBatch::PutHolder& holder) const {
      if (!tables.snapshots.contains(holder.snapshot_id)) {
        return absl::FailedPreconditionError(absl::StrCat("no snapshot ", holder.snapshot_id));
      }
      tables.holders.emplace(holder.snapshot_id, holder.node_id);
      return absl::OkStatus();
    }
    absl::Status operator()(const scheduler::WriteBatch::DeleteHolder& holder) const {
      tables.holders.erase({holder.snapshot_id, holder.node_id});
      return absl::OkStatus();
    }
    absl::Status operator()(const scheduler::WriteBatch::Delete& row) const {
      using Table = scheduler::WriteBatch::Table;
      switch (row.table) {
        case Table::kApp:
          tables.apps.erase(row.id);
          break;
        case Table::kFunction:
          tables.functions.erase(row.id);
          break;
        case Table::kVersion:
          tables.versions.erase(row.id);
          break;
        case Table::kSnapshot:
          tables.snapshots.erase(row.id);
          std::erase_if(tables.holders, [&](const auto& holder) { return holder.first == row.id; });
          break;
        case Table::kNode:
          tables.nodes.erase(row.id);
          break;
        case Table::kRemovedSnapshot:
          tables.removed_snapshots.erase(row.id);
          break;
        case Table::kCheckpointFailure:
          tables.checkpoint_failures.erase(row.id);
          break;
      }
      return absl::OkStatus();
    }

    static absl::Status Taken(absl::string_view column, absl::string_view value) {
      return WithReason(absl::AlreadyExistsError(absl::StrCat(column, " '", value, "' is taken")),
                        reason::kAlreadyExists);
    }
  };

  Tables tables_;
  absl::Status apply_failure_, load_failure_;
  int applied_ = 0;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_FAKES_FAKE_STORE_H_
