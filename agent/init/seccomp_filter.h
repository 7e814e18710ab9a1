#ifndef THAW_AGENT_INIT_SECCOMP_FILTER_H_
#define THAW_AGENT_INIT_SECCOMP_FILTER_H_

#include <linux/filter.h>

#include <vector>

#include "agent/init/outcome.h"

namespace thaw::init {

// The filter that every function runs under; CRIU dumps and restores it with the process.
//
// Slots run with seccomp=unconfined, because CRIU needs calls that Docker's default profile refuses. The
// function gets the refusals back here:
//   ENOSYS  io_uring_*: CRIU can't dump a ring, and runtimes (Node) fall back to epoll.
//           clone3: its flags can't be seen by a filter; libraries fall back to clone.
//           Every call of a foreign architecture (i386, x32) than the one thaw-init was built for.
//   EPERM   mount and namespace calls, clone with a namespace flag, ptrace, bpf, perf_event_open, kexec,
//           kernel modules, keyrings, userfaultfd, fanotify, handles, swap, reboot, clocks, quota, chroot,
//           port I/O, kernel log, accounting. A function without capabilities could use few of them; they
//           are refused for the kernel's attack surface, and ptrace also because a traced process can't
//           be dumped.
std::vector<sock_filter> BuildFunctionFilter();

// Puts the calling process under the filter. Needs no_new_privs.
Outcome InstallFunctionFilter();

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_SECCOMP_FILTER_H_
