#include "scheduler/membership/node_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "prometheus/registry.h"
#include "scheduler/limits.h"
#include "tests/fakes/fake_clock.h"
#include "tests/scheduler/support/test_scheduler.h"

namespace thaw::scheduler {
namespace {

using namespace common::v1;  // NOLINT: the states' names
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TestScheduler;

class NodeTableTest : public ::testing::Test {
 protected:
  NodeTableTest() { Restart({}); }
  void Restart(const std::vector<Node>& known) {
    table_ = std::make_unique<NodeTable>(NodeTable::Options{}, clock_, metrics_, known);
  }
  // The transition as text, e.g. "SUSPECT>READY"; "" for none.
  static std::string Text(const std::optional<NodeTable::Transition>& transition) {
    if (!transition.has_value()) return "";
    const auto name = [](NodeState state) { return NodeState_Name(state).substr(sizeof("NODE_STATE_") - 1); };
    return absl::StrCat(name(transition->from), ">", name(transition->to));
  }
  std::string Register(const std::string& id, SessionId session) {
    std::optional<NodeTable::Transition> transition;
    EXPECT_TRUE(table_->Register(TestScheduler::Registration(id), session, transition).ok());
    return Text(transition);
  }
  std::string Heartbeat(const std::string& id, SessionId session, const std::string& unhealthy = "") {
    v1::Heartbeat heartbeat;
    heartbeat.set_unhealthy_reason(unhealthy);
    return Text(table_->OnHeartbeat(id, session, heartbeat));
  }
  // All transitions of time passing, in steps as the scheduler's clockwork takes them.
  std::vector<std::string> Pass(absl::Duration duration) {
    std::vector<std::string> texts;
    for (absl::Duration passed; passed < duration; passed += absl::Milliseconds(250)) {
      clock_.Advance(absl::Milliseconds(250));
      const auto sweep = table_->SweepSilent();
      for (const auto& transition : sweep.transitions) texts.push_back(Text(transition));
      for (const auto& id : sweep.forgotten_node_ids) texts.push_back(absl::StrCat("forgot ", id));
    }
    return texts;
  }
  std::string ReasonOf(const std::string& id) {
    for (const auto& node : table_->List()) {
      if (node.id() == id) return node.reason();
    }
    return "no such node";
  }
  double Nodes(const std::string& state) {
    return testing::MetricValue(registry_, absl::StrCat("thaw_scheduler_nodes{state=\"", state, "\"}"));
  }

  thaw::testing::FakeClock clock_;
  prometheus::Registry registry_;
  SchedulerMetrics metrics_{registry_};
  std::unique_ptr<NodeTable> table_;
};

TEST_F(NodeTableTest, ARegisteredNodeIsReady) {
  EXPECT_EQ(Register("a", 1), "UNSPECIFIED>READY");
  EXPECT_EQ(table_->StateOf("a"), NODE_STATE_READY);
  EXPECT_EQ(table_->StateOf("b"), NODE_STATE_UNSPECIFIED);
  EXPECT_EQ(Nodes("ready"), 1);
}

TEST_F(NodeTableTest, ANodeThatReportsInTimeStaysReady) {
  Register("a", 1);
  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(Pass(absl::Seconds(1)), IsEmpty());
    EXPECT_EQ(Heartbeat("a", 1), "");
  }
}

TEST_F(NodeTableTest, ASilentNodeIsSuspectThenLost) {
  Register("a", 1);
  EXPECT_THAT(Pass(absl::Seconds(2.5)), IsEmpty());
  EXPECT_THAT(Pass(absl::Seconds(0.25)), ElementsAre("READY>SUSPECT"));
  EXPECT_THAT(ReasonOf("a"), HasSubstr("heartbeat is late"));
  EXPECT_THAT(Pass(absl::Seconds(2)), IsEmpty());
  EXPECT_THAT(Pass(absl::Seconds(0.25)), ElementsAre("SUSPECT>LOST"));
  EXPECT_THAT(ReasonOf("a"), HasSubstr("nothing was heard of it for 5s"));
  EXPECT_EQ(Nodes("lost"), 1);
  EXPECT_EQ(Nodes("ready"), 0);
  // Its old stream has no say any more.
  EXPECT_EQ(Heartbeat("a", 1), "");
  EXPECT_EQ(table_->StateOf("a"), NODE_STATE_LOST);
}

TEST_F(NodeTableTest, ALateHeartbeatMakesASuspectReadyAgain) {
  Register("a", 1);
  Pass(absl::Seconds(3));
  EXPECT_EQ(Heartbeat("a", 1), "SUSPECT>READY");
  EXPECT_EQ(ReasonOf("a"), "");
}

TEST_F(NodeTableTest, AnyMessageIsASignOfLife) {
  Register("a", 1);
  Pass(absl::Seconds(3));
  EXPECT_EQ(Text(table_->OnMessage("a", 1)), "SUSPECT>READY");
}

TEST_F(NodeTableTest, ANodeWhoseStreamEndsIsSuspectAtOnceAndLostAfterTheLimit) {
  Register("a", 1);
  EXPECT_EQ(Text(table_->OnStreamEnded("a", 1)), "READY>SUSPECT");
  EXPECT_THAT(ReasonOf("a"), HasSubstr("stream"));
  EXPECT_THAT(Pass(absl::Seconds(5)), ElementsAre("SUSPECT>LOST"));
}

TEST_F(NodeTableTest, ANodeThatConnectsAgainInTimeIsReady) {
  Register("a", 1);
  table_->OnStreamEnded("a", 1);
  Pass(absl::Seconds(4));
  EXPECT_EQ(Register("a", 2), "SUSPECT>READY");
}

TEST_F(NodeTableTest, TheEndOfAReplacedStreamChangesNothing) {
  Register("a", 1);
  EXPECT_EQ(Register("a", 2), "");
  EXPECT_EQ(Text(table_->OnStreamEnded("a", 1)), "");
  EXPECT_EQ(table_->StateOf("a"), NODE_STATE_READY);
  // Nor do its late messages.
  Pass(absl::Seconds(3));
  EXPECT_EQ(Heartbeat("a", 1), "");
  EXPECT_EQ(table_->StateOf("a"), NODE_STATE_SUSPECT);
}

TEST_F(NodeTableTest, ALostNodeComesBackByRegistering) {
  Register("a", 1);
  Pass(absl::Seconds(6));
  EXPECT_EQ(Register("a", 2), "LOST>READY");
}

TEST_F(NodeTableTest, AnUnhealthyNodeTakesNothingUntilItIsWell) {
  Register("a", 1);
  EXPECT_EQ(Heartbeat("a", 1, "the engine does not answer"), "READY>DRAINING");
  EXPECT_EQ(ReasonOf("a"), "the engine does not answer");
  EXPECT_EQ(Heartbeat("a", 1, "it is slow"), "");
  EXPECT_EQ(ReasonOf("a"), "it is slow");
  EXPECT_EQ(Heartbeat("a", 1), "DRAINING>READY");
}

TEST_F(NodeTableTest, AStoppingNodeStaysDrainingUntilItRegistersAnew) {
  Register("a", 1);
  EXPECT_EQ(Text(table_->OnStopping("a", 1)), "READY>DRAINING");
  EXPECT_EQ(Heartbeat("a", 1), "");
  EXPECT_EQ(table_->StateOf("a"), NODE_STATE_DRAINING);
  EXPECT_EQ(Text(table_->OnStreamEnded("a", 1)), "DRAINING>SUSPECT");
  EXPECT_EQ(Register("a", 2), "SUSPECT>READY");
}

TEST_F(NodeTableTest, NodesFromBeforeARestartAreSuspectsWithAllTheirTimeLeft) {
  Node node = TestScheduler::Registration("a").node();
  node.set_state(NODE_STATE_READY);
  Restart({node});
  EXPECT_EQ(table_->StateOf("a"), NODE_STATE_SUSPECT);
  EXPECT_THAT(ReasonOf("a"), HasSubstr("since the scheduler restarted"));
  EXPECT_THAT(Pass(absl::Seconds(4.75)), IsEmpty());
  EXPECT_THAT(ReasonOf("a"), HasSubstr("since the scheduler restarted"));
  EXPECT_THAT(Pass(absl::Seconds(0.25)), ElementsAre("SUSPECT>LOST"));
}

TEST_F(NodeTableTest, ALostNodeIsForgottenInTheEnd) {
  Register("a", 1);
  Pass(absl::Seconds(6));
  EXPECT_THAT(Pass(absl::Minutes(59)), IsEmpty());
  EXPECT_THAT(Pass(absl::Minutes(1)), ElementsAre("forgot a"));
  EXPECT_THAT(table_->List(), IsEmpty());
  EXPECT_EQ(Nodes("lost"), 0);
}

TEST_F(NodeTableTest, TimeInWhichTheProcessStoodStillIsForgiven) {
  Register("a", 1);
  clock_.Advance(absl::Seconds(60));
  table_->Forgive(absl::Seconds(60));
  EXPECT_THAT(table_->SweepSilent().transitions, IsEmpty());
  EXPECT_EQ(table_->StateOf("a"), NODE_STATE_READY);
}

TEST_F(NodeTableTest, AHeartbeatsLoadsAreAddedUp) {
  Register("a", 1);
  v1::Heartbeat heartbeat;
  heartbeat.set_memory_reserved_bytes(99);
  heartbeat.set_snapshots(7);
  for (int i = 1; i <= 2; ++i) {
    auto& load = *heartbeat.add_versions();
    load.set_version_id(absl::StrCat("v", i));
    load.set_instances(i + 1);
    load.set_busy(i);
    load.set_slots(10 * i);
  }
  table_->OnHeartbeat("a", 1, heartbeat);
  const Node node = table_->List()[0];
  EXPECT_EQ(node.memory_reserved_bytes(), 99u);
  EXPECT_EQ(node.snapshots(), 7u);
  EXPECT_EQ(node.instances(), 5u);
  EXPECT_EQ(node.busy_instances(), 3u);
  EXPECT_EQ(node.slots(), 30u);
  // The next heartbeat is the whole truth, not an addition to it.
  table_->OnHeartbeat("a", 1, v1::Heartbeat());
  EXPECT_EQ(table_->List()[0].instances(), 0u);
}

TEST_F(NodeTableTest, AnImageIsNewsOnce) {
  Register("a", 1);
  EXPECT_TRUE(table_->OnImageHeld("a", 1, "i"));
  EXPECT_FALSE(table_->OnImageHeld("a", 1, "i"));
  EXPECT_FALSE(table_->OnImageHeld("a", 2, "j"));
}

TEST_F(NodeTableTest, NodesAreLimited) {
  for (std::size_t i = 0; i < limits::kMaxNodes; ++i) Register(absl::StrCat("n", i), i + 1);
  std::optional<NodeTable::Transition> transition;
  EXPECT_EQ(table_->Register(TestScheduler::Registration("more"), 5000, transition).code(),
            absl::StatusCode::kResourceExhausted);
  // Those that are there may come again.
  EXPECT_TRUE(table_->Register(TestScheduler::Registration("n0"), 5001, transition).ok());
}

}  // namespace
}  // namespace thaw::scheduler
