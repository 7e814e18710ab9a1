#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/commands/arguments.h"
#include "cli/commands/context.h"
#include "cli/commands/freeze_flags.h"
#include "cli/deploy/docker.h"
#include "cli/deploy/image_publisher.h"
#include "cli/exit_code.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "cli/output/wire.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace {

struct FunctionArguments {
  std::string app;
  std::string function;
  std::string image, image_id;
  std::vector<std::string> config, annotations, unset;
  std::uint32_t memory = 0, cpu = 0, timeout = 0, idle_timeout = 0;
  std::string checkpoint_after;
  FreezeFlags freeze;
};

std::string Path(const commonpb::Function& function) {
  return absl::StrCat(function.app_name(), "/", function.name());
}

absl::Status List(Context& context, const FunctionArguments& arguments) {
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  ASSIGN_OR_RETURN(const auto functions, client->ListFunctions(arguments.app));
  if (context.json) {
    auto json = nlohmann::ordered_json::array();
    for (const auto& function : functions) json.push_back(FunctionJson(function));
    nlohmann::ordered_json object;
    object["functions"] = std::move(json);
    context.PrintJson(object);
    return absl::OkStatus();
  }
  if (functions.empty()) {
    context.Print("no functions yet; `thaw deploy --app NAME DIR` makes one\n");
    return absl::OkStatus();
  }
  Table table({{"FUNCTION", Table::Align::kLeft, true},
               {"ID"},
               {"IMAGE", Table::Align::kLeft, true},
               {"VERSION"},
               {"MEMORY", Table::Align::kRight},
               {"TIMEOUT", Table::Align::kRight},
               {"CHECKPOINT"},
               {"AGE", Table::Align::kRight}});
  for (const auto& function : functions) {
    table.AddRow({Path(function), function.id(), function.image(), ShortId(function.version_id()),
                  absl::StrCat(function.memory_mib(), " MiB"),
                  absl::StrCat(function.timeout().seconds(), " s"), CheckpointWord(function.checkpoint()),
                  FormatAge(context.env().clock.Now() - TimeOf(function.created_at()))});
  }
  context.Print(table.Render(context.out_terminal()));
  return absl::OkStatus();
}

void Show(Context& context, const commonpb::Function& function) {
  if (context.json) {
    nlohmann::ordered_json json = FunctionJson(function);
    json["invoke_url"] = context.InvokeUrl(function.id());
    context.PrintJson(json);
    return;
  }
  std::vector<std::pair<std::string, std::string>> fields = {
      {"Function", Path(function)},
      {"Id", function.id()},
      {"App id", function.app_id()},
      {"Version", function.version_id()},
      {"Image", function.image()},
      {"Image id", function.image_id()},
      {"Memory", absl::StrCat(function.memory_mib(), " MiB")},
      {"CPU", function.cpu_millis() == 0 ? "no limit" : absl::StrCat(function.cpu_millis(), " thousandths")},
      {"Timeout", absl::StrCat(function.timeout().seconds(), " s")},
      {"Idle timeout", absl::StrCat(function.idle_timeout().seconds(), " s")},
      {"Checkpoint", CheckpointWord(function.checkpoint())}};
  for (auto& row : FreezeRows(function.freeze())) fields.push_back(std::move(row));
  fields.emplace_back("Created", FormatTimestamp(TimeOf(function.created_at())));
  fields.emplace_back("Updated", FormatTimestamp(TimeOf(function.updated_at())));
  const std::map<std::string, std::string> config(function.config().begin(), function.config().end());
  for (const auto& [key, value] : config) fields.emplace_back("Config", absl::StrCat(key, "=", value));
  const std::map<std::string, std::string> annotations(function.annotations().begin(),
                                                       function.annotations().end());
  for (const auto& [key, value] : annotations)
    fields.emplace_back("Annotation", absl::StrCat(key, "=", value));
  fields.emplace_back("Call it", absl::StrCat("thaw invoke ", Path(function)));
  fields.emplace_back("Over HTTP", absl::StrCat("curl -X POST ", context.InvokeUrl(function.id())));
  context.Print(RenderFields(fields, context.out_terminal()));
}

// What the command line says, and whether it says anything.
absl::StatusOr<bool> Fill(const FunctionArguments& arguments, commonpb::Function& function) {
  ASSIGN_OR_RETURN(const auto config, ParsePairs(arguments.config, "--config"));
  ASSIGN_OR_RETURN(const auto annotations, ParsePairs(arguments.annotations, "--annotation"));
  for (const auto& [key, value] : config) (*function.mutable_config())[key] = value;
  for (const auto& [key, value] : annotations) (*function.mutable_annotations())[key] = value;
  for (const std::string& key : arguments.unset) (*function.mutable_config())[key] = "";
  function.set_memory_mib(arguments.memory);
  function.set_cpu_millis(arguments.cpu);
  if (arguments.timeout > 0) function.mutable_timeout()->set_seconds(arguments.timeout);
  if (arguments.idle_timeout > 0) function.mutable_idle_timeout()->set_seconds(arguments.idle_timeout);
  if (!arguments.checkpoint_after.empty()) {
    ASSIGN_OR_RETURN(*function.mutable_checkpoint(), ParseCheckpoint(arguments.checkpoint_after));
  }
  return !function.config().empty() || !function.annotations().empty() || arguments.memory > 0 ||
         arguments.cpu > 0 || arguments.timeout > 0 || arguments.idle_timeout > 0 ||
         function.has_checkpoint();
}

// Names the image in `function`, and brings it from the local Docker to the cluster. With an id the cluster
// must have it already: a name alone stands for nothing there.
absl::Status UseImage(Context& context, GatewayClient& client, const FunctionArguments& arguments,
                      commonpb::Function& function) {
  const std::string& reference = arguments.image;
  function.set_image(reference);
  if (!arguments.image_id.empty()) {
    function.set_image_id(arguments.image_id);
    ASSIGN_OR_RETURN(const std::vector<std::string> holders, client.FindImage(arguments.image_id));
    if (!holders.empty()) return absl::OkStatus();
    return WithReason(
        absl::FailedPreconditionError(absl::StrCat("no node has the image ", arguments.image_id)),
        reason::kImageUnavailable);
  }
  auto progress = context.NewProgress();
  Docker docker(context.env().processes);
  ASSIGN_OR_RETURN(std::optional<LocalImage> image, docker.InspectImage(reference));
  if (!image.has_value()) {
    progress->Start(absl::StrCat("pulling ", reference));
    const absl::Status pulled =
        docker.PullImage(reference, [&progress](absl::string_view line) { progress->Detail(line); });
    if (pulled.code() == absl::StatusCode::kCancelled) return pulled;
    if (pulled.ok()) {
      progress->Done("");
      ASSIGN_OR_RETURN(image, docker.InspectImage(reference));
    } else {
      progress->Failed("");
    }
    if (!image.has_value()) {
      return LocalError(absl::NotFoundError(absl::StrCat("the local Docker has no image `", reference,
                                                         "`, and can't pull it: ", pulled.message())),
                        local_reason::kLocalImageMissing);
    }
  }
  function.set_image_id(image->id);
  return PublishImage(client, docker, *progress, reference, *image).status();
}

absl::Status Create(Context& context, const FunctionArguments& arguments) {
  const std::vector<std::string> names = absl::StrSplit(arguments.function, '/');
  if (names.size() != 2 || names[0].empty() || names[1].empty()) {
    return absl::InvalidArgumentError(absl::StrCat("`", arguments.function, "` must be APP/FUNCTION"));
  }
  commonpb::Function function;
  RETURN_IF_ERROR(Fill(arguments, function).status());
  commonpb::FreezeSettings freeze;
  ASSIGN_OR_RETURN(const bool has_freeze, ApplyFreezeFlags(arguments.freeze, freeze));
  if (has_freeze) *function.mutable_freeze() = std::move(freeze);
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  ASSIGN_OR_RETURN(const auto app, FindApp(*client, names[0]));
  function.set_app_id(app.id());
  function.set_app_name(app.name());
  function.set_name(names[1]);
  RETURN_IF_ERROR(UseImage(context, *client, arguments, function));
  ASSIGN_OR_RETURN(auto made, client->CreateFunction(function));
  if (made.app_name().empty()) made.set_app_name(app.name());
  Show(context, made);
  return absl::OkStatus();
}

absl::Status Inspect(Context& context, const FunctionArguments& arguments) {
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  ASSIGN_OR_RETURN(const auto function, FindFunction(*client, arguments.function));
  Show(context, function);
  return absl::OkStatus();
}

absl::Status Update(Context& context, const FunctionArguments& arguments) {
  commonpb::Function change;
  ASSIGN_OR_RETURN(const bool any, Fill(arguments, change));
  if (!arguments.image_id.empty() && arguments.image.empty()) {
    return absl::InvalidArgumentError("--image-id needs --image, the name to show for it");
  }
  // Read before anything is asked, so that a wrong flag is told at once; what they go on top of comes later.
  commonpb::FreezeSettings unused;
  ASSIGN_OR_RETURN(const bool has_freeze, ApplyFreezeFlags(arguments.freeze, unused));
  if (!any && !has_freeze && arguments.image.empty()) {
    return absl::InvalidArgumentError("there is nothing to change: see `thaw functions update --help`");
  }
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  ASSIGN_OR_RETURN(const auto function, FindFunction(*client, arguments.function));
  change.set_id(function.id());
  if (has_freeze) {
    // An update replaces the settings whole.
    *change.mutable_freeze() = function.freeze();
    RETURN_IF_ERROR(ApplyFreezeFlags(arguments.freeze, *change.mutable_freeze()).status());
  }
  if (!arguments.image.empty()) RETURN_IF_ERROR(UseImage(context, *client, arguments, change));
  ASSIGN_OR_RETURN(const auto updated, client->UpdateFunction(change));
  Show(context, updated);
  return absl::OkStatus();
}

absl::Status Delete(Context& context, const FunctionArguments& arguments) {
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  ASSIGN_OR_RETURN(const auto function, FindFunction(*client, arguments.function));
  RETURN_IF_ERROR(client->DeleteFunction(function.id()));
  if (context.json) {
    nlohmann::ordered_json json;
    json["deleted"] = {{"id", function.id()}, {"app", function.app_name()}, {"name", function.name()}};
    context.PrintJson(json);
  } else {
    context.Print(absl::StrCat("deleted function ", Path(function), " and its snapshots\n"));
  }
  return absl::OkStatus();
}

void AddSettings(CLI::App* command, FunctionArguments& arguments) {
  AddRepeated(command, "--config", arguments.config, "K=V", "A config value, on top of the app's");
  AddRepeated(command, "--annotation", arguments.annotations, "K=JSON", "An annotation");
  command->add_option("--memory", arguments.memory, "Memory of an instance")
      ->type_name("MIB")
      ->check(CLI::Range(1, 8192));
  command->add_option("--cpu", arguments.cpu, "Thousandths of a CPU")
      ->type_name("MILLIS")
      ->check(CLI::Range(1, 64000));
  command->add_option("--timeout", arguments.timeout, "The time that one call may take")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 300));
  command->add_option("--idle-timeout", arguments.idle_timeout, "How long an idle instance is kept")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 3600));
  command
      ->add_option("--checkpoint,--checkpoint-after", arguments.checkpoint_after,
                   "When to freeze an instance: after N calls (default 5), on-deploy, learned, manual or never")
      ->type_name("N|on-deploy|learned|manual|never");
  AddFreezeFlags(command, arguments.freeze);
}

}  // namespace

void AddFunctionsCommands(CLI::App& root, Context& context, Command& selected) {
  const Binder<FunctionArguments> binder(context, selected);
  FunctionArguments& arguments = binder.arguments();
  CLI::App* functions = root.add_subcommand("functions", "List, make, change and delete functions");
  functions->alias("fn");
  functions->alias("function");
  functions->require_subcommand(0, 1);
  functions->footer(
      "Examples:\n"
      "  thaw functions list shop\n"
      "  thaw functions create shop/hello my-image:1.0 --memory 256\n"
      "  thaw functions update shop/hello --checkpoint never\n"
      "  thaw function set shop/hello --checkpoint on-deploy --prime warm-up.json\n"
      "  thaw function set shop/hello --secret db-password:after-restore --restore-time-config LEVEL\n"
      "  thaw function set shop/hello --on-obstacle tcp:10.0.0.7:*=close --cpu-baseline x86-64-v2\n"
      "  thaw functions delete shop/hello\n");
  const auto add = [&](const char* name, const char* description) {
    CLI::App* command = functions->add_subcommand(name, description);
    command->add_option("function", arguments.function, "The function")
        ->required()
        ->type_name("APP/FUNCTION|ID");
    return command;
  };
  CLI::App* list =
      functions->add_subcommand("list", "List an app's functions, or all (also: `thaw functions`)");
  list->alias("ls");
  list->add_option("app", arguments.app, "The app's name")->type_name("APP");
  binder.Bind(list, &List);
  binder.BindBare(functions, &List);
  CLI::App* create = functions->add_subcommand("create", "Make a function from an image");
  create->add_option("function", arguments.function, "Its app and name")
      ->required()
      ->type_name("APP/FUNCTION");
  create->add_option("image", arguments.image, "An image of the local Docker; it is brought to the cluster")
      ->required()
      ->type_name("IMAGE");
  create
      ->add_option("--image-id", arguments.image_id,
                   "The image's id, where a node has it and this machine does not")
      ->type_name("sha256:…");
  AddSettings(create, arguments);
  binder.Bind(create, &Create);
  binder.Bind(add("inspect", "Show a function"), &Inspect);
  CLI::App* update = add("update", "Change a function; what is not named stays");
  update->alias("set");
  update->add_option("--image", arguments.image, "Another image of the local Docker")->type_name("IMAGE");
  update->add_option("--image-id", arguments.image_id, "With --image: its id, where a node has it")
      ->type_name("sha256:…");
  AddRepeated(update, "--unset", arguments.unset, "K", "Delete a config key");
  AddSettings(update, arguments);
  binder.Bind(update, &Update);
  binder.Bind(add("delete", "Delete a function and its snapshots")->alias("rm"), &Delete);
}

}  // namespace thaw::cli
