#include "agent/checkpoint/obstacle_rules.h"

#include <fnmatch.h>

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace thaw::agent {
namespace {

namespace v1 = thaw::common::v1;

bool Matches(const std::string& pattern, absl::string_view text) {
  // Not FNM_PATHNAME: `/var/log/*` is meant for all that lies below.
  return fnmatch(pattern.c_str(), std::string(text).c_str(), 0) == 0;
}

void Refuse(v1::Finding& finding, absl::string_view why) {
  finding.set_blocks(true);
  finding.set_remedy(absl::StrCat(why, finding.remedy().empty() ? "" : "; ", finding.remedy()));
}

}  // namespace

bool ObstacleRules::Fits(const v1::ObstacleRule& rule, const v1::Finding& finding) {
  if (rule.kind() != v1::OBSTACLE_KIND_UNSPECIFIED && rule.kind() != finding.kind()) return false;
  const std::string& pattern = rule.pattern();
  if (pattern.empty()) return true;
  absl::string_view what = finding.what();
  if (Matches(pattern, what)) return true;
  const std::size_t arrow = what.find(" -> ");
  if (arrow != absl::string_view::npos) return Matches(pattern, what.substr(arrow + 4));
  if (absl::ConsumePrefix(&what, "listens on ") || absl::ConsumePrefix(&what, "the working directory ") ||
      absl::ConsumeSuffix(&what, " (mapped)")) {
    return Matches(pattern, what);
  }
  return false;
}

void ObstacleRules::Decide(v1::Finding& finding) const {
  const auto rule = std::find_if(rules_.begin(), rules_.end(), [&](const v1::ObstacleRule& r) { return Fits(r, finding); });
  v1::ObstacleAction action = rule == rules_.end() ? v1::OBSTACLE_ACTION_ERROR : rule->action();
  if (action == v1::OBSTACLE_ACTION_UNSPECIFIED) action = v1::OBSTACLE_ACTION_ERROR;
  finding.set_action(action);
  finding.set_blocks(action == v1::OBSTACLE_ACTION_ERROR);
  if (action == v1::OBSTACLE_ACTION_ERROR || action == v1::OBSTACLE_ACTION_IGNORE) return;
  if (finding.fd() < 0) {
    Refuse(finding, "it is no descriptor, so it can't be closed from outside");
  } else if (action == v1::OBSTACLE_ACTION_REOPEN && finding.kind() != v1::OBSTACLE_KIND_FILE) {
    Refuse(finding, "only files can be opened again; a rule may `close` it");
  }
}

}  // namespace thaw::agent
