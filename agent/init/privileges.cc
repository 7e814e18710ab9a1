#include "agent/init/privileges.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "agent/init/seccomp_filter.h"

namespace thaw::init {
namespace {

struct CapabilitySets {
  __user_cap_data_struct words[2] = {};
};

bool GetCapabilities(CapabilitySets* sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  return ::syscall(SYS_capget, &header, sets->words) == 0;
}

Outcome ClearBoundingSet(DropMode mode) {
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    if (::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 0) continue;
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    // Without CAP_SETPCAP the set stays; no_new_privs keeps anybody from drawing on it.
    if (mode == DropMode::kBestEffort && errno == EPERM) return {};
    return ErrnoOutcome(errno, "cannot empty the function's capability bounding set (is SETPCAP given to the container?)");
  }
  return {};
}

}  // namespace

Outcome DropPrivileges(uid_t uid, gid_t gid, DropMode mode) {
  const bool may_change_ids = ::geteuid() == 0;
  if (Outcome outcome = ClearBoundingSet(mode); !outcome.ok()) return outcome;
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (may_change_ids || mode == DropMode::kStrict) {
    if (::setgroups(0, nullptr) != 0) return ErrnoOutcome(errno, "cannot drop supplementary groups");
    if (::setresgid(gid, gid, gid) != 0) return ErrnoOutcome(errno, "cannot become gid " + std::to_string(gid));
    if (::setresuid(uid, uid, uid) != 0) return ErrnoOutcome(errno, "cannot become uid " + std::to_string(uid));
  }
  // Leaving uid 0 has cleared the sets already, except for a function that runs as uid 0 by configuration.
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  CapabilitySets none;
  if (::syscall(SYS_capset, &header, none.words) != 0) {
    return ErrnoOutcome(errno, "cannot drop the function's capabilities");
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return ErrnoOutcome(errno, "cannot set no_new_privs");
  return InstallFunctionFilter();
}

Outcome TakeRealIds(uid_t uid, gid_t gid) {
  if (::setresgid(gid, 0, 0) != 0) return ErrnoOutcome(errno, "cannot take real gid " + std::to_string(gid));
  if (::setresuid(uid, 0, 0) != 0) return ErrnoOutcome(errno, "cannot take real uid " + std::to_string(uid));
  return {};
}

bool HasCapability(int capability) {
  CapabilitySets sets;
  if (!GetCapabilities(&sets)) return false;
  return (sets.words[capability / 32].effective & (1U << (capability % 32))) != 0;
}

}  // namespace thaw::init
