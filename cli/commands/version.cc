#include "common/version/version.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/commands/context.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "cli/output/wire.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace {

absl::Status Run(Context& context, bool client_only) {
  nlohmann::ordered_json json;
  json["client"] = {{"version", kVersion}};
  absl::StatusOr<gatewaypb::ServerInfo> server = absl::UnknownError("not asked");
  if (!client_only) {
    const auto client = context.Client();
    server =
        client.ok() ? (*client)->GetServerInfo() : absl::StatusOr<gatewaypb::ServerInfo>(client.status());
  }
  json["server"] = nullptr;
  std::vector<std::pair<std::string, std::string>> fields = {{"Client", absl::StrCat("thaw ", kVersion)}};
  if (server.ok()) {
    json["server"] = {{"version", server->version()},
                      {"address", context.connection.server},
                      {"node_pinning", server->node_pinning()},
                      {"max_body_bytes", server->max_body_bytes()}};
    fields.emplace_back("Server",
                        absl::StrCat("thaw ", server->version(), " at ", context.connection.server));
    fields.emplace_back("Node pinning", server->node_pinning() ? "allowed" : "not allowed");
    fields.emplace_back("Largest body", FormatBytes(server->max_body_bytes()));
  }
  // The client's version is known whatever the server says.
  if (context.json) {
    context.PrintJson(json);
  } else {
    context.Print(RenderFields(fields, context.out_terminal()));
  }
  return client_only ? absl::OkStatus() : server.status();
}

}  // namespace

void AddVersionCommand(CLI::App& root, Context& context, Command& selected) {
  auto client_only = std::make_shared<bool>(false);
  CLI::App* version = root.add_subcommand("version", "Show the versions of this program and of the cluster");
  version->add_flag("--client", *client_only, "Only this program's; asks no cluster");
  version->footer("Examples:\n  thaw version\n  thaw version --client --json\n");
  version->callback([client_only, &context, &selected] {
    selected = [client_only, &context] { return Run(context, *client_only); };
  });
}

}  // namespace thaw::cli
