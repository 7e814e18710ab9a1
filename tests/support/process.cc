#include "tests/support/process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

extern char** environ;

namespace thaw::testing {

absl::StatusOr<std::unique_ptr<Process>> Process::Start(const std::vector<std::string>& argv, const std::string& log_path,
                                                        const std::map<std::string, std::string>& env) {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) variables.emplace_back(*variable);
  for (const auto& [name, value] : env) variables.push_back(absl::StrCat(name, "=", value));
  std::vector<char*> raw_argv, raw_env;
  for (const std::string& word : argv) raw_argv.push_back(const_cast<char*>(word.c_str()));
  for (const std::string& word : variables) raw_env.push_back(const_cast<char*>(word.c_str()));
  raw_argv.push_back(nullptr);
  raw_env.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return absl::InternalError(absl::StrCat("fork: ", strerror(errno)));
  if (pid == 0) {
    // A test that crashes must not leave a cluster behind.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(126);
    // Kernels share processors out among sessions (autogroups) as they do among containers: each service gets a share.
    setsid();
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    const int log = open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    const int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(log, 1);
    dup2(log, 2);
    execvpe(raw_argv[0], raw_argv.data(), raw_env.data());
    dprintf(2, "exec %s: %s\n", raw_argv[0], strerror(errno));
    _exit(127);
  }
  return std::unique_ptr<Process>(new Process(pid));
}

Process::~Process() { Kill(); }

bool Process::Running() { return absl::IsDeadlineExceeded(Wait(absl::ZeroDuration()).status()); }

void Process::Signal(int signal) {
  if (!reaped_) kill(pid_, signal);
}

absl::StatusOr<int> Process::Wait(absl::Duration limit) {
  const absl::Time end = absl::Now() + limit;
  while (!reaped_) {
    int status = 0;
    const pid_t ended = waitpid(pid_, &status, WNOHANG);
    if (ended == pid_) {
      reaped_ = true;
      exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      break;
    }
    if (absl::Now() >= end) return absl::DeadlineExceededError(absl::StrCat("process ", pid_, " is still running"));
    absl::SleepFor(absl::Milliseconds(5));
  }
  return exit_code_;
}

void Process::Kill() {
  if (reaped_) return;
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
  (void)Wait(absl::Seconds(10));
}

std::string ReadFileOrEmpty(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

CommandResult RunCommand(const std::vector<std::string>& argv, absl::Duration limit,
                         const std::map<std::string, std::string>& env) {
  char pattern[] = "/tmp/thaw-command-XXXXXX";
  const std::string dir = mkdtemp(pattern);
  CommandResult result;
  // Through a shell only to part the two streams; the words are handed over as they are.
  std::vector<std::string> words = {"/bin/sh", "-c", "exec \"$@\" >\"$0/out\" 2>\"$0/err\"", dir};
  words.insert(words.end(), argv.begin(), argv.end());
  auto process = Process::Start(words, dir + "/shell", env);
  if (!process.ok()) {
    result.exit_code = 126;
    result.err = std::string(process.status().message());
  } else {
    const absl::StatusOr<int> code = (*process)->Wait(limit);
    if (!code.ok()) (*process)->Kill();
    result.exit_code = code.value_or(137);
    result.out = ReadFileOrEmpty(dir + "/out");
    result.err = ReadFileOrEmpty(dir + "/err");
  }
  std::error_code ignored;
  std::filesystem::remove_all(dir, ignored);
  return result;
}

absl::StatusOr<std::map<std::string, int>> AwaitPortFile(const std::string& path, Process& process, absl::Duration limit) {
  const bool there = Eventually([&] { return std::filesystem::exists(path) || !process.Running(); }, limit);
  if (!there || !std::filesystem::exists(path)) {
    return absl::UnavailableError(absl::StrCat("no port file ", path, there ? ": the process has ended" : " in time"));
  }
  std::map<std::string, int> ports;
  std::istringstream lines(ReadFileOrEmpty(path));
  std::string line;
  while (std::getline(lines, line)) {
    const auto equals = line.find('=');
    if (equals != std::string::npos) ports[line.substr(0, equals)] = atoi(line.c_str() + equals + 1);
  }
  return ports;
}

}  // namespace thaw::testing
