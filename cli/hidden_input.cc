#include "cli/hidden_input.h"

#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <iostream>

namespace thaw::cli {
namespace {

// Ctrl-C comes as a value, not as a signal that would end the wait.
constexpr int kPollMs = 100;

}  // namespace

std::optional<std::string> AskHidden(int terminal, const std::string& prompt, const Interrupt& interrupt) {
  termios before{};
  if (tcgetattr(terminal, &before) != 0) return std::nullopt;
  termios hidden = before;
  hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  // What was typed ahead was typed in sight; it is not the answer.
  if (tcsetattr(terminal, TCSAFLUSH, &hidden) != 0) return std::nullopt;
  std::cerr << prompt << std::flush;
  std::string line;
  bool ended = false;
  while (!ended && !interrupt.requested()) {
    pollfd input{terminal, POLLIN, 0};
    if (poll(&input, 1, kPollMs) <= 0) continue;
    char c = 0;
    ended = read(terminal, &c, 1) != 1 || c == '\n';
    if (!ended) line += c;
  }
  tcsetattr(terminal, TCSAFLUSH, &before);
  std::cerr << "\n";
  if (!ended || line.empty()) return std::nullopt;
  return line;
}

}  // namespace thaw::cli
