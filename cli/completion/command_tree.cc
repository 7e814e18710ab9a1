#include "cli/completion/command_tree.h"

#include <CLI/CLI.hpp>

namespace thaw::cli {

CommandNode ReadCommandTree(const CLI::App& app) {
  CommandNode node;
  node.name = app.get_name();
  node.aliases = app.get_aliases();
  node.description = app.get_description();
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      node.positionals.push_back(option->get_type_name());
      continue;
    }
    OptionNode read;
    read.long_names = option->get_lnames();
    read.short_names = option->get_snames();
    // A flag's negations (`!--no-x`) are names of their own already.
    read.description = option->get_description();
    read.takes_value = option->get_items_expected_max() > 0;
    read.value_type = option->get_type_name();
    node.options.push_back(std::move(read));
  }
  for (const CLI::App* subcommand : app.get_subcommands([](const CLI::App*) { return true; })) {
    node.subcommands.push_back(ReadCommandTree(*subcommand));
  }
  return node;
}

}  // namespace thaw::cli
