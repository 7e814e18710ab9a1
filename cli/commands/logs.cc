#include <CLI/CLI.hpp>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/commands/context.h"
#include "cli/exit_code.h"
#include "cli/output/wire.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace {

struct LogsArguments {
  std::string function;
  std::uint32_t tail = 100;
  bool follow = false;
};

absl::Status Run(Context& context, const LogsArguments& arguments) {
  gatewaypb::ReadLogsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_function(), ParseFunctionRef(arguments.function));
  request.set_tail(arguments.tail);
  request.set_follow(arguments.follow);
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  const Terminal terminal = context.out_terminal();
  return client->ReadLogs(request, [&](const gatewaypb::LogLine& line) {
    // `<time> <instance> <out|err|thaw> <text>`
    const std::vector<std::string> parts = absl::StrSplit(line.line(), absl::MaxSplits(' ', 3));
    const bool whole = parts.size() == 4;
    if (context.json) {
      nlohmann::ordered_json json;
      json["node"] = line.node_id();
      json["time"] = whole ? parts[0] : "";
      json["instance"] = whole ? parts[1] : "";
      json["stream"] = whole ? parts[2] : "";
      json["text"] = whole ? parts[3] : line.line();
      context.Print(absl::StrCat(Dump(json), "\n"));
    } else if (whole) {
      const Style style = parts[2] == "err" ? Style::kRed : parts[2] == "thaw" ? Style::kCyan : Style::kPlain;
      context.Print(absl::StrCat(
          terminal.Paint(Style::kDim, absl::StrCat(parts[0], " ", line.node_id(), " ", parts[1])), " ",
          terminal.Paint(style, parts[2]), " ", parts[3], "\n"));
    } else {
      context.Print(absl::StrCat(terminal.Paint(Style::kDim, line.node_id()), " ", line.line(), "\n"));
    }
    if (!context.env().out) {
      return LocalError(absl::FailedPreconditionError("standard output was closed"), local_reason::kFile);
    }
    return absl::OkStatus();
  });
}

}  // namespace

void AddLogsCommand(CLI::App& root, Context& context, Command& selected) {
  auto arguments = std::make_shared<LogsArguments>();
  CLI::App* logs = root.add_subcommand("logs", "Show what a function's instances wrote");
  logs->add_option("function", arguments->function, "The function")->required()->type_name("APP/FUNCTION|ID");
  logs->add_flag("-f,--follow", arguments->follow, "Go on as more is written, until Ctrl-C");
  logs->add_option("--tail", arguments->tail, "The newest lines of each node to begin with (default 100)")
      ->type_name("LINES")
      ->check(CLI::Range(1, 1000000));
  logs->footer(
      "Each line has its time, node, instance and stream: out, err, or thaw for what the instance's init "
      "says.\n\n"
      "Examples:\n"
      "  thaw logs demo/hello --tail 20\n"
      "  thaw logs -f demo/hello --json | jq -r 'select(.stream == \"err\") | .text'\n");
  logs->callback([arguments, &context, &selected] {
    selected = [arguments, &context] { return Run(context, *arguments); };
  });
}

}  // namespace thaw::cli
