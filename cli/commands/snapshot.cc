#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands/arguments.h"
#include "cli/commands/context.h"
#include "cli/commands/snapshot_explain.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "cli/output/text_width.h"
#include "cli/output/wire.h"
#include "common/cpu/fit.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace {

constexpr std::size_t kIdLength = 32;
constexpr std::size_t kShortestPrefix = 4;

struct SnapshotArguments {
  std::string function;
  std::vector<std::string> ids;
};

absl::Status List(Context& context, const SnapshotArguments& arguments) {
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  std::string function_id;
  if (!arguments.function.empty()) {
    ASSIGN_OR_RETURN(const auto function, FindFunction(*client, arguments.function));
    function_id = function.id();
  }
  ASSIGN_OR_RETURN(const auto snapshots, client->ListSnapshots(function_id));
  if (context.json) {
    auto json = nlohmann::ordered_json::array();
    for (const auto& snapshot : snapshots) json.push_back(SnapshotJson(snapshot));
    nlohmann::ordered_json object;
    object["snapshots"] = std::move(json);
    context.PrintJson(object);
    return absl::OkStatus();
  }
  if (snapshots.empty()) {
    context.Print(
        "no snapshots yet; one is made when an instance has answered enough calls (5, unless the function "
        "says otherwise)\n");
    return absl::OkStatus();
  }
  using Align = Table::Align;
  // Where the scheduler learns, what it has seen and believes.
  const bool learned = std::any_of(snapshots.begin(), snapshots.end(), [](const auto& s) { return s.has_experience(); });
  std::vector<Table::Column> columns({{"SNAPSHOT"},
               {"FUNCTION", Align::kLeft, true},
               {"VERSION"},
               {"NODE"},
               {"HELD BY", Align::kLeft, true},
               {"SIZE", Align::kRight},
               {"STORED", Align::kRight},
               {"CALLS", Align::kRight},
               {"MADE IN", Align::kRight},
               {"AGE", Align::kRight}});
  if (learned) {
    columns.insert(columns.end(), {{"ROLE"},
                                   {"RESTORES", Align::kRight},
                                   {"MEAN CALL", Align::kRight},
                                   {"BELIEF", Align::kLeft, true}});
  }
  Table table(std::move(columns));
  for (const auto& snapshot : snapshots) {
    std::vector<Table::Cell> row({ShortId(snapshot.id()), absl::StrCat(snapshot.app_name(), "/", snapshot.function_name()),
                  ShortId(snapshot.version_id()), snapshot.node_id(), absl::StrJoin(snapshot.holders(), ","),
                  FormatBytes(snapshot.raw_bytes()), FormatBytes(snapshot.stored_bytes()),
                  absl::StrCat(snapshot.invocations()),
                  absl::StrCat(FormatMillis(DurationOf(snapshot.checkpoint_duration())), " ms"),
                  FormatAge(context.env().clock.Now() - TimeOf(snapshot.created_at()))});
    if (learned) {
      const auto& experience = snapshot.experience();
      row.push_back(SnapshotRoleWord(experience.role()));
      row.push_back(absl::StrCat(experience.restores()));
      row.push_back(experience.calls() == 0 ? "-" : absl::StrCat(FormatMillis(DurationOf(experience.mean_call())), " ms"));
      row.push_back(experience.belief());
    }
    table.AddRow(std::move(row));
  }
  context.Print(table.Render(context.out_terminal()));
  return absl::OkStatus();
}

// The snapshot that a whole id or the beginning of one stands for.
absl::StatusOr<commonpb::SnapshotInfo> Find(GatewayClient& client, const std::string& text) {
  if (text.size() >= kIdLength) return client.GetSnapshot(text);
  if (text.size() < kShortestPrefix) {
    return absl::InvalidArgumentError(absl::StrCat("`", text, "` is too short: give at least ",
                                                   kShortestPrefix, " characters of the snapshot's id"));
  }
  ASSIGN_OR_RETURN(const auto all, client.ListSnapshots(""));
  const commonpb::SnapshotInfo* found = nullptr;
  for (const auto& snapshot : all) {
    if (!absl::StartsWith(snapshot.id(), text)) continue;
    if (found != nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("more than one snapshot's id begins with ", text, ": ",
                                                     found->id(), " and ", snapshot.id(),
                                                     "; give more of it"));
    }
    found = &snapshot;
  }
  if (found == nullptr) {
    return WithReason(absl::NotFoundError(absl::StrCat("no snapshot's id begins with ", text)),
                      reason::kSnapshotNotFound);
  }
  return *found;
}

absl::Status Inspect(Context& context, const SnapshotArguments& arguments) {
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  ASSIGN_OR_RETURN(const auto snapshot, Find(*client, arguments.ids.front()));
  if (context.json) {
    context.PrintJson(SnapshotJson(snapshot));
    return absl::OkStatus();
  }
  std::vector<std::pair<std::string, std::string>> fields(
      {{"Snapshot", snapshot.id()},
       {"Function",
        absl::StrCat(snapshot.app_name(), "/", snapshot.function_name(), " (", snapshot.function_id(), ")")},
       {"Version", snapshot.version_id()},
       {"Made on",
        absl::StrCat("node ", snapshot.node_id(), ", ", FormatTimestamp(TimeOf(snapshot.created_at())))},
       {"Made in", absl::StrCat(FormatMillis(DurationOf(snapshot.checkpoint_duration())), " ms")},
       {"Held by", absl::StrJoin(snapshot.holders(), ", ")},
       {"Size", absl::StrCat(FormatBytes(snapshot.raw_bytes()), " (", snapshot.raw_bytes(), " bytes)")},
       {"Stored",
        absl::StrCat(FormatBytes(snapshot.stored_bytes()), " (", snapshot.stored_bytes(), " bytes)")},
       {"Calls", absl::StrCat(snapshot.invocations(), " answered before it was frozen")},
       {"Engine", snapshot.engine()},
       {"Architecture", snapshot.architecture()},
       {"CPU features", absl::StrJoin(snapshot.cpu_features(), " ")}});
  if (snapshot.has_experience()) {
    const auto& experience = snapshot.experience();
    fields.emplace_back("Role", SnapshotRoleWord(experience.role()));
    fields.emplace_back("Restores", absl::StrCat(experience.restores(), ", with ", experience.calls(), " calls measured"));
    if (experience.calls() > 0) {
      fields.emplace_back("Mean call", absl::StrCat(FormatMillis(DurationOf(experience.mean_call())), " ms"));
    }
    fields.emplace_back("Belief", experience.belief());
  }
  context.Print(RenderFields(fields, context.out_terminal()));
  ASSIGN_OR_RETURN(const auto nodes, client->ListNodes());
  for (const auto& node : nodes) {
    const absl::Status fits = CheckCpuFits(snapshot, node);
    if (!fits.ok()) context.Print(absl::StrCat("not for node ", node.id(), ": ", Printable(fits.message()), "\n"));
  }
  return absl::OkStatus();
}

absl::Status Create(Context& context, const SnapshotArguments& arguments) {
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  ASSIGN_OR_RETURN(const auto function, FindFunction(*client, arguments.function));
  auto progress = context.NewProgress();
  progress->Start(absl::StrCat("freezing ", function.app_name(), "/", function.name()));
  const auto snapshot = client->CreateSnapshot(function.id());
  if (!snapshot.ok()) {
    progress->Failed("");
    return snapshot.status();
  }
  progress->Done(absl::StrCat("on node ", snapshot->node_id()));
  progress.reset();
  if (context.json) {
    context.PrintJson(SnapshotJson(*snapshot));
  } else {
    context.Print(absl::StrCat("made snapshot ", snapshot->id(), "\n"));
    if (snapshot->invocations() == 0) {
      context.Print("it is of a process that has answered no call: each restored copy does anew what a first call does; call the\n"
                    "function before, or give it priming requests (`--prime`, or `priming:` in func.yaml)\n");
    }
  }
  return absl::OkStatus();
}

absl::Status Remove(Context& context, const SnapshotArguments& arguments) {
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  auto removed = nlohmann::ordered_json::array();
  for (const std::string& id : arguments.ids) {
    ASSIGN_OR_RETURN(const auto snapshot, Find(*client, id));
    RETURN_IF_ERROR(client->DeleteSnapshot(snapshot.id()));
    removed.push_back(snapshot.id());
    if (!context.json) context.Print(absl::StrCat("removed snapshot ", snapshot.id(), "\n"));
  }
  if (context.json) {
    nlohmann::ordered_json object;
    object["removed"] = std::move(removed);
    context.PrintJson(object);
  }
  return absl::OkStatus();
}

}  // namespace

void AddSnapshotCommands(CLI::App& root, Context& context, Command& selected) {
  const Binder<SnapshotArguments> binder(context, selected);
  SnapshotArguments& arguments = binder.arguments();
  CLI::App* snapshot = root.add_subcommand("snapshot", "List, show, make and remove snapshots of frozen functions");
  snapshot->require_subcommand(0, 1);
  snapshot->footer(
      "Examples:\n"
      "  thaw snapshot ls demo/hello\n"
      "  thaw snapshot inspect 4f2a91c0\n"
      "  thaw snapshot create demo/hello    freeze it now; the new snapshot takes the old one's place\n"
      "  thaw snapshot explain demo/hello   what keeps it from being frozen\n"
      "  thaw snapshot rm 4f2a91c0          the next start is cold; running instances stay\n");
  CLI::App* list =
      snapshot->add_subcommand("ls", "List snapshots, of one function or all (also: `thaw snapshot`)");
  list->alias("list");
  list->add_option("function", arguments.function, "Only this function's")->type_name("APP/FUNCTION|ID");
  binder.Bind(list, &List);
  binder.BindBare(snapshot, &List);
  CLI::App* inspect = snapshot->add_subcommand("inspect", "Show a snapshot");
  inspect->add_option("id", arguments.ids, "Its id, or how it begins")
      ->required()
      ->expected(1)
      ->type_name("ID");
  binder.Bind(inspect, &Inspect);
  CLI::App* create = snapshot->add_subcommand("create", "Freeze an instance of a function now");
  create->add_option("function", arguments.function, "The function")->required()->type_name("APP/FUNCTION|ID");
  create->footer(
      "Starts an instance if none runs, sends it the function's priming requests, freezes it, and tries the\n"
      "snapshot out before it is used. Works with every policy but `never`; with `manual` it is the only way.\n");
  binder.Bind(create, &Create);
  CLI::App* remove = snapshot->add_subcommand("rm", "Remove snapshots, everywhere");
  remove->alias("delete");
  remove->add_option("id", arguments.ids, "Their ids, or how they begin")->required()->type_name("ID");
  binder.Bind(remove, &Remove);
  AddSnapshotExplain(*snapshot, context, selected);
}

}  // namespace thaw::cli
