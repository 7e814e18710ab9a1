// thaw-init, PID 1 of every container that the agent makes. docs/design/init-protocol.md says what it promises.
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "agent/init/criu_action.h"
#include "agent/init/event_loop.h"
#include "agent/init/run_command.h"
#include "agent/init/slot.h"
#include "common/version/version.h"

namespace {

constexpr int64_t kStopGraceMs = 5000;

constexpr char kUsage[] =
    "usage: /thaw/init --slot                       wait for orders on /run/thaw/ctl/init.sock\n"
    "       /thaw/init [--user UID:GID] -- CMD …    run CMD without privileges (default 1000:1000)\n"
    "       /thaw/init --version\n";

int RunSlot() {
  // A peer that goes away must not end PID 1.
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  for (int number : {SIGCHLD, SIGTERM, SIGINT}) sigaddset(&signals, number);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  thaw::init::UniqueFd signal_fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));

  thaw::init::EventLoop loop;
  thaw::init::Slot slot(loop);
  if (thaw::init::Outcome outcome = slot.Open(); !outcome.ok()) {
    std::fprintf(stderr, "thaw-init: cannot open the slot: %s\n", outcome.message().c_str());
    return 1;
  }
  loop.Watch(signal_fd.get(), EPOLLIN, [&](uint32_t) {
    signalfd_siginfo info;
    while (read(signal_fd.get(), &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGCHLD) {
        slot.OnChildEnded();
      } else {
        slot.Terminate(kStopGraceMs, [&loop] { loop.Stop(); });
      }
    }
  });
  loop.Run();
  return 0;
}

bool ParseUser(std::string_view text, uid_t* uid, gid_t* gid) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return false;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), text.data() + colon, *uid);
  const auto second = std::from_chars(text.data() + colon + 1, end, *gid);
  return first.ec == std::errc() && first.ptr == text.data() + colon && second.ec == std::errc() && second.ptr == end;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv, argv + argc);
  // CRIU calls its action script by path, without arguments; the slot has made a link of this name for it.
  if (arguments[0].ends_with("/criu-action")) return thaw::init::RunCriuAction();
  uid_t uid = 1000;
  gid_t gid = 1000;
  for (size_t i = 1; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--slot") return RunSlot();
    if (argument == "--criu-action") return thaw::init::RunCriuAction();
    if (argument == "--version") {
      std::printf("thaw-init %s\n", thaw::kVersion);
      return 0;
    }
    if (argument == "--user" && i + 1 < arguments.size() && ParseUser(arguments[i + 1], &uid, &gid)) {
      ++i;
      continue;
    }
    if (argument == "--" && i + 1 < arguments.size()) {
      return thaw::init::RunCommand({arguments.begin() + static_cast<ptrdiff_t>(i) + 1, arguments.end()}, uid, gid);
    }
    break;
  }
  std::fputs(kUsage, stderr);
  return 2;
}
