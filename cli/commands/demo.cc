#include "cli/demo/demo.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/commands/context.h"
#include "cli/commands/deploy_tools.h"
#include "cli/demo/report.h"
#include "cli/exit_code.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace {

constexpr char kComposeMetrics[] = "a=127.0.0.1:7211,b=127.0.0.1:7212,c=127.0.0.1:7213";

struct DemoArguments {
  Demo::Options options;
  std::string metrics = kComposeMetrics;
  std::string kill_node, start_node;
};

absl::Status Run(Context& context, DemoArguments arguments) {
  const std::vector<std::string> words = absl::StrSplit(arguments.metrics, ',', absl::SkipEmpty());
  ASSIGN_OR_RETURN(arguments.options.metrics, ParsePairs(words, "--metrics"));
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  auto progress = context.NewProgress();
  Docker docker(context.env().processes);
  ImageBuilder builder(docker, context.env().processes, *progress, BuilderOptions(context));
  Deployer deployer(*client, docker, builder, *progress);
  DockerNodeControl compose_nodes(docker);
  HookNodeControl nodes(context.env().processes, compose_nodes, arguments.kill_node, arguments.start_node);
  Demo demo({
                .client = *client,
                .deploy = [&deployer](const DeployRequest& request) { return deployer.Deploy(request); },
                .remove_images = [&docker](const std::string& app) -> absl::Status {
                  ASSIGN_OR_RETURN(const auto images,
                                   docker.ListImages(absl::StrCat("thaw.local/", ImageNamePart(app), "/*")));
                  for (const std::string& image : images) RETURN_IF_ERROR(docker.RemoveImage(image));
                  return absl::OkStatus();
                },
                .nodes = nodes,
                .metrics = context.env().metrics,
                .clock = context.env().clock,
                .interrupt = context.env().interrupt,
                .progress = *progress,
            },
            arguments.options);
  const absl::Status status = demo.Run();
  progress.reset();
  // What was found is shown also when the demo broke off; the JSON is the last thing on standard output.
  const bool any = !demo.report().checks.empty() || !demo.report().calls.empty();
  if (context.json) {
    if (any) context.Print(absl::StrCat(DemoReportJson(demo.report()), "\n"));
  } else if (any) {
    context.Print(absl::StrCat("\n", RenderDemoReport(demo.report(), context.out_terminal())));
  }
  RETURN_IF_ERROR(status);
  return DemoStatus(demo.report());
}

}  // namespace

void AddDemoCommand(CLI::App& root, Context& context, Command& selected) {
  auto arguments = std::make_shared<DemoArguments>();
  CLI::App* demo = root.add_subcommand("demo", "See a slow function frozen, and thawed on other nodes");
  demo->add_option("--source", arguments->options.source,
                   "The demo function's folder (default: examples/fndemo)")
      ->type_name("DIR");
  demo->add_option("--node-a", arguments->options.node_a,
                   "The node that runs it first and is killed (default: a)")
      ->type_name("ID");
  demo->add_option("--node-b", arguments->options.node_b, "The node that thaws it next (default: b)")
      ->type_name("ID");
  demo->add_option("--node-c", arguments->options.node_c, "The node that thaws it last (default: c)")
      ->type_name("ID");
  demo->add_option("--metrics", arguments->metrics,
                   absl::StrCat("Where the nodes' metrics are (default: ", kComposeMetrics, ")"))
      ->type_name("NODE=HOST:PORT,…");
  demo->add_option(
          "--kill-node", arguments->kill_node,
          "A shell command that kills node $THAW_NODE and its function containers (default: by docker, for "
          "deploy/compose.yaml)")
      ->type_name("COMMAND");
  demo->add_option("--start-node", arguments->start_node, "A shell command that brings node $THAW_NODE back")
      ->type_name("COMMAND");
  demo->add_flag("--keep", arguments->options.keep, "Leave the demo's app, function and image there");
  demo->footer(
      "Deploys a function that takes five seconds to start, freezes it after its fifth call, and thaws it: "
      "on the\n"
      "same node, on another one, and after its node was killed. Checks every claim; exit code 1 names those "
      "that\n"
      "did not hold. Each run uses a fresh function, and removes it; the killed node is brought back.\n"
      "With --json the figures are one line of JSON, the last on standard output.\n\n"
      "Examples:\n"
      "  thaw demo\n"
      "  thaw demo --json 2>/dev/null | jq '.calls[] | {step, start, total_ms}'\n"
      "  thaw demo --kill-node 'ssh $THAW_NODE systemctl kill -s KILL thaw-agent' --start-node '…'\n");
  demo->callback([arguments, &context, &selected] {
    selected = [arguments, &context] { return Run(context, *arguments); };
  });
}

}  // namespace thaw::cli
