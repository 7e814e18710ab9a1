#ifndef THAW_CLI_HIDDEN_INPUT_H_
#define THAW_CLI_HIDDEN_INPUT_H_

#include <optional>
#include <string>

#include "cli/interrupt.h"

namespace thaw::cli {

// Writes `prompt` to standard error and reads one line from the terminal `terminal`, with echo off. Nothing when the line
// is empty, the input has ended, or the user wants out; the terminal is then as it was, too.
std::optional<std::string> AskHidden(int terminal, const std::string& prompt, const Interrupt& interrupt);

}  // namespace thaw::cli

#endif  // THAW_CLI_HIDDEN_INPUT_H_
