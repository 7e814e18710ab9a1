#ifndef THAW_CLI_COMMANDS_ARGUMENTS_H_
#define THAW_CLI_COMMANDS_ARGUMENTS_H_

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/commands/context.h"

namespace thaw::cli {

// Makes the commands of one group, which share what the command line fills in: `selected` becomes the parsed one's run.
// What it is made from must outlive the parsed command.
template <typename Arguments>
class Binder {
 public:
  using Run = absl::Status (*)(Context&, const Arguments&);

  Binder(Context& context, Command& selected) : context_(context), selected_(selected) {}

  Arguments& arguments() const { return *arguments_; }

  void Bind(CLI::App* command, Run run) const {
    command->callback([self = *this, run] { self.Select(run); });
  }
  // For a group: what it does without a subcommand.
  void BindBare(CLI::App* group, Run run) const {
    group->callback([self = *this, group, run] {
      if (group->get_subcommands().empty()) self.Select(run);
    });
  }

 private:
  void Select(Run run) const {
    selected_ = [&context = context_, arguments = arguments_, run] { return run(context, *arguments); };
  }

  Context& context_;
  Command& selected_;
  std::shared_ptr<Arguments> arguments_ = std::make_shared<Arguments>();
};

// An option that may be given again and again, with one value each time.
inline CLI::Option* AddRepeated(CLI::App* command, const char* name, std::vector<std::string>& target, const char* type,
                                const char* description) {
  return command->add_option(name, target, description)
      ->type_name(type)
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

}  // namespace thaw::cli

#endif  // THAW_CLI_COMMANDS_ARGUMENTS_H_
