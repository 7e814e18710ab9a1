#ifndef THAW_CLI_HIDDEN_INPUT_H_
#define THAW_CLI_HIDDEN_INPUT_H_

#include <optional>
#include <string>

namespace thaw::cli {

// Writes `prompt` to standard error and reads one line from the terminal that standard input is, with echo off.
// Nothing when the line is empty or the input has ended.
std::optional<std::string> AskHidden(const std::string& prompt);

}  // namespace thaw::cli

#endif  // THAW_CLI_HIDDEN_INPUT_H_
