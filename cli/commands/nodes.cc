#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/commands/context.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "cli/output/text_width.h"
#include "cli/output/wire.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace {

Style StateStyle(commonpb::NodeState state) {
  switch (state) {
    case commonpb::NODE_STATE_READY:
      return Style::kGreen;
    case commonpb::NODE_STATE_LOST:
      return Style::kRed;
    default:
      return Style::kYellow;
  }
}

absl::Status Run(Context& context, bool wide) {
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  ASSIGN_OR_RETURN(const auto nodes, client->ListNodes());
  if (context.json) {
    auto json = nlohmann::ordered_json::array();
    for (const auto& node : nodes) json.push_back(NodeJson(node));
    nlohmann::ordered_json object;
    object["nodes"] = std::move(json);
    context.PrintJson(object);
    return absl::OkStatus();
  }
  if (nodes.empty()) {
    context.Print("no node has joined yet\n");
    return absl::OkStatus();
  }
  using Align = Table::Align;
  std::vector<Table::Column> columns = {{"NODE"},
                                        {"STATE"},
                                        {"ADDRESS", Align::kLeft, true},
                                        {"MEMORY USED", Align::kRight},
                                        {"CPUS", Align::kRight},
                                        {"CPU"},
                                        {"INSTANCES", Align::kRight},
                                        {"BUSY", Align::kRight},
                                        {"SLOTS", Align::kRight},
                                        {"SNAPSHOTS", Align::kRight},
                                        {"PROFILE"},
                                        {"HEARTBEAT", Align::kRight}};
  if (wide) {
    for (const char* title : {"AGENT", "ARCHITECTURE", "KERNEL", "CPU MODEL"})
      columns.push_back({title, Align::kLeft, false});
  }
  Table table(columns);
  for (const auto& node : nodes) {
    std::vector<Table::Cell> row = {node.id(),
                                    {NodeStateWord(node.state()), StateStyle(node.state())},
                                    node.address(),
                                    absl::StrCat(FormatBytes(node.memory_reserved_bytes()), " of ",
                                                 FormatBytes(node.memory_total_bytes())),
                                    absl::StrCat(node.cpus()),
                                    CpuLevelWord(node),
                                    absl::StrCat(node.instances()),
                                    absl::StrCat(node.busy_instances()),
                                    absl::StrCat(node.slots()),
                                    absl::StrCat(node.snapshots()),
                                    node.container_profile(),
                                    node.has_last_heartbeat()
                                        ? FormatAge(context.env().clock.Now() - TimeOf(node.last_heartbeat()))
                                        : ""};
    if (wide) {
      for (const std::string& text : {node.agent_version(), node.architecture(), node.kernel(), node.cpu_model()})
        row.emplace_back(text);
    }
    table.AddRow(std::move(row));
  }
  context.Print(table.Render(context.out_terminal()));
  for (const auto& node : nodes) {
    if (!node.reason().empty())
      context.Print(absl::StrCat("node ", node.id(), ": ", Printable(node.reason()), "\n"));
    if (wide && !node.profile_note().empty()) {
      context.Print(absl::StrCat("node ", node.id(), ": profile ", node.container_profile(), ": ",
                                 Printable(node.profile_note()), "\n"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

void AddNodesCommand(CLI::App& root, Context& context, Command& selected) {
  auto wide = std::make_shared<bool>(false);
  CLI::App* nodes = root.add_subcommand("nodes", "List the cluster's nodes");
  nodes->add_flag("-w,--wide", *wide, "Also versions, kernels, and why a container profile is in use");
  nodes->footer(
      "Examples:\n  thaw nodes\n  thaw nodes --json | jq -r '.nodes[] | select(.state != \"ready\") | "
      ".id'\n");
  nodes->callback(
      [wide, &context, &selected] { selected = [wide, &context] { return Run(context, *wide); }; });
}

}  // namespace thaw::cli
