#include "cli/commands/snapshot_explain.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "cli/output/wire.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace {

// Where our Java image has the agent that remembers who opened a descriptor.
constexpr char kTellOpeners[] = "JAVA_TOOL_OPTIONS=-javaagent:/function/runtime/thaw-descriptors-0.1.0.jar";

struct ExplainArguments {
  std::string function;
  bool raw_log = false;
};

// OBSTACLE_KIND_DELETED_FILE is `deleted-file`, as rules write it.
std::string Word(const std::string& name, absl::string_view prefix) {
  return absl::StrReplaceAll(absl::AsciiStrToLower(absl::StripPrefix(name, prefix)), {{"_", "-"}});
}
std::string KindWord(commonpb::ObstacleKind kind) { return Word(commonpb::ObstacleKind_Name(kind), "OBSTACLE_KIND_"); }
std::string ActionWord(commonpb::ObstacleAction action) {
  return Word(commonpb::ObstacleAction_Name(action), "OBSTACLE_ACTION_");
}

// Empty where nobody was asked for them.
std::string StacksWord(commonpb::Diagnosis::Stacks stacks) {
  if (stacks == commonpb::Diagnosis::STACKS_UNSPECIFIED) return "";
  return Word(commonpb::Diagnosis::Stacks_Name(stacks), "STACKS_");
}

nlohmann::ordered_json FindingJson(const commonpb::Finding& finding) {
  nlohmann::ordered_json json;
  json["kind"] = KindWord(finding.kind());
  json["what"] = finding.what();
  json["pid"] = finding.pid();
  json["fd"] = finding.fd();
  json["opened_by"] = nlohmann::ordered_json::array();
  for (const std::string& frame : finding.opened_by()) json["opened_by"].push_back(frame);
  json["action"] = ActionWord(finding.action());
  json["blocks"] = finding.blocks();
  json["remedy"] = finding.remedy();
  return json;
}

nlohmann::ordered_json DiagnosisJson(const commonpb::Diagnosis& diagnosis) {
  nlohmann::ordered_json json;
  json["node"] = diagnosis.node_id();
  json["instance"] = diagnosis.instance_id();
  json["at"] = FormatTimestamp(TimeOf(diagnosis.at()));
  json["occasion"] = diagnosis.occasion();
  json["error"] = diagnosis.error();
  json["findings"] = nlohmann::ordered_json::array();
  for (const auto& finding : diagnosis.findings()) json["findings"].push_back(FindingJson(finding));
  json["stacks"] = StacksWord(diagnosis.stacks());
  json["raw_log"] = diagnosis.raw_log();
  json["cures"] = nlohmann::ordered_json::array();
  for (const std::string& cure : diagnosis.cures()) json["cures"].push_back(cure);
  json["uncured"] = nlohmann::ordered_json::array();
  for (const std::string& uncured : diagnosis.uncured()) json["uncured"].push_back(uncured);
  return json;
}

// `look at instance 01J… on node a, 3 s ago`
std::string Heading(const commonpb::Diagnosis& diagnosis, absl::Time now) {
  std::string text = diagnosis.occasion() == "canary" ? "canary of" : diagnosis.occasion() == "look" ? "look at" : "checkpoint of";
  absl::StrAppend(&text, " instance ", diagnosis.instance_id().empty() ? "-" : diagnosis.instance_id(), " on node ",
                  diagnosis.node_id(), ", ", FormatAgo(now - TimeOf(diagnosis.at())));
  return text;
}

// Why nothing is known of who opened the descriptors, and how to get it; empty where that is known, or can't be had.
std::string AboutStacks(const commonpb::Diagnosis& diagnosis, const std::string& function) {
  switch (diagnosis.stacks()) {
    case commonpb::Diagnosis::STACKS_OFF:
      return absl::StrCat("who opened them is not known: `thaw functions update ", function, " --config ", kTellOpeners,
                          "` has the JVM remember it from its next start on\n");
    case commonpb::Diagnosis::STACKS_BUSY:
      return "who opened them was not asked, as the instance had work to do: ask again\n";
    case commonpb::Diagnosis::STACKS_UNANSWERED:
      return "who opened them was asked, and the function did not answer: ask again\n";
    default:
      return "";
  }
}

void PrintDiagnosis(Context& context, const commonpb::Diagnosis& diagnosis, const std::string& function) {
  const Terminal terminal = context.out_terminal();
  const bool blocked = !diagnosis.error().empty() || std::any_of(diagnosis.findings().begin(), diagnosis.findings().end(),
                                                                  [](const auto& finding) { return finding.blocks(); });
  std::string verdict = "nothing stands in the way";
  if (!diagnosis.error().empty()) {
    verdict = diagnosis.error();
  } else if (blocked) {
    // Our FDK's functions have a say before the dump, and a look comes before that.
    const bool may_close = diagnosis.occasion() == "look" && diagnosis.stacks() != commonpb::Diagnosis::STACKS_UNSPECIFIED;
    verdict = may_close ? "it can't be frozen with what is open now, unless its beforeCheckpoint closes that" : "it can't be frozen";
  } else if (diagnosis.findings_size() > 0) {
    verdict = "it can be frozen: what was found has a rule";
  }
  context.Print(absl::StrCat(Heading(diagnosis, context.env().clock.Now()), ": ",
                             terminal.Paint(blocked ? Style::kRed : Style::kGreen, verdict), "\n"));
  if (diagnosis.findings_size() > 0) {
    // Nothing is cut: a remedy that can't be read is none.
    Table table({{"KIND"}, {"WHAT"}, {"OPENED BY"}, {"ACTION"}, {"REMEDY"}});
    for (const auto& finding : diagnosis.findings()) {
      std::string what = finding.what();
      if (finding.fd() >= 0 && finding.pid() > 0) absl::StrAppend(&what, " (descriptor ", finding.fd(), ")");
      table.AddRow({KindWord(finding.kind()), std::move(what), finding.opened_by_size() > 0 ? finding.opened_by(0) : "",
                    Table::Cell(ActionWord(finding.action()), finding.blocks() ? Style::kRed : Style::kPlain),
                    finding.remedy()});
    }
    context.Print(table.Render(terminal));
    context.Print(AboutStacks(diagnosis, function));
    for (const auto& finding : diagnosis.findings()) {
      if (finding.opened_by_size() < 2) continue;
      context.Print(absl::StrCat(KindWord(finding.kind()), " ", finding.what(), " was opened at\n  ",
                                 absl::StrJoin(finding.opened_by(), "\n  "), "\n"));
    }
  }
  if (diagnosis.cures_size() > 0) {
    context.Print(absl::StrCat("randomness cured: ", absl::StrJoin(diagnosis.cures(), ", "), "\n"));
  }
  // A checkpoint's table has them already.
  const bool in_table = std::any_of(diagnosis.findings().begin(), diagnosis.findings().end(), [](const auto& finding) {
    return finding.kind() == commonpb::OBSTACLE_KIND_RANDOMNESS;
  });
  for (const std::string& uncured : diagnosis.uncured()) {
    if (in_table) break;
    context.Print(absl::StrCat(terminal.Paint(Style::kRed, "randomness not cured: "), uncured, "\n"));
  }
}

absl::Status PrintRawLog(Context& context, const gatewaypb::ExplainFreezingResponse& known) {
  for (const auto& diagnosis : known.diagnoses()) {
    if (diagnosis.raw_log().empty()) continue;
    context.Print(absl::StrCat(diagnosis.raw_log(), diagnosis.raw_log().back() == '\n' ? "" : "\n"));
    return absl::OkStatus();
  }
  context.Print("CRIU has refused nothing, so there is no log of it\n");
  return absl::OkStatus();
}

absl::Status Explain(Context& context, const ExplainArguments& arguments) {
  gatewaypb::ExplainFreezingRequest request;
  ASSIGN_OR_RETURN(*request.mutable_function(), ParseFunctionRef(arguments.function));
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  ASSIGN_OR_RETURN(const gatewaypb::ExplainFreezingResponse known, client->ExplainFreezing(request));
  if (context.json) {
    nlohmann::ordered_json json;
    json["version"] = known.version_id();
    json["checkpoint"] = CheckpointWord(known.policy());
    json["diagnoses"] = nlohmann::ordered_json::array();
    for (const auto& diagnosis : known.diagnoses()) json["diagnoses"].push_back(DiagnosisJson(diagnosis));
    context.PrintJson(json);
    return absl::OkStatus();
  }
  if (arguments.raw_log) return PrintRawLog(context, known);
  context.Print(absl::StrCat("version ", ShortId(known.version_id()), ", frozen ", CheckpointWord(known.policy()), "\n\n"));
  for (int i = 0; i < known.diagnoses_size(); ++i) {
    if (i > 0) context.Print("\n");
    PrintDiagnosis(context, known.diagnoses(i), arguments.function);
  }
  return absl::OkStatus();
}

}  // namespace

void AddSnapshotExplain(CLI::App& snapshot, Context& context, Command& selected) {
  auto arguments = std::make_shared<ExplainArguments>();
  CLI::App* explain = snapshot.add_subcommand("explain", "Show what keeps a function from being frozen, and what to do");
  explain->add_option("function", arguments->function, "The function")->required()->type_name("APP/FUNCTION|ID");
  explain->add_flag("--raw-log", arguments->raw_log, "Only the end of CRIU's log of the newest dump that it refused");
  explain->footer(
      "Looks at the instances that run now, and shows each node's last checkpoints. docs/obstacles.md has each kind and\n"
      "the rules that can be set for it (`thaw:` in func.yaml).\n\n"
      "Examples:\n"
      "  thaw snapshot explain demo/hello\n"
      "  thaw snapshot explain demo/hello --json | jq '.diagnoses[0].findings'\n");
  explain->callback([arguments, &context, &selected] {
    selected = [arguments, &context] { return Explain(context, *arguments); };
  });
}

}  // namespace thaw::cli
