#include <CLI/CLI.hpp>
#include <fstream>
#include <istream>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/commands/arguments.h"
#include "cli/commands/context.h"
#include "cli/exit_code.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "cli/output/wire.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace {

// The cluster takes 64 KiB; a little more is read, so that it is the cluster that says what is too long.
constexpr std::size_t kMostRead = 64 * 1024 + 1;

struct SecretArguments {
  std::string app, name, file;
};

nlohmann::ordered_json SecretJson(const commonpb::Secret& secret) {
  return {{"name", secret.name()}, {"size_bytes", secret.size_bytes()}, {"updated_at", TimeJson(secret.updated_at())}};
}

absl::StatusOr<std::string> ReadValue(Context& context, const SecretArguments& arguments) {
  if (arguments.file.empty() && context.env().ask_hidden) {
    auto typed = context.env().ask_hidden(absl::StrCat("value of ", arguments.name, " (not shown): "));
    RETURN_IF_ERROR(context.env().interrupt.Check());
    if (!typed.has_value()) return LocalError(absl::FailedPreconditionError("no value was typed"), local_reason::kFile);
    return *std::move(typed);
  }
  std::ifstream file;
  if (!arguments.file.empty()) {
    file.open(arguments.file, std::ios::binary);
    if (!file) {
      return LocalError(absl::NotFoundError(absl::StrCat("the file ", arguments.file, " can't be read; check --from-file")),
                        local_reason::kFile);
    }
  }
  std::istream& source = arguments.file.empty() ? context.env().in : file;
  std::string value(kMostRead, '\0');
  source.read(value.data(), static_cast<std::streamsize>(value.size()));
  value.resize(static_cast<std::size_t>(source.gcount()));
  if (source.bad()) {
    return LocalError(absl::FailedPreconditionError("reading the secret's value broke off"), local_reason::kFile);
  }
  return value;
}

absl::Status Set(Context& context, const SecretArguments& arguments) {
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  ASSIGN_OR_RETURN(const auto app, FindApp(*client, arguments.app));
  commonpb::SetSecretRequest request;
  request.set_app_id(app.id());
  request.set_name(arguments.name);
  ASSIGN_OR_RETURN(*request.mutable_value(), ReadValue(context, arguments));
  ASSIGN_OR_RETURN(const auto secret, client->SetSecret(request));
  if (context.json) {
    context.PrintJson(SecretJson(secret));
  } else {
    context.Print(absl::StrCat("secret ", secret.name(), " of app ", app.name(), " set (", secret.size_bytes(), " bytes)\n"));
  }
  return absl::OkStatus();
}

absl::Status List(Context& context, const SecretArguments& arguments) {
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  ASSIGN_OR_RETURN(const auto app, FindApp(*client, arguments.app));
  ASSIGN_OR_RETURN(const auto secrets, client->ListSecrets(app.id()));
  if (context.json) {
    auto json = nlohmann::ordered_json::array();
    for (const auto& secret : secrets) json.push_back(SecretJson(secret));
    nlohmann::ordered_json object;
    object["secrets"] = std::move(json);
    context.PrintJson(object);
    return absl::OkStatus();
  }
  if (secrets.empty()) {
    context.Print(absl::StrCat("app ", app.name(), " has no secrets; `thaw secret set ", app.name(), " NAME` makes one\n"));
    return absl::OkStatus();
  }
  Table table({{"NAME", Table::Align::kLeft, true}, {"SIZE", Table::Align::kRight}, {"SET", Table::Align::kRight}});
  for (const auto& secret : secrets) {
    table.AddRow({secret.name(), FormatBytes(secret.size_bytes()),
                  FormatAgo(context.env().clock.Now() - TimeOf(secret.updated_at()))});
  }
  context.Print(table.Render(context.out_terminal()));
  return absl::OkStatus();
}

absl::Status Delete(Context& context, const SecretArguments& arguments) {
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  ASSIGN_OR_RETURN(const auto app, FindApp(*client, arguments.app));
  RETURN_IF_ERROR(client->DeleteSecret(app.id(), arguments.name));
  if (context.json) {
    nlohmann::ordered_json json;
    json["deleted"] = {{"app", app.name()}, {"name", arguments.name}};
    context.PrintJson(json);
  } else {
    context.Print(absl::StrCat("deleted secret ", arguments.name, " of app ", app.name(), "\n"));
  }
  return absl::OkStatus();
}

}  // namespace

void AddSecretCommands(CLI::App& root, Context& context, Command& selected) {
  const Binder<SecretArguments> binder(context, selected);
  SecretArguments& arguments = binder.arguments();
  CLI::App* secret = root.add_subcommand("secret", "Set, list and delete an app's secrets");
  secret->require_subcommand(1, 1);
  secret->footer(
      "A value is never shown again, and never given on the command line, where others could see it. Functions get the\n"
      "secrets that they name (`thaw: {secrets: …}` in func.yaml) as files, /run/thaw/secrets/NAME.\n\n"
      "Examples:\n"
      "  thaw secret set shop db.password                       asks for it\n"
      "  thaw secret set shop tls.key --from-file key.pem\n"
      "  pass show shop/db | tr -d '\\n' | thaw secret set shop db.password\n"
      "  thaw secret ls shop\n");
  const auto add = [&](const char* name, const char* description) {
    CLI::App* command = secret->add_subcommand(name, description);
    command->add_option("app", arguments.app, "The app's name or id")->required()->type_name("APP");
    return command;
  };
  const auto with_name = [&](CLI::App* command) {
    command->add_option("name", arguments.name, "The secret's name: letters, digits, _, - and .")
        ->required()
        ->type_name("NAME");
    return command;
  };
  CLI::App* set = with_name(add("set", "Give a secret its value: from a file, standard input, or asked for"));
  set->add_option("--from-file", arguments.file, "A file with the value, byte for byte (at most 64 KiB)")->type_name("FILE");
  binder.Bind(set, &Set);
  binder.Bind(add("ls", "List an app's secrets, without their values")->alias("list"), &List);
  binder.Bind(with_name(add("rm", "Delete a secret"))->alias("delete"), &Delete);
}

}  // namespace thaw::cli
