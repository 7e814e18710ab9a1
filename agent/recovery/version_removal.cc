#include "agent/recovery/version_removal.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace thaw::agent {

std::vector<std::string> VersionRemoval::Remove(const Pool& pool, const std::string& version_id) {
  std::vector<std::string> removed;
  // From here on no slot of it is made; who made one before is in the pool still.
  const KeyLocks::Held removing(&removals_, version_id);
  if (pool.Has(version_id)) {
    deps_.log->info("event=version_came_back version={}", version_id);
    return removed;
  }
  for (const auto& snapshot : deps_.store.List()) {
    if (snapshot.version_id() != version_id) continue;
    const absl::Status status = deps_.store.Remove(snapshot.id());
    if (status.ok()) {
      removed.push_back(snapshot.id());
    } else {
      deps_.log->error("event=snapshot_not_removed snapshot={} error=\"{}\"", snapshot.id(), status.ToString());
    }
  }
  std::error_code error;
  std::filesystem::remove_all(deps_.paths.Version(version_id), error);
  if (error) {
    deps_.log->error("event=version_directory_not_removed version={} error=\"{}\"", version_id, error.message());
  }
  return removed;
}

absl::StatusOr<std::unique_ptr<Slot>> VersionRemoval::Create(const VersionState& version, absl::Time deadline) {
  const std::string& version_id = version.spec().version_id();
  // Not held while the slot is made, so that several are made at once: its pool is known since before, and a
  // removal that begins now finds it.
  if (removals_.HoldWithin(version_id, deadline - deps_.clock.Now()) == nullptr) {
    return absl::DeadlineExceededError(
        absl::StrCat("version ", version_id, " has come back while this node was still removing it, and no slot was made ",
                     "in time; try again"));
  }
  return deps_.slots.Create(version, deadline);
}

void VersionRemoval::Destroy(std::unique_ptr<Slot> slot) { deps_.slots.Destroy(std::move(slot)); }

}  // namespace thaw::agent
