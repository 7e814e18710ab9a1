#include <CLI/CLI.hpp>

#include "cli/commands/context.h"
#include "cli/completion/command_tree.h"

namespace thaw::cli {

void AddCompletionCommands(CLI::App& root, Context& context, Command& selected) {
  CLI::App* completion = root.add_subcommand("completion", "Print the completion script of a shell");
  completion->require_subcommand(1, 1);
  completion->footer(
      "Examples:\n"
      "  source <(thaw completion bash)\n"
      "  thaw completion zsh > \"${fpath[1]}/_thaw\"\n"
      "  thaw completion fish > ~/.config/fish/completions/thaw.fish\n");
  const auto add = [&](const char* shell, std::string (*script)(const CommandNode&),
                       const char* description) {
    completion->add_subcommand(shell, description)->callback([&root, &context, &selected, script] {
      selected = [&root, &context, script] {
        context.Print(script(ReadCommandTree(root)));
        return absl::OkStatus();
      };
    });
  };
  add("bash", &BashCompletion, "For bash: source <(thaw completion bash)");
  add("zsh", &ZshCompletion, "For zsh: a file _thaw in $fpath, or source <(thaw completion zsh)");
  add("fish", &FishCompletion, "For fish: thaw completion fish | source");
}

}  // namespace thaw::cli
