#include "agent/init/run_command.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "agent/init/child_process.h"
#include "agent/init/process_table.h"

namespace thaw::init {
namespace {

[[noreturn]] void RunChild(const std::vector<std::string>& argv, uid_t uid, gid_t gid, bool own_session) {
  PrepareChildSignals();
  // With a terminal the command stays in init's session: a new one would lose it.
  if (own_session) ::setsid();
  if (Outcome dropped = DropPrivileges(uid, gid, DropMode::kBestEffort); !dropped.ok()) {
    std::fprintf(stderr, "thaw-init: %s\n", dropped.message().c_str());
    ::_exit(126);
  }
  std::vector<char*> pointers;
  for (const std::string& text : argv) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  ::execvp(pointers[0], pointers.data());
  const int error = errno;
  std::fprintf(stderr, "thaw-init: cannot execute %s: %s\n", pointers[0], std::strerror(error));
  ::_exit(error == ENOENT ? 127 : 126);
}

}  // namespace

int RunCommand(const std::vector<std::string>& argv, uid_t uid, gid_t gid) {
  if (::getpid() != 1) ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  // Only so that a debugging person can dump and restore it by hand; most containers refuse it.
  SetLastPid(kFunctionPids);
  const bool own_session = ::isatty(0) == 0;
  const pid_t pid = ::fork();
  if (pid < 0) {
    std::fprintf(stderr, "thaw-init: cannot fork: %s\n", std::strerror(errno));
    return 126;
  }
  if (pid == 0) RunChild(argv, uid, gid, own_session);
  while (true) {
    siginfo_t info{};
    const int number = ::sigwaitinfo(&all, &info);
    if (number < 0) continue;
    if (number != SIGCHLD) {
      ::kill(own_session ? -pid : pid, number);
      continue;
    }
    int status = 0;
    pid_t ended = 0;
    while ((ended = ::waitpid(-1, &status, WNOHANG)) > 0) {
      if (ended != pid) continue;
      return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
  }
}

}  // namespace thaw::init
