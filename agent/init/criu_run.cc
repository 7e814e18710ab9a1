#include "agent/init/criu_run.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "agent/init/criu_command.h"
#include "agent/init/paths.h"
#include "agent/init/process_table.h"
#include "agent/init/tree_copy.h"

namespace thaw::init {
namespace {

constexpr char kOutputName[] = "output";

std::string WorkFile(const char* name) { return std::string(kWorkDir) + "/" + name; }

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (const std::string& text : strings) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

std::string DescribeEnd(int wait_status) {
  if (WIFSIGNALED(wait_status)) return "killed by signal " + std::to_string(WTERMSIG(wait_status));
  return "exit status " + std::to_string(WEXITSTATUS(wait_status));
}

// Of the calling process. What the kernel refuses leaves the usual weight, which is not wrong.
void TakeLowestWeight() {
  constexpr int kIoprioWhoProcess = 1;
  constexpr int kIoprioIdleClass = 3 << 13;
  ::setpriority(PRIO_PROCESS, 0, 19);
  ::syscall(SYS_ioprio_set, kIoprioWhoProcess, 0, kIoprioIdleClass);
}

}  // namespace

Outcome CriuRun::Start(const Options& options) {
  started_ms_ = MonotonicMs();
  if (!failure_.ok()) return ErrnoOutcome(errno, "cannot make a pipe");
  if (Outcome outcome = EmptyDirectory(kWorkDir); !outcome.ok()) return outcome;
  if (!SetLastPid(kHelperPids)) {
    return Outcome(Code::kFailedPrecondition,
                   "cannot set /proc/sys/kernel/ns_last_pid; the container must have unmasked system paths");
  }
  pid_ = ::fork();
  if (pid_ < 0) return ErrnoOutcome(errno, "cannot fork for criu");
  if (pid_ == 0) RunChild(options);
  // Both sides set it, so that it is set whoever comes first.
  ::setpgid(pid_, pid_);
  failure_.CloseWriteEnd();
  ::fcntl(failure_.read_fd(), F_SETFL, O_NONBLOCK);
  return {};
}

void CriuRun::RunChild(const Options& options) {
  PrepareChildSignals();
  ::setpgid(0, 0);
  ::umask(077);
  if (options.background) TakeLowestWeight();
  if (options.before) {
    if (Outcome outcome = options.before(); !outcome.ok()) failure_.Fail(outcome);
  }
  UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  UniqueFd output(::open(WorkFile(kOutputName).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!null || !output || ::dup2(null.get(), 0) < 0 || ::dup2(output.get(), 1) < 0 || ::dup2(output.get(), 2) < 0) {
    failure_.Fail(ErrnoOutcome(errno, "cannot set up criu's descriptors"));
  }
  for (const auto& [number, fd] : options.keep) {
    if (::dup2(fd, number) < 0) failure_.Fail(ErrnoOutcome(errno, "cannot hand a descriptor to criu"));
  }
  if (options.real_uid != 0) {
    if (Outcome outcome = TakeRealIds(options.real_uid, options.real_gid); !outcome.ok()) failure_.Fail(outcome);
  }
  std::vector<char*> env = Pointers(options.env);
  std::vector<char*> argv = Pointers(options.arguments);
  ::execve(argv[0], argv.data(), env.data());
  failure_.Fail(ErrnoOutcome(errno, "cannot execute " + options.arguments[0]));
}

void CriuRun::NoteExec() {
  char buffer[1024];
  ssize_t count = 0;
  while ((count = ::read(failure_.read_fd(), buffer, sizeof buffer)) > 0) {
    failure_text_.append(buffer, static_cast<size_t>(count));
  }
  if (count == 0 && exec_ms_ == 0) exec_ms_ = MonotonicMs();
}

bool CriuRun::Interrupt(const std::vector<pid_t>& function) {
  // Stopped first, so that it can't seize the function between the look and the kill.
  ::kill(-pid_, SIGSTOP);
  bool traced = false;
  for (pid_t pid : function) traced = traced || TracerOf(pid) != 0;
  ::kill(-pid_, SIGKILL);
  return traced;
}

CriuRun::Result CriuRun::Finish(int wait_status, bool is_dump) {
  NoteExec();
  Result result;
  const double now = MonotonicMs();
  result.total_ms = now - started_ms_;
  result.criu_ms = exec_ms_ > 0 ? now - exec_ms_ : 0;
  result.log = ReadSmallFile(WorkFile(kOutputName)) + ReadSmallFile(WorkFile(kCriuLogName));
  if (Outcome failed = FailurePipe::ParseFailure(failure_text_); !failed.ok()) {
    result.outcome = failed;
  } else if (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0) {
    result.outcome = ExplainCriuFailure(result.log, is_dump, DescribeEnd(wait_status));
  }
  return result;
}

int RunToEnd(const std::vector<std::string>& arguments, int timeout_ms, std::string* output) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return -1;
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return -1;
  if (pid == 0) {
    PrepareChildSignals();
    ::setpgid(0, 0);
    ::dup2(write_end.get(), 1);
    ::dup2(write_end.get(), 2);
    std::vector<char*> argv = Pointers(arguments);
    // Not init's own environment, which is the image's: its LD_PRELOAD would run with init's capabilities.
    std::string path = kCriuEnvironment;
    char* env[] = {path.data(), nullptr};
    ::execve(argv[0], argv.data(), env);
    ::_exit(127);
  }
  ::setpgid(pid, pid);
  write_end.reset();
  const double limit = MonotonicMs() + timeout_ms;
  pollfd wait{read_end.get(), POLLIN, 0};
  while (true) {
    const int left = static_cast<int>(limit - MonotonicMs());
    if (left <= 0 || ::poll(&wait, 1, left) == 0) {
      ::kill(-pid, SIGKILL);
      break;
    }
    char buffer[4096];
    const ssize_t count = ::read(read_end.get(), buffer, sizeof buffer);
    if (count <= 0) break;
    if (output->size() < 64 * 1024) output->append(buffer, static_cast<size_t>(count));
  }
  int status = 0;
  pid_t reaped = 0;
  // The output's end is not yet the program's end.
  while ((reaped = ::waitpid(pid, &status, WNOHANG)) == 0) {
    if (MonotonicMs() > limit) ::kill(-pid, SIGKILL);
    ::usleep(500);
  }
  return reaped == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace thaw::init
