#include "agent/recovery/recovery.h"

#include <filesystem>
#include <iterator>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/container/slot_spec.h"
#include "agent/container/tools.h"
#include "agent/snapshot/laid_out.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kInitLimit = absl::Seconds(3);
constexpr absl::Duration kListenLimit = absl::Seconds(2);
constexpr absl::Duration kResetLimit = absl::Seconds(10);

std::string Label(const ContainerInfo& container, const char* name) {
  const auto it = container.labels.find(name);
  return it == container.labels.end() ? "" : it->second;
}

std::vector<fs::path> Children(const std::string& dir) {
  std::error_code error;
  std::vector<fs::path> children;
  for (const fs::directory_entry& entry : fs::directory_iterator(dir, error)) children.push_back(entry.path());
  return children;
}

}  // namespace

absl::Status Recovery::Run(absl::Time deadline) {
  // By role, too: an agent that runs in a container itself carries its node's name, and must not remove itself.
  ASSIGN_OR_RETURN(std::vector<ContainerInfo> containers,
                   deps_.runtime.List({{kNodeLabel, node_id_}, {kRoleLabel, kSlotRole}}, deadline));
  ASSIGN_OR_RETURN(std::vector<ContainerInfo> probes,
                   deps_.runtime.List({{kNodeLabel, node_id_}, {kRoleLabel, kProbeRole}}, deadline));
  containers.insert(containers.end(), std::make_move_iterator(probes.begin()), std::make_move_iterator(probes.end()));
  std::set<std::string> kept;
  std::set<std::string> tools = {deps_.tools};
  for (const ContainerInfo& container : containers) {
    if (Keep(container)) {
      kept.insert(Label(container, kSlotLabel));
      tools.insert(Label(container, kToolsLabel));
      continue;
    }
    deps_.log->info("event=orphan_removed container={} slot={} running={}", container.id, Label(container, kSlotLabel),
                    container.running);
    RETURN_IF_ERROR(deps_.runtime.Remove(container.id, deadline));
    deps_.metrics.removed_orphans->Increment();
  }
  std::error_code error;
  for (const fs::path& slot : Children(deps_.paths.Slots())) {
    if (!kept.contains(slot.filename().string())) fs::remove_all(slot, error);
  }
  RemoveToolsExcept(tools, deps_.paths);
  RemoveHalfDone();
  return absl::OkStatus();
}

bool Recovery::Keep(const ContainerInfo& container) {
  if (!container.running || Label(container, kRoleLabel) != kSlotRole) return false;
  const std::string slot_id = Label(container, kSlotLabel);
  const std::string version_id = Label(container, kVersionLabel);
  const std::shared_ptr<VersionPool> pool = deps_.pool.Find(version_id);
  if (pool == nullptr || slot_id.empty()) return false;
  absl::StatusOr<std::unique_ptr<SlotInit>> init =
      deps_.connector.Connect(deps_.paths.Ctl(slot_id), deps_.clock.Now() + kInitLimit);
  if (!init.ok()) return false;
  const absl::StatusOr<InitStatus> status = (*init)->GetStatus(kInitLimit);
  if (!status.ok()) return false;
  auto slot = std::make_unique<Slot>(slot_id, container.id, version_id, deps_.paths.Iofs(slot_id), deps_.paths.Ctl(slot_id),
                                     *std::move(init));
  switch (status->state) {
    case InitStatus::State::kEmpty:
      pool->AdoptSlot(std::move(slot));
      deps_.metrics.recovered_slots->Increment();
      return true;
    case InitStatus::State::kRunning: return KeepOccupied(std::move(slot), *status, *pool);
    case InitStatus::State::kDumping:
    case InitStatus::State::kRestoring: return false;
  }
  return false;
}

bool Recovery::KeepOccupied(std::unique_ptr<Slot> slot, const InitStatus& status, VersionPool& pool) {
  std::string version_id;
  std::uint64_t answered = 0;
  if (!absl::StartsWith(status.instance_id, "canary-") && ParseInstanceMeta(status.meta, version_id, answered) &&
      version_id == slot->version_id()) {
    // A function that waits for the end of its checkpoint has no listener: not kept.
    absl::StatusOr<std::unique_ptr<FunctionConnection>> connection = deps_.restorer.Connect(*slot, kListenLimit);
    if (connection.ok()) {
      deps_.log->info("event=instance_recovered instance={} slot={}", status.instance_id, slot->id());
      pool.AdoptInstance(status.instance_id, std::move(slot), *std::move(connection), answered, status.sealed);
      deps_.metrics.recovered_instances->Increment();
      return true;
    }
  }
  if (!slot->init().Reset(kResetLimit).ok()) return false;
  pool.AdoptSlot(std::move(slot));
  deps_.metrics.recovered_slots->Increment();
  return true;
}

void Recovery::RemoveHalfDone() {
  std::error_code error;
  for (const fs::path& version : Children(deps_.paths.Versions())) {
    if (deps_.pool.Find(version.filename().string()) == nullptr) {
      fs::remove_all(version, error);
      continue;
    }
    for (const fs::path& entry : Children((version / "cracdata").string())) {
      const std::string name = entry.filename().string();
      if (!absl::StartsWith(name, "dump-") && !absl::StrContains(name, ".tmp-")) continue;
      deps_.log->info("event=half_dump_removed path={}", entry.string());
      fs::remove_all(entry, error);
      deps_.metrics.removed_half_dumps->Increment();
    }
  }
  // Given up while the agent was dying, or by one that left these behind.
  const std::size_t unstored = LaidOutSnapshots(deps_.store, deps_.paths).RemoveAllUnstored();
  if (unstored != 0) deps_.log->info("event=laid_out_snapshots_removed count={}", unstored);
}

}  // namespace thaw::agent
