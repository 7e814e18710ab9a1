#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/commands/arguments.h"
#include "cli/commands/context.h"
#include "cli/commands/deploy_tools.h"
#include "cli/deploy/await_snapshot.h"
#include "cli/deploy/deployer.h"
#include "cli/deploy/image_randomness.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "cli/output/wire.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace {

struct DeployOptions {
  DeployRequest request;
  std::vector<std::string> config;
  std::uint32_t memory = 0, timeout = 0, idle_timeout = 0;
  std::string checkpoint_after;
  bool wait = true;
};

// How long a deploy waits for the snapshot of policy on-deploy.
constexpr absl::Duration kSnapshotWait = absl::Minutes(2);

const char* OutcomeWord(DeployResult::Outcome outcome) {
  switch (outcome) {
    case DeployResult::Outcome::kCreated:
      return "created";
    case DeployResult::Outcome::kUpdated:
      return "updated";
    case DeployResult::Outcome::kUnchanged:
      return "unchanged";
  }
  return "";
}

// Says what keeps the function from being frozen that its image shows already.
void AddRandomnessNotes(Docker& docker, const std::string& directory, DeployResult& deployed) {
  const commonpb::Function& function = deployed.function;
  if (function.checkpoint().mode() == commonpb::CheckpointPolicy::MODE_NEVER) return;
  const char* const consequence =
      function.freeze().accept_uncured() ? "which its settings accept: " : "so it will not be frozen: ";
  if (function.freeze().engine() == "crac") {
    deployed.notes.push_back(absl::StrCat("restores may draw the same random numbers, ", consequence,
                                          "a JVM that restores itself is out of the cures' reach (engine: crac)"));
    return;
  }
  const auto image = docker.InspectImage(function.image());
  // Made from the same sources elsewhere: it was said there.
  if (!image.ok() || !image->has_value() || (*image)->id != function.image_id()) return;
  const auto uncured = LookForUncured(docker, (*image)->id, directory);
  if (!uncured.ok()) {
    deployed.notes.push_back(absl::StrCat("whether restores would share random numbers was not looked at: ",
                                          uncured.status().message()));
    return;
  }
  for (const std::string& what : *uncured) {
    deployed.notes.push_back(absl::StrCat("restores would draw the same random numbers, ", consequence, what));
  }
}

absl::Status RunDeploy(Context& context, DeployOptions options) {
  DeployRequest& request = options.request;
  ASSIGN_OR_RETURN(request.config, ParsePairs(options.config, "--config"));
  if (options.memory > 0) request.memory_mib = options.memory;
  if (options.timeout > 0) request.timeout_s = options.timeout;
  if (options.idle_timeout > 0) request.idle_timeout_s = options.idle_timeout;
  if (!options.checkpoint_after.empty()) {
    ASSIGN_OR_RETURN(request.checkpoint, ParseCheckpoint(options.checkpoint_after));
  }
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  auto progress = context.NewProgress();
  Docker docker(context.env().processes);
  ImageBuilder builder(docker, context.env().processes, *progress, BuilderOptions(context));
  auto deployed = Deployer(*client, docker, builder, *progress).Deploy(request);
  if (!deployed.ok()) progress->Failed("");
  if (deployed.ok() && options.wait &&
      deployed->function.checkpoint().mode() == commonpb::CheckpointPolicy::MODE_ON_DEPLOY) {
    const absl::Status frozen = AwaitSnapshot(*client, deployed->function, kSnapshotWait, context.env().clock,
                                              context.env().interrupt, *progress);
    if (absl::IsCancelled(frozen)) return frozen;
    // The function is deployed all the same.
    if (!frozen.ok()) deployed->notes.push_back(std::string(frozen.message()));
  }
  progress.reset();
  RETURN_IF_ERROR(deployed.status());
  AddRandomnessNotes(docker, BuilderOptions(context).temp_directory, *deployed);

  const std::string url = context.InvokeUrl(deployed->function.id());
  const std::string path = absl::StrCat(deployed->app.name(), "/", deployed->function.name());
  if (context.json) {
    nlohmann::ordered_json json;
    json["outcome"] = OutcomeWord(deployed->outcome);
    json["app"] = AppJson(deployed->app);
    json["app_created"] = deployed->app_created;
    json["function"] = FunctionJson(deployed->function);
    json["image_built"] = deployed->built;
    json["pushed_bytes"] = deployed->pushed_bytes;
    json["pushed_to"] = deployed->pushed_to;
    json["invoke_url"] = url;
    json["notes"] = deployed->notes;
    context.PrintJson(json);
    return absl::OkStatus();
  }
  const Terminal terminal = context.out_terminal();
  for (const std::string& note : deployed->notes) {
    context.env().err << terminal.Paint(Style::kYellow, "note:") << " " << note << "\n";
  }
  context.Print(absl::StrCat(terminal.Paint(Style::kGreen, path), " ", OutcomeWord(deployed->outcome), "\n"));
  context.Print(RenderFields(
      {{"App", absl::StrCat(deployed->app.name(), " (", deployed->app.id(), ")",
                            deployed->app_created ? ", new" : "")},
       {"Function", absl::StrCat(deployed->function.name(), " (", deployed->function.id(), ")")},
       {"Version", deployed->function.version_id()},
       {"Image", absl::StrCat(deployed->function.image(), deployed->built ? ", built" : ", as it was")},
       {"Image id", deployed->function.image_id()},
       {"Sent", deployed->pushed_to.empty()
                    ? "nothing, a node had the image"
                    : absl::StrCat(FormatBytes(deployed->pushed_bytes), " to node ", deployed->pushed_to)},
       {"Limits",
        absl::StrCat(deployed->function.memory_mib(), " MiB, ", deployed->function.timeout().seconds(),
                     " s per call, idle for ", deployed->function.idle_timeout().seconds(), " s, checkpoint ",
                     CheckpointWord(deployed->function.checkpoint()))},
       {"Call it", absl::StrCat("thaw invoke ", path)},
       {"Over HTTP", absl::StrCat("curl -X POST ", url)}},
      terminal));
  return absl::OkStatus();
}

}  // namespace

ImageBuilder::Options BuilderOptions(Context& context) {
  ImageBuilder::Options options;
  const auto variable = [&context](const char* name) { return context.env().variable(name).value_or(""); };
  options.ca_bundle = variable("SSL_CERT_FILE");
  for (const char* name :
       {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}) {
    if (const std::string value = variable(name); !value.empty()) options.proxies.emplace_back(name, value);
  }
  if (const std::string directory = variable("TMPDIR"); !directory.empty())
    options.temp_directory = directory;
  return options;
}

void AddDeployCommand(CLI::App& root, Context& context, Command& selected) {
  auto options = std::make_shared<DeployOptions>();
  CLI::App* deploy = root.add_subcommand("deploy", "Build a function's image and make the function known");
  deploy
      ->add_option("dir", options->request.directory,
                   "The function's folder, with its func.yaml (default: .)")
      ->type_name("DIR");
  deploy->add_option("--app", options->request.app, "The app that the function belongs to")
      ->required()
      ->type_name("NAME");
  deploy->add_option("--name", options->request.name, "The function's name (default: func.yaml's)")
      ->type_name("NAME");
  deploy->add_flag("--create-app,!--no-create-app", options->request.create_app,
                   "Make the app if there is none (default)");
  AddRepeated(deploy, "--config", options->config, "K=V",
              "A config value, on top of func.yaml's; an empty VALUE deletes the key");
  deploy->add_option("--memory", options->memory, "Memory of an instance")
      ->type_name("MIB")
      ->check(CLI::Range(1, 8192));
  deploy->add_option("--timeout", options->timeout, "The time that one call may take")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 300));
  deploy->add_option("--idle-timeout", options->idle_timeout, "How long an idle instance is kept")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 3600));
  deploy
      ->add_option("--checkpoint,--checkpoint-after", options->checkpoint_after,
                   "When to freeze an instance: after N calls (default 5), on-deploy, learned, manual or never")
      ->type_name("N|on-deploy|learned|manual|never");
  deploy->add_flag("--wait,!--no-wait", options->wait,
                   "With checkpoint on-deploy: wait until it is frozen (default)");
  deploy->add_flag("--no-cache", options->request.no_cache, "Build the image from scratch");
  deploy->footer(
      "Reads func.yaml, func.yml or func.json (schema_version 20180708). A Dockerfile in the folder is built "
      "as it\n"
      "is; else a Java function is built with Maven in build_image and laid onto run_image. The image goes "
      "to one\n"
      "node, and the others take it from there: no registry is needed. Sources that have not changed are not "
      "built\n"
      "again, and make no new version. Config that only the cluster has stays. `thaw:` in func.yaml says when and\n"
      "how it is frozen (docs/freezing.md).\n\n"
      "Examples:\n"
      "  thaw deploy --app demo examples/fndemo\n"
      "  thaw deploy --app shop --name checkout --config STAGE=test --memory 256\n"
      "  thaw deploy --app shop --checkpoint 20 --json | jq -r .invoke_url\n");
  deploy->callback([options, &context, &selected] {
    selected = [options, &context] { return RunDeploy(context, *options); };
  });
}

}  // namespace thaw::cli
