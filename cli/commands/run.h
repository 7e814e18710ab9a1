#ifndef THAW_CLI_COMMANDS_RUN_H_
#define THAW_CLI_COMMANDS_RUN_H_

#include <memory>
#include <string>
#include <vector>

#include "cli/commands/context.h"

namespace thaw::cli {

// The whole program: parses `arguments` (without the program's name), runs the command, prints its result or
// error, and returns the exit code (cli/exit_code.h).
int RunCli(const std::vector<std::string>& arguments, Environment& environment);

// The command tree, for help and completion. `context` and `selected` must outlive it.
std::unique_ptr<CLI::App> MakeCommandTree(Context& context, Command& selected);

}  // namespace thaw::cli

#endif  // THAW_CLI_COMMANDS_RUN_H_
