#include "scheduler/membership/node_table.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/rpc/client.h"
#include "scheduler/errors.h"
#include "scheduler/limits.h"

namespace thaw::scheduler {
namespace {

using common::v1::NodeState;

std::string Seconds(absl::Duration duration) {
  return absl::FormatDuration(absl::Trunc(duration, absl::Milliseconds(100)));
}

}  // namespace

NodeTable::NodeTable(Options options, const Clock& clock, SchedulerMetrics& metrics,
                     const std::vector<common::v1::Node>& known)
    : options_(options), clock_(clock), metrics_(metrics) {
  absl::MutexLock lock(&mu_);
  for (const auto& node : known) {
    Entry& entry = nodes_[node.id()];
    entry.node = node;
    // The time without a scheduler is not held against a node: it gets as long to come back as one whose stream broke.
    entry.last_seen = clock_.Now();
    entry.node.set_state(common::v1::NODE_STATE_SUSPECT);
    entry.node.set_reason("it has not come back since the scheduler restarted");
  }
  UpdateGauges();
}

absl::Status NodeTable::Register(const v1::Register& registration, SessionId session,
                                 std::optional<Transition>& transition) {
  absl::MutexLock lock(&mu_);
  const std::string& id = registration.node().id();
  const bool known = nodes_.contains(id);
  if (!known && nodes_.size() >= limits::kMaxNodes) return errors::TooMany("nodes", limits::kMaxNodes);
  Entry& entry = nodes_[id];
  const NodeState before = known ? entry.node.state() : common::v1::NODE_STATE_UNSPECIFIED;
  entry = Entry{};
  entry.node = registration.node();
  entry.node.set_state(before);
  entry.node.clear_reason();
  entry.session = session;
  for (const auto& image_id : registration.image_ids()) {
    if (entry.image_ids.size() >= limits::kMaxImagesPerNode) break;
    entry.image_ids.insert(image_id);
  }
  entry.last_seen = clock_.Now();
  *entry.node.mutable_last_heartbeat() = ToProto(entry.last_seen);
  transition = Settle(entry);
  return absl::OkStatus();
}

std::optional<NodeTable::Transition> NodeTable::OnHeartbeat(const std::string& node_id, SessionId session,
                                                            const v1::Heartbeat& heartbeat) {
  absl::MutexLock lock(&mu_);
  Entry* entry = Find(node_id, session);
  if (entry == nullptr) return std::nullopt;
  common::v1::Node& node = entry->node;
  entry->last_seen = clock_.Now();
  *node.mutable_last_heartbeat() = ToProto(entry->last_seen);
  entry->unhealthy_reason = heartbeat.unhealthy_reason().substr(0, limits::kMaxReportedErrorBytes);
  node.set_memory_reserved_bytes(heartbeat.memory_reserved_bytes());
  node.set_snapshots(heartbeat.snapshots());
  entry->loads.clear();
  std::uint32_t instances = 0, busy = 0, slots = 0;
  for (const auto& load : heartbeat.versions()) {
    instances += load.instances();
    busy += load.busy();
    slots += load.slots();
    entry->loads[load.version_id()] = load;
  }
  node.set_instances(instances);
  node.set_busy_instances(busy);
  node.set_slots(slots);
  return Settle(*entry);
}

std::optional<NodeTable::Transition> NodeTable::OnMessage(const std::string& node_id, SessionId session) {
  absl::MutexLock lock(&mu_);
  Entry* entry = Find(node_id, session);
  if (entry == nullptr) return std::nullopt;
  entry->last_seen = clock_.Now();
  return Settle(*entry);
}

std::optional<NodeTable::Transition> NodeTable::OnStopping(const std::string& node_id, SessionId session) {
  absl::MutexLock lock(&mu_);
  Entry* entry = Find(node_id, session);
  if (entry == nullptr) return std::nullopt;
  entry->stopping = true;
  entry->last_seen = clock_.Now();
  return Settle(*entry);
}

std::optional<NodeTable::Transition> NodeTable::OnStreamEnded(const std::string& node_id, SessionId session) {
  absl::MutexLock lock(&mu_);
  Entry* entry = Find(node_id, session);
  if (entry == nullptr) return std::nullopt;
  entry->session = 0;
  return Settle(*entry);
}

bool NodeTable::OnImageHeld(const std::string& node_id, SessionId session, const std::string& image_id) {
  absl::MutexLock lock(&mu_);
  Entry* entry = Find(node_id, session);
  if (entry == nullptr || entry->image_ids.size() >= limits::kMaxImagesPerNode) return false;
  return entry->image_ids.insert(image_id).second;
}

NodeTable::Sweep NodeTable::SweepSilent() {
  absl::MutexLock lock(&mu_);
  Sweep sweep;
  const absl::Time now = clock_.Now();
  for (auto it = nodes_.begin(); it != nodes_.end();) {
    Entry& entry = it->second;
    if (auto transition = Settle(entry); transition.has_value()) sweep.transitions.push_back(*std::move(transition));
    if (entry.node.state() == common::v1::NODE_STATE_LOST && now - entry.last_seen >= options_.forget_after) {
      sweep.forgotten_node_ids.push_back(it->first);
      it = nodes_.erase(it);
    } else {
      ++it;
    }
  }
  if (!sweep.forgotten_node_ids.empty()) UpdateGauges();
  return sweep;
}

void NodeTable::Forgive(absl::Duration gap) {
  absl::MutexLock lock(&mu_);
  for (auto& [id, entry] : nodes_) {
    if (entry.node.state() != common::v1::NODE_STATE_LOST) entry.last_seen += gap;
  }
}

std::vector<common::v1::Node> NodeTable::List() const {
  absl::ReaderMutexLock lock(&mu_);
  std::vector<common::v1::Node> list;
  list.reserve(nodes_.size());
  for (const auto& [id, entry] : nodes_) list.push_back(entry.node);
  return list;
}

common::v1::NodeState NodeTable::StateOf(absl::string_view node_id) const {
  absl::ReaderMutexLock lock(&mu_);
  const auto it = nodes_.find(node_id);
  return it == nodes_.end() ? common::v1::NODE_STATE_UNSPECIFIED : it->second.node.state();
}

void NodeTable::ForEach(absl::FunctionRef<void(const Entry&)> visit) const {
  absl::ReaderMutexLock lock(&mu_);
  for (const auto& [id, entry] : nodes_) visit(entry);
}

NodeTable::Entry* NodeTable::Find(const std::string& node_id, SessionId session) {
  const auto it = nodes_.find(node_id);
  return it == nodes_.end() || it->second.session != session ? nullptr : &it->second;
}

std::optional<NodeTable::Transition> NodeTable::Settle(Entry& entry) {
  common::v1::Node& node = entry.node;
  const NodeState before = node.state();
  const absl::Duration silent = clock_.Now() - entry.last_seen;
  NodeState after;
  std::string reason;
  if (silent >= options_.lost_after || (before == common::v1::NODE_STATE_LOST && entry.session == 0)) {
    after = common::v1::NODE_STATE_LOST;
    // The reason is that of the moment it was lost: it should not change with every look.
    reason = before == after ? node.reason() : absl::StrCat("nothing was heard of it for ", Seconds(silent));
    entry.session = 0;
  } else if (entry.session == 0) {
    after = common::v1::NODE_STATE_SUSPECT;
    reason = before == after && !node.reason().empty() ? node.reason() : "its stream to the scheduler ended";
  } else if (silent > kLateHeartbeats * options_.heartbeat_interval) {
    after = common::v1::NODE_STATE_SUSPECT;
    reason = before == after ? node.reason() : absl::StrCat("its heartbeat is late: the last came ", Seconds(silent), " ago");
  } else if (entry.stopping) {
    after = common::v1::NODE_STATE_DRAINING;
    reason = "its agent is stopping";
  } else if (!entry.unhealthy_reason.empty()) {
    after = common::v1::NODE_STATE_DRAINING;
    reason = entry.unhealthy_reason;
  } else {
    after = common::v1::NODE_STATE_READY;
  }
  node.set_state(after);
  node.set_reason(reason);
  if (before == after) return std::nullopt;
  UpdateGauges();
  return Transition{node.id(), before, after, std::move(reason)};
}

void NodeTable::UpdateGauges() {
  std::array<std::size_t, 5> counts{};
  for (const auto& [id, entry] : nodes_) {
    const auto state = static_cast<std::size_t>(entry.node.state());
    if (state < counts.size()) ++counts[state];
  }
  for (std::size_t state = 1; state < counts.size(); ++state) {
    metrics_.SetNodes(static_cast<NodeState>(state), counts[state]);
  }
}

}  // namespace thaw::scheduler
