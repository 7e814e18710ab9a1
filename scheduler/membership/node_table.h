#ifndef THAW_SCHEDULER_MEMBERSHIP_NODE_TABLE_H_
#define THAW_SCHEDULER_MEMBERSHIP_NODE_TABLE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "scheduler/metrics.h"
#include "thaw/common/v1/catalogue.pb.h"
#include "thaw/scheduler/v1/scheduler.pb.h"

namespace thaw::scheduler {

// One stream of one node. 0 is none.
using SessionId = std::uint64_t;

// Which nodes there are and what they last said.
//
// A node's states, and what moves it between them:
//
//   READY    → SUSPECT   its stream ended, or its heartbeat is late (kLateHeartbeats intervals)
//   READY    → DRAINING  it said so, or reported why it can take nothing
//   DRAINING → READY     a heartbeat without a complaint (never once it said it is stopping)
//   DRAINING → SUSPECT   as READY
//   SUSPECT  → READY     a heartbeat on its stream, or a new stream (then DRAINING where that holds)
//   SUSPECT  → LOST      nothing heard of it for `lost_after`
//   LOST     → READY     a new stream
//   (none)   → READY     it registers for the first time
//   (none)   → SUSPECT   the scheduler started, and the store knows the node
//   LOST     → (none)    nothing heard of it for `forget_after`
//
// Threads: any.
class NodeTable {
 public:
  struct Options {
    absl::Duration heartbeat_interval = absl::Seconds(1);
    absl::Duration lost_after = absl::Seconds(5);
    absl::Duration forget_after = absl::Hours(1);
  };
  struct Transition {
    std::string node_id;
    // UNSPECIFIED for "was not there".
    common::v1::NodeState from = common::v1::NODE_STATE_UNSPECIFIED;
    common::v1::NodeState to = common::v1::NODE_STATE_UNSPECIFIED;
    std::string reason;
  };
  struct Entry {
    // As registered, with the loads of the last heartbeat and `state`, `reason` and `last_heartbeat` as they are now.
    common::v1::Node node;
    SessionId session = 0;
    // Loads of the last heartbeat, by version.
    absl::flat_hash_map<std::string, v1::VersionLoad> loads;
    absl::flat_hash_set<std::string> image_ids;

   private:
    friend class NodeTable;
    bool stopping = false;
    std::string unhealthy_reason;
    absl::Time last_seen;
  };
  struct Sweep {
    std::vector<Transition> transitions;
    std::vector<std::string> forgotten_node_ids;
  };

  // Intervals without a heartbeat after which a node is suspect although its stream is open.
  static constexpr double kLateHeartbeats = 2.5;

  // `clock` and `metrics` must outlive the table. `known` are the nodes from before a restart.
  NodeTable(Options options, const Clock& clock, SchedulerMetrics& metrics,
            const std::vector<common::v1::Node>& known);

  // A node's stream opened. RESOURCE_EXHAUSTED at the limit of nodes; `transition` is set when the state changed.
  absl::Status Register(const v1::Register& registration, SessionId session, std::optional<Transition>& transition)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The messages below count only from the node's current session; others change nothing.

  std::optional<Transition> OnHeartbeat(const std::string& node_id, SessionId session, const v1::Heartbeat& heartbeat)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Any other message is a sign of life, too.
  std::optional<Transition> OnMessage(const std::string& node_id, SessionId session) ABSL_LOCKS_EXCLUDED(mu_);
  std::optional<Transition> OnStopping(const std::string& node_id, SessionId session) ABSL_LOCKS_EXCLUDED(mu_);
  std::optional<Transition> OnStreamEnded(const std::string& node_id, SessionId session) ABSL_LOCKS_EXCLUDED(mu_);
  // True when that is news.
  bool OnImageHeld(const std::string& node_id, SessionId session, const std::string& image_id) ABSL_LOCKS_EXCLUDED(mu_);

  // Moves nodes on that were silent. A node that is lost has no session any more.
  Sweep SweepSilent() ABSL_LOCKS_EXCLUDED(mu_);
  // Moves every sign of life on by `gap`: the time in which this process stood still and could not listen.
  void Forgive(absl::Duration gap) ABSL_LOCKS_EXCLUDED(mu_);

  // By id.
  std::vector<common::v1::Node> List() const ABSL_LOCKS_EXCLUDED(mu_);
  // UNSPECIFIED for a node that is not there.
  common::v1::NodeState StateOf(absl::string_view node_id) const ABSL_LOCKS_EXCLUDED(mu_);
  // Calls `visit` with every node, by id, under the lock: it must be short and not call the table.
  void ForEach(absl::FunctionRef<void(const Entry&)> visit) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  Entry* Find(const std::string& node_id, SessionId session) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Sets the state that the entry's facts amount to now.
  std::optional<Transition> Settle(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void UpdateGauges() ABSL_SHARED_LOCKS_REQUIRED(mu_);

  const Options options_;
  const Clock& clock_;
  SchedulerMetrics& metrics_;

  mutable absl::Mutex mu_;
  std::map<std::string, Entry, std::less<>> nodes_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_MEMBERSHIP_NODE_TABLE_H_
