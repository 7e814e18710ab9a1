#include "gateway/service/log_merge.h"

#include <utility>

namespace thaw::gateway {
namespace {

// RFC 3339 in UTC with a fixed number of digits compares as text.
std::string TimeOf(const std::string& line) { return line.substr(0, line.find(' ')); }

}  // namespace

void LogMerge::Add(const std::string& node_id) {
  sources_[node_id] = Source();
  const auto last = last_times_.find(node_id);
  if (last != last_times_.end()) repeated_until_[node_id] = last->second;
}

bool LogMerge::Push(const std::string& node_id, std::string text) {
  const auto repeated = repeated_until_.find(node_id);
  if (repeated != repeated_until_.end()) {
    if (TimeOf(text) <= repeated->second) return false;
    repeated_until_.erase(repeated);
  }
  const auto it = sources_.find(node_id);
  if (it != sources_.end()) it->second.head = std::move(text);
  return true;
}

void LogMerge::End(const std::string& node_id) {
  const auto it = sources_.find(node_id);
  if (it == sources_.end()) return;
  it->second.open = false;
  if (!it->second.head.has_value()) sources_.erase(it);
}

std::optional<LogMerge::Line> LogMerge::Pop() {
  auto best = sources_.end();
  std::string best_time;
  for (auto it = sources_.begin(); it != sources_.end(); ++it) {
    if (!it->second.head.has_value()) {
      if (it->second.open && !settled_) return std::nullopt;
      continue;
    }
    std::string time = TimeOf(*it->second.head);
    if (best == sources_.end() || time < best_time) {
      best = it;
      best_time = std::move(time);
    }
  }
  if (best == sources_.end()) return std::nullopt;
  Line line{best->first, std::move(*best->second.head)};
  best->second.head.reset();
  last_times_[line.node_id] = best_time;
  if (!best->second.open) sources_.erase(best);
  return line;
}

bool LogMerge::Has(const std::string& node_id) const { return sources_.contains(node_id); }

}  // namespace thaw::gateway
