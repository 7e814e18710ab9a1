#include "agent/snapshot/laid_out.h"

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <set>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/snapshot/files.h"
#include "agent/snapshot/manifest.h"
#include "common/ids/ids.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> Children(const std::string& dir) {
  std::error_code error;
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(dir, error)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

absl::Status RemoveDirectory(const std::string& volume, const std::string& snapshot_id) {
  const std::string dir = absl::StrCat(volume, "/", snapshot_id);
  // Out of the way in one step: a start that fetches the snapshot anew lays it out beside what is being
  // removed. Recovery takes the name for a half-done copy, should the agent die before the end.
  const std::string doomed = absl::StrCat(volume, "/removed.tmp-", NewHexId(8));
  if (::rename(dir.c_str(), doomed.c_str()) == 0) return files::RemoveTree(doomed);
  if (errno == ENOENT) return absl::OkStatus();
  return files::RemoveTree(dir);
}

}  // namespace

absl::Status LaidOutSnapshots::RemoveUnlessStored(const std::string& snapshot_id) {
  if (!IsSnapshotId(snapshot_id)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", snapshot_id, "\" is no snapshot's id; nothing was removed"));
  }
  // Damaged is not stored: the store has quarantined it by now.
  if (store_.GetManifest(snapshot_id).ok()) return absl::OkStatus();
  absl::Status result;
  for (const std::string& version : Children(paths_.Versions())) {
    result.Update(RemoveDirectory(paths_.Cracdata(version), snapshot_id));
  }
  return result;
}

absl::Status LaidOutSnapshots::RemoveSnapshot(const std::string& snapshot_id) {
  RETURN_IF_ERROR(store_.Remove(snapshot_id));
  return RemoveUnlessStored(snapshot_id);
}

std::size_t LaidOutSnapshots::RemoveAllUnstored() {
  std::set<std::string> stored;
  for (const auto& info : store_.List()) stored.insert(info.id());
  std::size_t removed = 0;
  for (const std::string& version : Children(paths_.Versions())) {
    const std::string volume = paths_.Cracdata(version);
    for (const std::string& name : Children(volume)) {
      if (!IsSnapshotId(name) || stored.contains(name)) continue;
      if (RemoveDirectory(volume, name).ok()) ++removed;
    }
  }
  return removed;
}

}  // namespace thaw::agent
