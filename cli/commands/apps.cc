#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands/arguments.h"
#include "cli/commands/context.h"
#include "cli/exit_code.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "cli/output/wire.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace {

struct AppArguments {
  std::string app;
  std::vector<std::string> config, annotations, unset;
  bool recursive = false;
};

absl::Status List(Context& context, const AppArguments&) {
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  ASSIGN_OR_RETURN(const auto apps, client->ListApps());
  if (context.json) {
    auto json = nlohmann::ordered_json::array();
    for (const auto& app : apps) json.push_back(AppJson(app));
    nlohmann::ordered_json object;
    object["apps"] = std::move(json);
    context.PrintJson(object);
    return absl::OkStatus();
  }
  if (apps.empty()) {
    context.Print("no apps yet; `thaw apps create NAME` or `thaw deploy --app NAME` makes one\n");
    return absl::OkStatus();
  }
  Table table({{"NAME", Table::Align::kLeft, true},
               {"ID"},
               {"CONFIG", Table::Align::kLeft, true},
               {"AGE", Table::Align::kRight}});
  for (const auto& app : apps) {
    std::vector<std::string> keys;
    for (const auto& [key, value] : app.config()) keys.push_back(key);
    std::sort(keys.begin(), keys.end());
    table.AddRow({app.name(), app.id(), absl::StrJoin(keys, ","),
                  FormatAge(context.env().clock.Now() - TimeOf(app.created_at()))});
  }
  context.Print(table.Render(context.out_terminal()));
  return absl::OkStatus();
}

// Config and annotations from the command line.
absl::Status Fill(const AppArguments& arguments, commonpb::App& app) {
  ASSIGN_OR_RETURN(const auto config, ParsePairs(arguments.config, "--config"));
  ASSIGN_OR_RETURN(const auto annotations, ParsePairs(arguments.annotations, "--annotation"));
  for (const auto& [key, value] : config) (*app.mutable_config())[key] = value;
  for (const auto& [key, value] : annotations) (*app.mutable_annotations())[key] = value;
  for (const std::string& key : arguments.unset) (*app.mutable_config())[key] = "";
  return absl::OkStatus();
}

void Show(Context& context, const commonpb::App& app) {
  if (context.json) {
    context.PrintJson(AppJson(app));
    return;
  }
  std::vector<std::pair<std::string, std::string>> fields = {
      {"Name", app.name()},
      {"Id", app.id()},
      {"Created", FormatTimestamp(TimeOf(app.created_at()))},
      {"Updated", FormatTimestamp(TimeOf(app.updated_at()))}};
  const std::map<std::string, std::string> config(app.config().begin(), app.config().end());
  for (const auto& [key, value] : config) fields.emplace_back("Config", absl::StrCat(key, "=", value));
  const std::map<std::string, std::string> annotations(app.annotations().begin(), app.annotations().end());
  for (const auto& [key, value] : annotations)
    fields.emplace_back("Annotation", absl::StrCat(key, "=", value));
  context.Print(RenderFields(fields, context.out_terminal()));
}

absl::Status Create(Context& context, const AppArguments& arguments) {
  commonpb::App app;
  app.set_name(arguments.app);
  RETURN_IF_ERROR(Fill(arguments, app));
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  ASSIGN_OR_RETURN(const auto made, client->CreateApp(app));
  Show(context, made);
  return absl::OkStatus();
}

absl::Status Inspect(Context& context, const AppArguments& arguments) {
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  ASSIGN_OR_RETURN(const auto app, FindApp(*client, arguments.app));
  Show(context, app);
  return absl::OkStatus();
}

absl::Status Update(Context& context, const AppArguments& arguments) {
  commonpb::App change;
  RETURN_IF_ERROR(Fill(arguments, change));
  if (change.config().empty() && change.annotations().empty()) {
    return absl::InvalidArgumentError("there is nothing to change: give --config, --unset or --annotation");
  }
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  ASSIGN_OR_RETURN(const auto app, FindApp(*client, arguments.app));
  change.set_id(app.id());
  ASSIGN_OR_RETURN(const auto updated, client->UpdateApp(change));
  Show(context, updated);
  return absl::OkStatus();
}

absl::Status Delete(Context& context, const AppArguments& arguments) {
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  ASSIGN_OR_RETURN(const auto app, FindApp(*client, arguments.app));
  ASSIGN_OR_RETURN(const auto functions, client->ListFunctions(app.name()));
  if (!functions.empty() && !arguments.recursive) {
    return absl::FailedPreconditionError(absl::StrCat("app ", app.name(), " has ", functions.size(),
                                                      functions.size() == 1 ? " function" : " functions",
                                                      "; --recursive deletes them and their snapshots, too"));
  }
  RETURN_IF_ERROR(client->DeleteApp(app.id()));
  if (context.json) {
    nlohmann::ordered_json json;
    json["deleted"] = {{"id", app.id()}, {"name", app.name()}, {"functions", functions.size()}};
    context.PrintJson(json);
  } else {
    context.Print(absl::StrCat("deleted app ", app.name(), " and ", functions.size(),
                               functions.size() == 1 ? " function\n" : " functions\n"));
  }
  return absl::OkStatus();
}

}  // namespace

void AddAppsCommands(CLI::App& root, Context& context, Command& selected) {
  const Binder<AppArguments> binder(context, selected);
  AppArguments& arguments = binder.arguments();
  CLI::App* apps = root.add_subcommand("apps", "List, make, change and delete apps, which group functions");
  apps->require_subcommand(0, 1);
  apps->footer(
      "Examples:\n"
      "  thaw apps\n"
      "  thaw apps create shop --config STAGE=test\n"
      "  thaw apps update shop --unset STAGE\n"
      "  thaw apps delete shop --recursive\n");
  const auto add = [&](const char* name, const char* description, const char* what) {
    CLI::App* command = apps->add_subcommand(name, description);
    command->add_option("app", arguments.app, what)->required()->type_name("NAME");
    return command;
  };
  CLI::App* list = apps->add_subcommand("list", "List all apps (also: `thaw apps`)")->alias("ls");
  binder.Bind(list, &List);
  binder.BindBare(apps, &List);
  CLI::App* create = add("create", "Make an app", "Its name: letters, digits, _ and -");
  AddRepeated(create, "--config", arguments.config, "K=V", "A config value that all its functions see");
  AddRepeated(create, "--annotation", arguments.annotations, "K=JSON", "An annotation");
  binder.Bind(create, &Create);
  binder.Bind(add("inspect", "Show an app", "Its name or id"), &Inspect);
  CLI::App* update =
      add("update", "Change an app's config and annotations; what is not named stays", "Its name or id");
  AddRepeated(update, "--config", arguments.config, "K=V", "A config value");
  AddRepeated(update, "--unset", arguments.unset, "K", "Delete a config key");
  AddRepeated(update, "--annotation", arguments.annotations, "K=JSON", "An annotation");
  binder.Bind(update, &Update);
  CLI::App* remove = add("delete", "Delete an app", "Its name or id")->alias("rm");
  remove->add_flag("-r,--recursive", arguments.recursive, "Also delete its functions and their snapshots");
  binder.Bind(remove, &Delete);
}

}  // namespace thaw::cli
