#include "scheduler/placement/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/reasons.h"
#include "prometheus/registry.h"
#include "tests/scheduler/support/test_scheduler.h"

namespace thaw::scheduler {
namespace {

using ::testing::HasSubstr;

class PlacementTest : public ::testing::Test {
 protected:
  static Candidate Node(const std::string& id, common::v1::NodeState state = common::v1::NODE_STATE_READY) {
    Candidate candidate;
    candidate.node_id = id;
    candidate.state = state;
    candidate.cpus = 2;
    candidate.memory_total_bytes = 1024u << 20;
    return candidate;
  }
  // The chosen node's id, or the error's code.
  std::string Choose(const std::vector<Candidate>& candidates) {
    const auto chosen = placement_.Choose(request_, candidates);
    status_ = chosen.status();
    return chosen.ok() ? (*chosen)->node_id : absl::StatusCodeToString(chosen.status().code());
  }
  double Placements(const std::string& outcome, const std::string& policy) {
    return testing::MetricValue(registry_, absl::StrCat("thaw_scheduler_placements_total{outcome=\"", outcome,
                                                        "\",policy=\"", policy, "\"}"));
  }

  prometheus::Registry registry_;
  SchedulerMetrics metrics_{registry_};
  Placement placement_ = Placement::Default(metrics_);
  PlacementRequest request_ = {"app/fn", "v", 256, {}, ""};
  absl::Status status_;
};

TEST_F(PlacementTest, WarmthBeatsTheSnapshotAndTheLoad) {
  Candidate warm = Node("warm");
  warm.instances = 1;
  warm.all_waiting_calls = 50;
  Candidate holder = Node("holder");
  holder.holds_snapshot = true;
  EXPECT_EQ(Choose({Node("idle"), holder, warm}), "warm");
  EXPECT_EQ(Placements("placed", "prefer_warm"), 1);
}

TEST_F(PlacementTest, TheSnapshotBeatsTheLoad) {
  Candidate holder = Node("holder");
  holder.holds_snapshot = true;
  holder.all_waiting_calls = 50;
  EXPECT_EQ(Choose({Node("idle"), holder}), "holder");
  EXPECT_EQ(Placements("placed", "snapshot_here"), 1);
}

TEST_F(PlacementTest, AmongEqualsTheLeastLoadedIsChosen) {
  Candidate a = Node("a"), b = Node("b"), c = Node("c");
  a.holds_snapshot = b.holds_snapshot = true;
  a.all_busy_instances = 2;
  b.all_busy_instances = 1;
  EXPECT_EQ(Choose({a, b, c}), "b");
  // The first policy that told candidates apart has decided.
  EXPECT_EQ(Placements("placed", "snapshot_here"), 1);
  EXPECT_EQ(Choose({a, b}), "b");
  EXPECT_EQ(Placements("placed", "least_loaded"), 1);
}

TEST_F(PlacementTest, ASingleCandidateIsNoDecision) {
  EXPECT_EQ(Choose({Node("a")}), "a");
  EXPECT_EQ(Placements("placed", "only"), 1);
}

TEST_F(PlacementTest, FunctionsSpreadOverEqualNodesAndEachStays) {
  const std::vector<Candidate> nodes = {Node("a"), Node("b"), Node("c")};
  std::set<std::string> chosen;
  for (int i = 0; i < 30; ++i) {
    request_.version_id = absl::StrCat("version", i);
    const std::string first = Choose(nodes);
    EXPECT_EQ(Choose(nodes), first);
    EXPECT_EQ(Choose({nodes[2], nodes[0], nodes[1]}), first);
    chosen.insert(first);
  }
  EXPECT_EQ(chosen.size(), 3u);
}

TEST_F(PlacementTest, OnlyReadyNodesAreChosen) {
  using namespace common::v1;  // NOLINT: the states' names
  EXPECT_EQ(Choose({Node("s", NODE_STATE_SUSPECT), Node("l", NODE_STATE_LOST), Node("d", NODE_STATE_DRAINING),
                    Node("r")}),
            "r");
  Candidate suspect = Node("s", NODE_STATE_SUSPECT);
  suspect.reason = "its heartbeat is late";
  EXPECT_EQ(Choose({suspect, Node("l", NODE_STATE_LOST)}), "UNAVAILABLE");
  EXPECT_EQ(ReasonOf(status_), reason::kNoNodeReady);
  EXPECT_THAT(std::string(status_.message()), HasSubstr("node s: its heartbeat is late"));
  EXPECT_EQ(Placements("no_node", "none"), 1);
}

TEST_F(PlacementTest, AClusterWithoutNodesSaysSo) {
  EXPECT_EQ(Choose({}), "UNAVAILABLE");
  EXPECT_THAT(std::string(status_.message()), HasSubstr("no node has joined"));
}

TEST_F(PlacementTest, ExcludedNodesAreNotChosen) {
  Candidate warm = Node("warm");
  warm.instances = 1;
  request_.excluded_nodes = {"warm"};
  EXPECT_EQ(Choose({warm, Node("b")}), "b");
  EXPECT_EQ(Choose({warm}), "UNAVAILABLE");
  EXPECT_THAT(std::string(status_.message()), HasSubstr("excluded 1 node"));
}

TEST_F(PlacementTest, ANodeWithoutRoomIsNotChosen) {
  Candidate full = Node("full");
  full.holds_snapshot = true;
  full.memory_reserved_bytes = (1024u - 255u) << 20;
  EXPECT_EQ(Choose({full, Node("b")}), "b");
  EXPECT_EQ(Choose({full}), "RESOURCE_EXHAUSTED");
  EXPECT_EQ(ReasonOf(status_), reason::kNoMemory);
  EXPECT_TRUE(RetryAfterOf(status_).has_value());
  EXPECT_EQ(Placements("no_room", "none"), 1);
  full.memory_reserved_bytes = (1024u - 256u) << 20;
  EXPECT_EQ(Choose({full}), "full");
}

TEST_F(PlacementTest, RoomThatIdleInstancesOfOthersHoldIsRoom) {
  Candidate full = Node("full");
  full.memory_reserved_bytes = full.memory_total_bytes;
  full.memory_idle_bytes = 255u << 20;
  EXPECT_EQ(Choose({full}), "RESOURCE_EXHAUSTED");
  full.memory_idle_bytes = 256u << 20;
  EXPECT_EQ(Choose({full}), "full");
  // Free room is better than room that must be made.
  EXPECT_EQ(Choose({full, Node("free")}), "free");
}

TEST_F(PlacementTest, PromisedMemoryIsNoRoom) {
  Candidate promised = Node("promised");
  promised.memory_promised_bytes = 1000u << 20;
  EXPECT_EQ(Choose({promised}), "RESOURCE_EXHAUSTED");
}

TEST_F(PlacementTest, AFullNodeThatRunsTheVersionTakesMoreOfItsCalls) {
  Candidate full = Node("full");
  full.memory_reserved_bytes = full.memory_total_bytes;
  full.instances = full.busy_instances = 1;
  EXPECT_EQ(Choose({full}), "full");
}

TEST_F(PlacementTest, AFunctionLargerThanEveryNodeNeverFits) {
  request_.memory_mib = 2048;
  EXPECT_EQ(Choose({Node("a"), Node("b")}), "FAILED_PRECONDITION");
  EXPECT_EQ(ReasonOf(status_), reason::kNoMemory);
  EXPECT_EQ(Placements("too_large", "none"), 1);
  // Where a node was excluded, that one may be large enough.
  request_.excluded_nodes = {"b"};
  EXPECT_EQ(Choose({Node("a"), Node("b")}), "RESOURCE_EXHAUSTED");
}

TEST_F(PlacementTest, ANodeThatDoesNotSayItsMemoryHasRoom) {
  Candidate unknown = Node("a");
  unknown.memory_total_bytes = 0;
  EXPECT_EQ(Choose({unknown}), "a");
}

TEST_F(PlacementTest, APinIsKeptAgainstEveryPolicy) {
  Candidate warm = Node("warm");
  warm.instances = 1;
  request_.pinned_node = "b";
  EXPECT_EQ(Choose({warm, Node("b")}), "b");
  EXPECT_EQ(Placements("placed", "pinned"), 1);
}

TEST_F(PlacementTest, APinToAnUnknownNodeIsAFailedPrecondition) {
  request_.pinned_node = "x";
  EXPECT_EQ(Choose({Node("a")}), "FAILED_PRECONDITION");
  EXPECT_EQ(ReasonOf(status_), reason::kNodeNotFound);
}

TEST_F(PlacementTest, APinToANodeThatIsNotReadySaysWhy) {
  request_.pinned_node = "a";
  for (const auto state :
       {common::v1::NODE_STATE_SUSPECT, common::v1::NODE_STATE_LOST, common::v1::NODE_STATE_DRAINING}) {
    Candidate node = Node("a", state);
    node.reason = "the reason";
    EXPECT_EQ(Choose({node, Node("b")}), "UNAVAILABLE");
    EXPECT_EQ(ReasonOf(status_), reason::kNoNodeReady);
    EXPECT_THAT(std::string(status_.message()), HasSubstr("the reason"));
  }
}

TEST_F(PlacementTest, APinToAFullNodeIsNotPlacedElsewhere) {
  Candidate full = Node("a");
  full.memory_reserved_bytes = full.memory_total_bytes;
  request_.pinned_node = "a";
  EXPECT_EQ(Choose({full, Node("b")}), "RESOURCE_EXHAUSTED");
  request_.memory_mib = 4096;
  EXPECT_EQ(Choose({full, Node("b")}), "FAILED_PRECONDITION");
}

TEST_F(PlacementTest, APinToAnExcludedNodeIsUnavailable) {
  request_.pinned_node = "a";
  request_.excluded_nodes = {"a"};
  EXPECT_EQ(Choose({Node("a"), Node("b")}), "UNAVAILABLE");
}

}  // namespace
}  // namespace thaw::scheduler
