#include "cli/demo/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/output/format.h"
#include "cli/output/table.h"
#include "cli/output/text_width.h"
#include "cli/output/wire.h"

namespace thaw::cli {

bool DemoReport::ok() const {
  return !checks.empty() &&
         std::all_of(checks.begin(), checks.end(), [](const DemoCheck& check) { return check.ok; });
}

std::string RenderDemoReport(const DemoReport& report, const Terminal& terminal) {
  using Align = Table::Align;
  std::string out;
  if (!report.calls.empty()) {
    Table table({{"CALL", Align::kRight},
                 {"STEP"},
                 {"NODE"},
                 {"START"},
                 {"TOTAL MS", Align::kRight},
                 {"QUEUE", Align::kRight},
                 {"CONTAINER", Align::kRight},
                 {"FETCH", Align::kRight},
                 {"RESTORE", Align::kRight},
                 {"FUNCTION", Align::kRight},
                 {"TOKEN"},
                 {"CALLS", Align::kRight}});
    for (const DemoCall& call : report.calls) {
      const auto phase = [](const google::protobuf::Duration& duration) {
        return FormatMillis(DurationOf(duration));
      };
      const Style style = call.start == "cold"   ? Style::kYellow
                          : call.start == "warm" ? Style::kPlain
                                                 : Style::kGreen;
      table.AddRow({absl::StrCat(call.index),
                    call.step,
                    call.node,
                    {call.start, style},
                    FormatMillis(call.total),
                    phase(call.phases.queue()),
                    phase(call.phases.container()),
                    phase(call.phases.fetch()),
                    phase(call.phases.restore()),
                    phase(call.phases.function()),
                    call.token.substr(0, 8),
                    absl::StrCat(call.calls_answered)});
    }
    absl::StrAppend(&out, table.Render(terminal), "\n");
  }
  if (report.snapshot.has_value()) {
    const auto& snapshot = *report.snapshot;
    absl::StrAppend(&out, "Snapshot ", ShortId(snapshot.id()), " of node ", snapshot.node_id(), ": ",
                    FormatBytes(snapshot.raw_bytes()), ", stored in ", FormatBytes(snapshot.stored_bytes()),
                    ", made in ", FormatMillis(DurationOf(snapshot.checkpoint_duration())), " ms\n\n");
  }
  for (const DemoCheck& check : report.checks) {
    absl::StrAppend(
        &out, check.ok ? terminal.Paint(Style::kGreen, "ok    ") : terminal.Paint(Style::kRed, "FAILED"), " ",
        check.name, ": ", Printable(check.detail), "\n");
  }
  return out;
}

std::string DemoReportJson(const DemoReport& report) {
  nlohmann::ordered_json json;
  json["calls"] = nlohmann::ordered_json::array();
  for (const DemoCall& call : report.calls) {
    nlohmann::ordered_json entry;
    entry["index"] = call.index;
    entry["step"] = call.step;
    entry["node"] = call.node;
    entry["start"] = call.start;
    entry["total_ms"] = MillisNumber(call.total);
    entry["phases_ms"] = PhasesJson(call.phases);
    entry["token"] = call.token;
    entry["calls_answered"] = call.calls_answered;
    if (!call.fallback_reason.empty()) entry["fallback_reason"] = call.fallback_reason;
    json["calls"].push_back(std::move(entry));
  }
  json["snapshot"] = nullptr;
  if (report.snapshot.has_value()) {
    const auto& snapshot = *report.snapshot;
    json["snapshot"] = {{"id", snapshot.id()},
                        {"node", snapshot.node_id()},
                        {"raw_bytes", snapshot.raw_bytes()},
                        {"stored_bytes", snapshot.stored_bytes()},
                        {"checkpoint_ms", MillisNumber(DurationOf(snapshot.checkpoint_duration()))}};
  }
  json["checks"] = nlohmann::ordered_json::array();
  for (const DemoCheck& check : report.checks) {
    json["checks"].push_back({{"name", check.name}, {"ok", check.ok}, {"detail", check.detail}});
  }
  // What a function answers may be no UTF-8; the report must not break on it.
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace thaw::cli
