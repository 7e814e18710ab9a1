#include "cli/process/posix_runner.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

extern char** environ;

namespace thaw::cli {
namespace {

constexpr std::size_t kKeptOutput = 4u << 20;
// How often the limit and Ctrl-C are looked at.
constexpr int kPollMillis = 100;

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { Close(); }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  int get() const { return fd_; }
  void Set(int fd) {
    Close();
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

absl::Status MakePipe(Fd& read_end, Fd& write_end) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0)
    return absl::InternalError(absl::StrCat("can't make a pipe: ", strerror(errno)));
  read_end.Set(fds[0]);
  write_end.Set(fds[1]);
  return absl::OkStatus();
}

// The environment with additions, as execve wants it. The strings live in `storage`.
std::vector<char*> Environment(const ProcessSpec& spec, std::vector<std::string>& storage) {
  std::map<std::string, std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::pair<std::string, std::string> variable = absl::StrSplit(*entry, absl::MaxSplits('=', 1));
    merged.insert(variable);
  }
  for (const auto& [name, value] : spec.env) merged[name] = value;
  for (const auto& [name, value] : merged) storage.push_back(absl::StrCat(name, "=", value));
  std::vector<char*> pointers;
  for (std::string& entry : storage) pointers.push_back(entry.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Collects one stream of the program.
struct Stream {
  Fd fd;
  std::string kept;
  std::string line;

  void Take(absl::string_view data, const std::function<void(absl::string_view)>& on_line) {
    kept.append(data.data(), data.size());
    if (kept.size() > 2 * kKeptOutput) kept.erase(0, kept.size() - kKeptOutput);
    if (!on_line) return;
    for (const char c : data) {
      if (c == '\n' || c == '\r') {
        if (!line.empty()) on_line(line);
        line.clear();
      } else if (line.size() < 4096) {
        line += c;
      }
    }
  }
};

}  // namespace

absl::StatusOr<ProcessResult> PosixProcessRunner::Run(const ProcessSpec& spec) {
  const auto interrupted = [&] { return !spec.cleanup && interrupt_.requested(); };
  if (interrupted()) return absl::CancelledError("interrupted");
  const std::string& name = spec.argv.front();
  Stream out, err;
  Fd out_write, err_write;
  if (auto status = MakePipe(out.fd, out_write); !status.ok()) return status;
  if (auto status = MakePipe(err.fd, err_write); !status.ok()) return status;

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out_write.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err_write.get(), STDERR_FILENO);
  if (!spec.working_directory.empty()) {
    posix_spawn_file_actions_addchdir_np(&actions, spec.working_directory.c_str());
  }
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // The signal thread's mask must not be inherited, or the program could not be interrupted or terminated.
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);

  std::vector<std::string> environment_storage;
  const std::vector<char*> environment = Environment(spec, environment_storage);
  std::vector<std::string> arguments = spec.argv;
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);

  pid_t pid = 0;
  const int spawned =
      posix_spawnp(&pid, name.c_str(), &actions, &attributes, argv.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  out_write.Close();
  err_write.Close();
  if (spawned == ENOENT) return absl::NotFoundError(absl::StrCat("there is no program ", name, " in PATH"));
  if (spawned != 0) return absl::InternalError(absl::StrCat("can't start ", name, ": ", strerror(spawned)));

  const absl::Time deadline = absl::Now() + spec.timeout;
  absl::Status stop;
  bool exited = false;
  int wait_status = 0;
  std::string buffer(256 * 1024, '\0');
  while (stop.ok()) {
    pollfd fds[2] = {{out.fd.get(), POLLIN, 0}, {err.fd.get(), POLLIN, 0}};
    const int ready = poll(fds, 2, kPollMillis);
    Stream* streams[2] = {&out, &err};
    for (int i = 0; i < 2; ++i) {
      if (ready <= 0 || (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
      const ssize_t got = read(streams[i]->fd.get(), buffer.data(), buffer.size());
      if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (got <= 0) {
        streams[i]->fd.Close();
        continue;
      }
      const absl::string_view data(buffer.data(), static_cast<std::size_t>(got));
      if (i == 0 && spec.on_output) {
        stop = spec.on_output(data);
        if (!stop.ok()) break;
      } else {
        streams[i]->Take(data, spec.on_line);
      }
    }
    if (!exited && waitpid(pid, &wait_status, WNOHANG) == pid) exited = true;
    const bool drained = out.fd.get() < 0 && err.fd.get() < 0;
    if (exited && (drained || ready == 0))
      break;  // `ready == 0`: a grandchild holds the pipes, and is silent
    if (!exited && drained) {
      // Closed its outputs but lives on: poll() would return at once with nothing to wait for.
      absl::SleepFor(absl::Milliseconds(10));
    }
    if (!stop.ok()) break;
    if (interrupted()) {
      stop = absl::CancelledError("interrupted");
    } else if (absl::Now() > deadline) {
      stop = absl::DeadlineExceededError(absl::StrCat("`", absl::StrJoin(spec.argv, " "),
                                                      "` was killed: it took longer than ",
                                                      absl::FormatDuration(spec.timeout)));
    }
  }
  if (!exited) {
    if (!stop.ok()) {
      // A moment to tidy up (docker and maven do), then for good.
      kill(-pid, SIGTERM);
      for (int i = 0; i < 20 && waitpid(pid, &wait_status, WNOHANG) == 0; ++i)
        absl::SleepFor(absl::Milliseconds(100));
      kill(-pid, SIGKILL);
    }
    waitpid(pid, &wait_status, 0);
  }
  if (!stop.ok()) return stop;

  ProcessResult result;
  result.exit_code = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
  result.output = std::move(out.kept);
  result.error_output = std::move(err.kept);
  return result;
}

std::string LastLines(absl::string_view text, int count) {
  std::vector<absl::string_view> kept;
  for (absl::string_view line : absl::StrSplit(text, absl::ByAnyChar("\r\n"))) {
    line = absl::StripTrailingAsciiWhitespace(line);
    if (!line.empty()) kept.push_back(line);
  }
  if (kept.size() > static_cast<std::size_t>(count)) kept.erase(kept.begin(), kept.end() - count);
  return absl::StrJoin(kept, "\n");
}

}  // namespace thaw::cli
