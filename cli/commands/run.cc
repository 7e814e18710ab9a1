#include "cli/commands/run.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "cli/closest_word.h"
#include "cli/exit_code.h"
#include "cli/output/wire.h"
#include "common/status/reasons.h"
#include "common/version/version.h"

namespace thaw::cli {
namespace {

constexpr char kDefaultServer[] = "127.0.0.1:7000";

int PrintError(const absl::Status& status, Context& context) {
  const ExitCode code = ExitCodeOf(status);
  std::ostream& err = context.env().err;
  if (code == ExitCode::kInterrupted) {
    err << "interrupted\n";
    return static_cast<int>(code);
  }
  const std::string next = NextStep(status, context.connection.server, context.function);
  if (context.json) {
    err << Dump(ErrorJson(status, next, static_cast<int>(code))) << "\n";
    return static_cast<int>(code);
  }
  const Terminal terminal = context.err_terminal();
  err << terminal.Paint(Style::kRed, "error:") << " "
      << absl::StrReplaceAll(status.message(), {{"\x1b", "\\x1b"}, {"\n", "\n       "}}) << "\n";
  const std::string reason = ReasonOf(status);
  err << terminal.Paint(Style::kDim, "reason:") << " "
      << (reason.empty() ? absl::StatusCodeToString(status.code()) : reason) << "\n";
  if (!next.empty()) err << terminal.Paint(Style::kDim, "next:") << " " << next << "\n";
  return static_cast<int>(code);
}

// What was wrong with the command line, with what was probably meant. `command` is the deepest one that was
// recognised.
std::string DescribeParseError(const CLI::ParseError& error, const CLI::App& root, const CLI::App& command,
                               const std::string& name, const std::vector<std::string>& arguments) {
  const int code = error.get_exit_code();
  const bool no_subcommand = code == static_cast<int>(CLI::ExitCodes::RequiredError) &&
                             command.get_require_subcommand_min() > 0 && command.get_subcommands().empty();
  if (code != static_cast<int>(CLI::ExitCodes::ExtrasError) && !no_subcommand) return error.what();
  const std::vector<std::string> unknown = root.remaining(/*recurse=*/true);
  const auto first = std::find_if(arguments.begin(), arguments.end(), [&unknown](const std::string& word) {
    return std::find(unknown.begin(), unknown.end(), word) != unknown.end();
  });
  if (first == arguments.end()) return error.what();
  std::vector<std::string> known;
  if (absl::StartsWith(*first, "-")) {
    for (const CLI::App* app : {&command, &root}) {
      for (const CLI::Option* option : app->get_options()) {
        for (const std::string& long_name : option->get_lnames()) known.push_back("--" + long_name);
      }
    }
  } else {
    for (const CLI::App* subcommand : command.get_subcommands([](const CLI::App*) { return true; })) {
      known.push_back(subcommand->get_name());
    }
  }
  const std::string meant = ClosestWord(*first, known);
  return absl::StrCat("`", name, "` has no use for `", *first, "`",
                      meant.empty() ? "" : absl::StrCat("; did you mean `", meant, "`?"));
}

}  // namespace

std::unique_ptr<CLI::App> MakeCommandTree(Context& context, Command& selected) {
  auto app = std::make_unique<CLI::App>(
      "Deploys and calls functions of a Thaw cluster, whose functions are restored from snapshots instead of "
      "started.",
      "thaw");
  app->fallthrough();
  app->require_subcommand(1, 1);
  app->option_defaults()->always_capture_default(false);
  context.connection.server = context.env().variable("THAW_SERVER").value_or(kDefaultServer);
  context.connection.tls_ca_file = context.env().variable("THAW_TLS_CA").value_or("");
  context.http_url = context.env().variable("THAW_HTTP_URL").value_or("");
  app->add_option("--server", context.connection.server,
                  absl::StrCat("The gateway's gRPC address (THAW_SERVER; else ", kDefaultServer, ")"))
      ->type_name("HOST:PORT");
  app->add_option("--tls-ca", context.connection.tls_ca_file,
                  "Talk TLS, and trust the authority in this PEM file (THAW_TLS_CA)")
      ->type_name("FILE");
  app->add_option("--http-url", context.http_url,
                  "The gateway's HTTP address, for the URLs that are shown (THAW_HTTP_URL; else port 8080, with "
                  "--tls-ca 8443, of --server)")
      ->type_name("URL");
  app->add_flag("--json", context.json, "Print results, and errors, as JSON");
  app->add_flag("--no-color", context.no_color, "No colours (as NO_COLOR does)");
  app->set_version_flag("--version", std::string("thaw ") + kVersion);
  app->footer(absl::StrCat(
      "Examples:\n"
      "  thaw deploy --app demo examples/fndemo    build a function and make it known\n"
      "  thaw invoke demo/fndemo --data 'Ann'      call it\n"
      "  thaw invoke demo/fndemo --verbose         … and see how it was started, and where the time went\n"
      "  thaw snapshot ls                          what is frozen, and where it lies\n"
      "  thaw demo                                 see a function frozen, and thawed on another node\n"
      "  source <(thaw completion bash)            completion for this shell\n\n"
      "Exit codes:\n",
      ExitCodeHelp(), "\n`thaw COMMAND --help` says more about a command.\n"));

  AddDeployCommand(*app, context, selected);
  AddInvokeCommand(*app, context, selected);
  AddAppsCommands(*app, context, selected);
  AddFunctionsCommands(*app, context, selected);
  AddNodesCommand(*app, context, selected);
  AddSecretCommands(*app, context, selected);
  AddSnapshotCommands(*app, context, selected);
  AddLogsCommand(*app, context, selected);
  AddDemoCommand(*app, context, selected);
  AddVersionCommand(*app, context, selected);
  AddCompletionCommands(*app, context, selected);
  return app;
}

int RunCli(const std::vector<std::string>& arguments, Environment& environment) {
  Context context(environment);
  Command selected;
  const auto app = MakeCommandTree(context, selected);
  // CLI11 speaks in exceptions; none leaves this function.
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app->parse(std::move(reversed));
  } catch (const CLI::Success& success) {
    // --help and --version: this prints what was asked for.
    app->exit(success, environment.out, environment.err);
    environment.out.flush();
    return static_cast<int>(ExitCode::kOk);
  } catch (const CLI::ParseError& error) {
    // The deepest command that was recognised knows what would have been right.
    const CLI::App* command = app.get();
    std::string name = "thaw";
    while (!command->get_subcommands().empty()) {
      command = command->get_subcommands().front();
      absl::StrAppend(&name, " ", command->get_name());
    }
    const std::string message = DescribeParseError(error, *app, *command, name, arguments);
    context.json = context.json || std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
    if (context.json) return PrintError(absl::InvalidArgumentError(message), context);
    environment.err << context.err_terminal().Paint(Style::kRed, "error:") << " " << message << "\n"
                    << context.err_terminal().Paint(Style::kDim, "next:") << " see `" << name << " --help`\n";
    return static_cast<int>(ExitCode::kUsage);
  }
  const absl::Status status = selected ? selected() : absl::InternalError("no command was selected");
  if (!status.ok()) return PrintError(status, context);
  environment.out.flush();
  return static_cast<int>(ExitCode::kOk);
}

}  // namespace thaw::cli
