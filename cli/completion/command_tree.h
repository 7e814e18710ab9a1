#ifndef THAW_CLI_COMPLETION_COMMAND_TREE_H_
#define THAW_CLI_COMPLETION_COMMAND_TREE_H_

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace thaw::cli {

// The command line's shape, read off the parser itself so that completion can't drift from it.
struct OptionNode {
  // Without dashes.
  std::vector<std::string> long_names;
  std::vector<std::string> short_names;
  std::string description;
  bool takes_value = false;
  // The kind of value, as help shows it: FILE and DIR are completed as paths.
  std::string value_type;
};

struct CommandNode {
  std::string name;
  std::vector<std::string> aliases;
  std::string description;
  std::vector<OptionNode> options;
  std::vector<CommandNode> subcommands;
  // The kinds of the positional arguments, in order.
  std::vector<std::string> positionals;
};

CommandNode ReadCommandTree(const CLI::App& app);

// The scripts, complete as the shell reads them.
std::string BashCompletion(const CommandNode& root);
std::string ZshCompletion(const CommandNode& root);
std::string FishCompletion(const CommandNode& root);

}  // namespace thaw::cli

#endif  // THAW_CLI_COMPLETION_COMMAND_TREE_H_
