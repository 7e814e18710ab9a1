#include "cli/hidden_input.h"

#include <termios.h>
#include <unistd.h>

#include <iostream>

namespace thaw::cli {

std::optional<std::string> AskHidden(const std::string& prompt) {
  termios before{};
  if (tcgetattr(STDIN_FILENO, &before) != 0) return std::nullopt;
  termios hidden = before;
  hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  // What was typed ahead was typed in sight; it is not the answer.
  if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) != 0) return std::nullopt;
  std::cerr << prompt << std::flush;
  std::string line;
  const bool read = static_cast<bool>(std::getline(std::cin, line));
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
  std::cerr << "\n";
  if (!read || line.empty()) return std::nullopt;
  return line;
}

}  // namespace thaw::cli
