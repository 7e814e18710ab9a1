#ifndef THAW_TESTS_GATEWAY_AGENT_PROCESS_H_
#define THAW_TESTS_GATEWAY_AGENT_PROCESS_H_

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace thaw::testing {

// A fake agent in a process of its own (agent_process.cc). One thread at a time.
class AgentProcess {
 public:
  AgentProcess(const std::string& token, const std::string& mode) {
    int in[2];
    int out[2];
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) return;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    std::string path = THAW_TEST_AGENT;
    std::string token_text = token;
    std::string mode_text = mode;
    char* argv[] = {path.data(), token_text.data(), mode_text.data(), nullptr};
    if (posix_spawn(&pid_, path.c_str(), &actions, nullptr, argv, environ) != 0) pid_ = -1;
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    stdin_ = in[1];
    stdout_ = out[0];
    (void)absl::SimpleAtoi(ReadLine(absl::Seconds(20)), &port_);
  }
  ~AgentProcess() {
    Kill();
    close(stdin_);
    close(stdout_);
  }
  AgentProcess(const AgentProcess&) = delete;
  AgentProcess& operator=(const AgentProcess&) = delete;

  // 0 when it could not be started.
  int port() const { return port_; }
  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

  // False when no call arrives within 10 s.
  bool AwaitCall() { return ReadLine(absl::Seconds(10)) == "call"; }

  // SIGKILL, and waits until it is gone.
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  std::string ReadLine(absl::Duration limit) {
    const absl::Time deadline = absl::Now() + limit;
    std::string line;
    while (true) {
      pollfd fd{.fd = stdout_, .events = POLLIN, .revents = 0};
      const auto wait = absl::ToInt64Milliseconds(deadline - absl::Now());
      char c;
      if (wait <= 0 || poll(&fd, 1, static_cast<int>(wait)) <= 0 || read(stdout_, &c, 1) != 1) return line;
      if (c == '\n') return line;
      line.push_back(c);
    }
  }

  pid_t pid_ = -1;
  int stdin_ = -1;
  int stdout_ = -1;
  int port_ = 0;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_GATEWAY_AGENT_PROCESS_H_
