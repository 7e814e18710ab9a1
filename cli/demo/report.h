#ifndef THAW_CLI_DEMO_REPORT_H_
#define THAW_CLI_DEMO_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/output/terminal.h"
#include "thaw/common/v1/catalogue.pb.h"
#include "thaw/gateway/v1/gateway.pb.h"

namespace thaw::cli {

// One call of the demo and what came of it.
struct DemoCall {
  int index = 0;
  // `cold`, `warm`, `restored_same_node`, `restored_other_node`, `after_node_loss`
  std::string step;
  std::string node;
  // `cold`, `warm`, `restored`, `restored-remote`
  std::string start;
  absl::Duration total;
  gateway::v1::Phases phases;
  // Why a snapshot was there but not used.
  std::string fallback_reason;
  std::string token;
  std::int64_t calls_answered = 0;
  // What this program's own clock saw.
  absl::Duration seen;
};

// A claim of the demo and whether it held.
struct DemoCheck {
  // Stable: programs may look for it.
  std::string name;
  bool ok = false;
  std::string detail;
};

struct DemoReport {
  std::vector<DemoCall> calls;
  std::optional<common::v1::SnapshotInfo> snapshot;
  std::vector<DemoCheck> checks;

  bool ok() const;
};

// The call table and the checks, for people.
std::string RenderDemoReport(const DemoReport& report, const Terminal& terminal);

// One line of JSON: {"calls":[…],"snapshot":{…},"checks":[…]}; cli/README.md lists the keys.
std::string DemoReportJson(const DemoReport& report);

}  // namespace thaw::cli

#endif  // THAW_CLI_DEMO_REPORT_H_
