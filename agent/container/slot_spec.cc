#include "agent/container/slot_spec.h"

#include "absl/strings/str_cat.h"

namespace thaw::agent {
namespace {

// criu.kdat, CRIU's work directory with its logs, sockets and markers.
constexpr char kRunOptions[] = "rw,nosuid,nodev,exec,mode=755,size=32m";

}  // namespace

std::uint64_t SlotMemoryBytes(std::uint32_t memory_mib) {
  return memory_mib == 0 ? 0 : (std::uint64_t{memory_mib} << 20) + kSlotOverheadBytes;
}

ContainerSpec MakeSlotSpec(const SlotRequest& request, const Profile& profile, const Paths& paths) {
  ContainerSpec spec;
  spec.name = absl::StrCat("thaw-slot-", request.slot_id);
  spec.image_id = request.image_id;
  spec.command = {"/thaw/init", "--slot"};
  spec.labels = {{kNodeLabel, request.node_id},
                 {kRoleLabel, kSlotRole},
                 {kSlotLabel, request.slot_id},
                 {kVersionLabel, request.version_id},
                 {kFunctionLabel, request.function_id},
                 {kToolsLabel, request.tools}};
  spec.binds = {{paths.Tools(request.tools), "/thaw", true},
                {paths.Ctl(request.slot_id), "/run/thaw/ctl", false},
                {paths.Iofs(request.slot_id), "/tmp/iofs", false},
                {paths.Cracdata(request.version_id), "/cracdata", false}};
  // Executable: JNA, Netty and sqlite-jdbc unpack libraries there.
  std::string tmp = "rw,nosuid,nodev,exec,mode=1777";
  if (request.memory_mib > 0) absl::StrAppend(&tmp, ",size=", (std::uint64_t{request.memory_mib} << 20) / 2);
  spec.tmpfs = {{"/tmp", tmp}, {"/run", kRunOptions}};
  spec.privileged = profile.kind == Profile::Kind::kPrivileged;
  if (!spec.privileged) spec.capabilities = profile.capabilities;
  spec.memory_bytes = SlotMemoryBytes(request.memory_mib);
  spec.cpu_millis = request.cpu_millis;
  spec.max_pids = kSlotMaxPids;
  spec.network = request.network;
  return spec;
}

}  // namespace thaw::agent
