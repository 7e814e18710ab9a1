#include "agent/pool/container_slots.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/container/slot_spec.h"
#include "common/ids/ids.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

constexpr uid_t kFunctionUser = 1000;

absl::Status MakeDirectory(const std::string& path, mode_t mode, uid_t owner) {
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    const std::string what = absl::StrCat("directory ", path, " can't be made: ", strerror(errno));
    return errno == ENOSPC ? absl::ResourceExhaustedError(what) : absl::InternalError(what);
  }
  // Not what the umask made of it.
  if (chmod(path.c_str(), mode) != 0 || chown(path.c_str(), owner, owner) != 0) {
    return absl::InternalError(absl::StrCat("mode and owner of ", path, " can't be set: ", strerror(errno)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ContainerSlots::MakeDirectories(const std::string& slot_id, const std::string& version_id) {
  RETURN_IF_ERROR(MakeDirectory(deps_.paths.Version(version_id), 0700, 0));
  RETURN_IF_ERROR(MakeDirectory(deps_.paths.Cracdata(version_id), 0700, 0));
  RETURN_IF_ERROR(MakeDirectory(deps_.paths.Slot(slot_id), 0700, 0));
  RETURN_IF_ERROR(MakeDirectory(deps_.paths.Ctl(slot_id), 0700, 0));
  return MakeDirectory(deps_.paths.Iofs(slot_id), 0770, kFunctionUser);
}

absl::StatusOr<std::unique_ptr<Slot>> ContainerSlots::Create(const VersionState& version, absl::Time deadline) {
  RETURN_IF_ERROR(deps_.images.Ensure(version, deadline).status());
  const std::string slot_id = NewHexId(8);
  const auto& spec = version.spec();
  const absl::Status made = MakeDirectories(slot_id, spec.version_id());
  if (!made.ok()) {
    Remove("", slot_id);
    return made;
  }
  SlotRequest request;
  request.node_id = options_.node_id;
  request.slot_id = slot_id;
  request.tools = options_.tools;
  request.version_id = spec.version_id();
  request.function_id = spec.function_id();
  request.image_id = spec.image_id();
  request.memory_mib = spec.memory_mib();
  request.cpu_millis = spec.cpu_millis();
  request.network = options_.network;
  const ContainerSpec container_spec = MakeSlotSpec(request, options_.profile, deps_.paths);
  absl::StatusOr<std::string> container = deps_.runtime.Create(container_spec, deadline);
  if (absl::IsNotFound(container.status())) {
    // Another agent on this engine, or a person, has removed the image since it was last seen.
    deps_.images.Forget(spec.image_id());
    const absl::Status brought = deps_.images.Ensure(version, deadline).status();
    container = brought.ok() ? deps_.runtime.Create(container_spec, deadline) : brought;
  }
  if (!container.ok()) {
    // An engine that was too slow to answer may still have made it.
    Remove(absl::IsDeadlineExceeded(container.status()) ? container_spec.name : "", slot_id);
    return container.status();
  }
  const absl::Status started = deps_.runtime.Start(*container, deadline);
  if (!started.ok()) {
    Remove(*container, slot_id);
    return started;
  }
  absl::StatusOr<std::unique_ptr<SlotInit>> init = deps_.connector.Connect(deps_.paths.Ctl(slot_id), deadline);
  if (!init.ok()) {
    const absl::StatusOr<std::string> tail =
        deps_.runtime.TailLog(*container, 20, deps_.clock.Now() + options_.remove_limit);
    Remove(*container, slot_id);
    return absl::Status(init.status().code(),
                        absl::StrCat(init.status().message(), "; the container's last words: ", tail.value_or("none")));
  }
  return std::make_unique<Slot>(slot_id, *container, spec.version_id(), deps_.paths.Iofs(slot_id), deps_.paths.Ctl(slot_id),
                                *std::move(init));
}

void ContainerSlots::Destroy(std::unique_ptr<Slot> slot) {
  const std::string container_id = slot->container_id();
  const std::string slot_id = slot->id();
  slot.reset();
  Remove(container_id, slot_id);
}

void ContainerSlots::Remove(const std::string& container_id, const std::string& slot_id) {
  if (!container_id.empty()) {
    const absl::Status removed = deps_.runtime.Remove(container_id, deps_.clock.Now() + options_.remove_limit);
    if (!removed.ok()) {
      // Its directories stay with it, for recovery to find both.
      deps_.log->error("event=slot_not_removed slot={} container={} error=\"{}\"", slot_id, container_id,
                       removed.ToString());
      return;
    }
  }
  std::error_code error;
  std::filesystem::remove_all(deps_.paths.Slot(slot_id), error);
  if (error) deps_.log->error("event=slot_directory_not_removed slot={} error=\"{}\"", slot_id, error.message());
}

}  // namespace thaw::agent
