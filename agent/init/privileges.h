#ifndef THAW_AGENT_INIT_PRIVILEGES_H_
#define THAW_AGENT_INIT_PRIVILEGES_H_

#include <sys/types.h>

#include "agent/init/outcome.h"

namespace thaw::init {

enum class DropMode {
  // A slot: every step must succeed.
  kStrict,
  // `-- CMD` in a container that somebody else made: what this process may not drop because it was never
  // given it (Fn's server starts containers as uid 1000 without capabilities) is left as it is.
  kBestEffort,
};

// Turns the calling process, for good, into one that runs user code: the given uid and gid with no
// supplementary groups, no capability in any set (bounding set included), no_new_privs, the seccomp filter.
// Called between fork and exec.
Outcome DropPrivileges(uid_t uid, gid_t gid, DropMode mode);

// Makes `uid` and `gid` the real ids while the effective ones stay root's. The kernel lets a process without
// CAP_SYS_RESOURCE read and set another's resource limits only when its real ids are the other's, and that
// is what CRIU does to every process that it dumps.
Outcome TakeRealIds(uid_t uid, gid_t gid);

// True when the calling process has the capability (a number from linux/capability.h) in its effective set.
bool HasCapability(int capability);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_PRIVILEGES_H_
