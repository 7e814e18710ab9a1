#ifndef THAW_CLI_COMMANDS_CONTEXT_H_
#define THAW_CLI_COMMANDS_CONTEXT_H_

#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/gateway/client.h"
#include "cli/interrupt.h"
#include "cli/metrics/scraper.h"
#include "cli/output/progress.h"
#include "cli/output/terminal.h"
#include "cli/process/runner.h"
#include "common/clock/clock.h"

namespace CLI {
class App;
}

namespace thaw::cli {

// The world outside the program: what a test replaces.
struct Environment {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  // What `out` and `err` are, before --no-color.
  Terminal out_terminal;
  Terminal err_terminal;
  std::function<std::optional<std::string>(const std::string&)> variable;
  // Asks the person at the terminal for a line that is not shown; empty where `in` is no terminal.
  std::function<std::optional<std::string>(const std::string& prompt)> ask_hidden;
  std::function<absl::StatusOr<std::shared_ptr<GatewayClient>>(const ConnectionOptions&)> connect;
  ProcessRunner& processes;
  MetricsScraper& metrics;
  const Clock& clock;
  Interrupt& interrupt;
};

// What every command sees: the environment and the options that all commands share. One thread at a time.
class Context {
 public:
  explicit Context(Environment& environment) : env_(environment) {}

  // Filled by the command line.
  ConnectionOptions connection;
  std::string http_url;
  bool json = false;
  bool no_color = false;
  // What the command line called the function, for advice.
  std::string function;

  Environment& env() { return env_; }
  // Connects on first use.
  absl::StatusOr<GatewayClient*> Client();
  Terminal out_terminal() const;
  Terminal err_terminal() const;
  // On standard error, so that standard output holds results only.
  std::unique_ptr<Progress> NewProgress();
  void Print(absl::string_view text);
  // What --json prints: the value over several lines, and a line break.
  void PrintJson(const nlohmann::ordered_json& json);
  // Where the function can be called over HTTP.
  std::string InvokeUrl(const std::string& function_id) const;

 private:
  Environment& env_;
  std::shared_ptr<GatewayClient> client_;
};

// A parsed command, ready to run.
using Command = std::function<absl::Status()>;

// Each adds its subcommands to `root`; the one that is parsed sets `selected`. All three outlive the parsed
// command.
void AddDeployCommand(CLI::App& root, Context& context, Command& selected);
void AddInvokeCommand(CLI::App& root, Context& context, Command& selected);
void AddAppsCommands(CLI::App& root, Context& context, Command& selected);
void AddFunctionsCommands(CLI::App& root, Context& context, Command& selected);
void AddNodesCommand(CLI::App& root, Context& context, Command& selected);
void AddSecretCommands(CLI::App& root, Context& context, Command& selected);
void AddSnapshotCommands(CLI::App& root, Context& context, Command& selected);
void AddLogsCommand(CLI::App& root, Context& context, Command& selected);
void AddDemoCommand(CLI::App& root, Context& context, Command& selected);
void AddVersionCommand(CLI::App& root, Context& context, Command& selected);
void AddCompletionCommands(CLI::App& root, Context& context, Command& selected);

// `KEY=VALUE` words as a map; INVALID_ARGUMENT names the option and the word that is none. A VALUE of ""
// deletes the key.
absl::StatusOr<std::map<std::string, std::string>> ParsePairs(const std::vector<std::string>& words,
                                                              absl::string_view option);
// A number of calls, `after:N`, `on-deploy`, `learned`, `manual` or `never`.
absl::StatusOr<commonpb::CheckpointPolicy> ParseCheckpoint(const std::string& text);

}  // namespace thaw::cli

#endif  // THAW_CLI_COMMANDS_CONTEXT_H_
