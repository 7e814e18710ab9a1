#include "agent/init/child_process.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "agent/init/process_table.h"

namespace thaw::init {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (const std::string& text : strings) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

// Runs in the child and never returns.
[[noreturn]] void RunFunction(const FunctionCommand& command, int out, int err, FailurePipe& failure) {
  PrepareChildSignals();
  ::setsid();
  UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null || ::dup2(null.get(), 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(err, 2) < 0) {
    failure.Fail(ErrnoOutcome(errno, "cannot set up the function's stdin, stdout and stderr"));
  }
  ::umask(022);
  if (!command.privileged) {
    if (Outcome dropped = DropPrivileges(command.uid, command.gid, DropMode::kStrict); !dropped.ok()) failure.Fail(dropped);
  }
  if (::chdir(command.cwd.c_str()) != 0) {
    failure.Fail(ErrnoOutcome(errno, "cannot enter the working directory " + command.cwd));
  }
  std::vector<char*> env = Pointers(command.env);
  std::vector<char*> argv = Pointers(command.argv);
  // execvp looks argv[0] up in the function's own PATH.
  environ = env.data();
  ::execvp(argv[0], argv.data());
  failure.Fail(ErrnoOutcome(errno, "cannot execute " + command.argv[0]));
}

}  // namespace

void PrepareChildSignals() {
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

FailurePipe::FailurePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) == 0) {
    read_.reset(ends[0]);
    write_.reset(ends[1]);
  }
}

void FailurePipe::Fail(const Outcome& outcome) {
  const std::string text = std::string(1, static_cast<char>('A' + static_cast<int>(outcome.code()))) + outcome.message();
  (void)!::write(write_.get(), text.data(), text.size());
  ::_exit(127);
}

Outcome FailurePipe::ParseFailure(const std::string& text) {
  if (text.empty()) return {};
  return Outcome(static_cast<Code>(text[0] - 'A'), text.substr(1));
}

Outcome FailurePipe::Wait() {
  CloseWriteEnd();
  std::string text;
  char buffer[1024];
  ssize_t count = 0;
  while ((count = ::read(read_.get(), buffer, sizeof buffer)) > 0 || (count < 0 && errno == EINTR)) {
    if (count > 0) text.append(buffer, static_cast<size_t>(count));
  }
  return ParseFailure(text);
}

Outcome MakeOutputPipe(UniqueFd* read_end, UniqueFd* write_end) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoOutcome(errno, "cannot make a pipe for the function's output");
  read_end->reset(ends[0]);
  write_end->reset(ends[1]);
  ::fcntl(ends[0], F_SETFL, O_RDONLY | O_NONBLOCK);
  return {};
}

std::string PipeName(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return "";
  return "pipe:[" + std::to_string(info.st_ino) + "]";
}

double MonotonicMs() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

Outcome StartFunction(const FunctionCommand& command, FunctionProcess* process) {
  UniqueFd out_write;
  UniqueFd err_write;
  if (Outcome made = MakeOutputPipe(&process->out, &out_write); !made.ok()) return made;
  if (Outcome made = MakeOutputPipe(&process->err, &err_write); !made.ok()) return made;
  FailurePipe failure;
  if (!failure.ok()) return ErrnoOutcome(errno, "cannot make a pipe");
  if (!SetLastPid(command.low_pid ? kHelperPids : HighestPid())) {
    return Outcome(Code::kFailedPrecondition,
                   std::string("cannot set /proc/sys/kernel/ns_last_pid: ") + std::strerror(errno) +
                       "; the container must have unmasked system paths and SYS_ADMIN or CHECKPOINT_RESTORE");
  }
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoOutcome(errno, "cannot fork the function's process");
  if (pid == 0) RunFunction(command, out_write.get(), err_write.get(), failure);
  if (Outcome outcome = failure.Wait(); !outcome.ok()) {
    ::waitpid(pid, nullptr, 0);
    return outcome;
  }
  process->pid = pid;
  return {};
}

}  // namespace thaw::init
