#include "agent/init/seccomp_filter.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>

namespace thaw::init {
namespace {

// Runs the filter as the kernel would; only what the filter uses.
uint32_t Run(const std::vector<sock_filter>& filter, const seccomp_data& data) {
  uint32_t accumulator = 0;
  for (size_t at = 0; at < filter.size(); ++at) {
    const sock_filter& step = filter[at];
    switch (step.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&accumulator, reinterpret_cast<const char*>(&data) + step.k, sizeof accumulator);
        break;
      case BPF_JMP | BPF_JEQ | BPF_K: at += accumulator == step.k ? step.jt : step.jf; break;
      case BPF_JMP | BPF_JGE | BPF_K: at += accumulator >= step.k ? step.jt : step.jf; break;
      case BPF_JMP | BPF_JSET | BPF_K: at += (accumulator & step.k) != 0 ? step.jt : step.jf; break;
      case BPF_RET | BPF_K: return step.k;
      default: ADD_FAILURE() << "unknown step " << step.code; return 0;
    }
  }
  ADD_FAILURE() << "the filter has no end";
  return 0;
}

#if defined(__x86_64__)
constexpr uint32_t kNative = AUDIT_ARCH_X86_64;
constexpr uint32_t kForeign = AUDIT_ARCH_I386;
#else
constexpr uint32_t kNative = AUDIT_ARCH_AARCH64;
constexpr uint32_t kForeign = AUDIT_ARCH_ARM;
#endif

uint32_t Answer(long call, uint64_t first_argument = 0, uint32_t arch = kNative) {
  seccomp_data data{};
  data.nr = static_cast<int>(call);
  data.arch = arch;
  data.args[0] = first_argument;
  return Run(BuildFunctionFilter(), data);
}

constexpr uint32_t kEnosys = SECCOMP_RET_ERRNO | ENOSYS;
constexpr uint32_t kEperm = SECCOMP_RET_ERRNO | EPERM;

TEST(SeccompFilterTest, IoUringIsNotThere) {
  EXPECT_EQ(Answer(SYS_io_uring_setup), kEnosys);
  EXPECT_EQ(Answer(SYS_io_uring_enter), kEnosys);
  EXPECT_EQ(Answer(SYS_io_uring_register), kEnosys);
}

TEST(SeccompFilterTest, WhatFunctionsNeedIsAllowed) {
  for (long call : {SYS_read, SYS_write, SYS_mmap, SYS_futex, SYS_execve, SYS_socket, SYS_getrandom, SYS_prctl,
                    SYS_epoll_ctl, SYS_rseq, SYS_memfd_create, SYS_kill, SYS_prlimit64, SYS_seccomp}) {
    EXPECT_EQ(Answer(call), static_cast<uint32_t>(SECCOMP_RET_ALLOW)) << call;
  }
}

TEST(SeccompFilterTest, PowerfulCallsAreRefused) {
  for (long call : {SYS_mount, SYS_umount2, SYS_setns, SYS_unshare, SYS_ptrace, SYS_bpf, SYS_kexec_load, SYS_keyctl,
                    SYS_userfaultfd, SYS_perf_event_open, SYS_open_by_handle_at, SYS_chroot}) {
    EXPECT_EQ(Answer(call), kEperm) << call;
  }
}

TEST(SeccompFilterTest, CloneIsForThreadsAndProcessesNotForNamespaces) {
  EXPECT_EQ(Answer(SYS_clone, SIGCHLD), static_cast<uint32_t>(SECCOMP_RET_ALLOW));
  EXPECT_EQ(Answer(SYS_clone, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD),
            static_cast<uint32_t>(SECCOMP_RET_ALLOW));
  EXPECT_EQ(Answer(SYS_clone, CLONE_NEWUSER | SIGCHLD), kEperm);
  EXPECT_EQ(Answer(SYS_clone, CLONE_NEWNET | SIGCHLD), kEperm);
  EXPECT_EQ(Answer(SYS_clone3), kEnosys);
}

TEST(SeccompFilterTest, ForeignArchitecturesGetNothing) {
  EXPECT_EQ(Answer(SYS_read, 0, kForeign), kEnosys);
#if defined(__x86_64__)
  EXPECT_EQ(Answer(0x40000000 | SYS_read), kEnosys);
#endif
}

TEST(SeccompFilterTest, TheKernelTakesItAndThreadsStillStart) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) ::_exit(1);
    if (!InstallFunctionFilter().ok()) ::_exit(2);
    errno = 0;
    if (::syscall(SYS_io_uring_setup, 1, nullptr) != -1 || errno != ENOSYS) ::_exit(3);
    if (::unshare(CLONE_NEWUSER) != -1 || errno != EPERM) ::_exit(4);
    pthread_t thread;
    if (::pthread_create(&thread, nullptr, [](void*) -> void* { return nullptr; }, nullptr) != 0) ::_exit(5);
    ::pthread_join(thread, nullptr);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    int status = 1;
    ::waitpid(child, &status, 0);
    ::_exit(status == 0 ? 0 : 6);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace thaw::init
