#include "scheduler/membership/checkpoint_grants.h"

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

using ::testing::HasSubstr;

class CheckpointGrantsTest : public ::testing::Test {
 protected:
  CheckpointGrants::Decision Request(const std::string& node = "a", const std::string& instance = "i1",
                                     bool snapshot_exists = false) {
    return grants_.Request("v", node, instance, snapshot_exists);
  }
  CheckpointFailure Fail(const std::string& node = "a", const std::string& instance = "i1") {
    return grants_.OnFailed("v", node, instance, "criu failed");
  }
  double Count(const std::string& outcome) {
    return testing::MetricValue(registry_,
                                absl::StrCat("thaw_scheduler_checkpoint_grants_total{outcome=\"", outcome, "\"}"));
  }

  thaw::testing::FakeClock clock_;
  prometheus::Registry registry_;
  SchedulerMetrics metrics_{registry_};
  CheckpointGrants grants_{clock_, metrics_, {}};
};

TEST_F(CheckpointGrantsTest, OneInstanceAtATimeMayBeFrozen) {
  EXPECT_TRUE(Request("a", "i1").granted());
  const auto refused = Request("b", "i2");
  EXPECT_FALSE(refused.granted());
  EXPECT_EQ(*refused.retry_after, absl::Seconds(5));
  EXPECT_THAT(refused.reason, HasSubstr("instance i1 on node a"));
  EXPECT_FALSE(Request("a", "i3").granted());
  EXPECT_TRUE(grants_.Request("other", "b", "i2", false).granted());
  EXPECT_EQ(Count("granted"), 2);
  EXPECT_EQ(Count("refused_busy"), 2);
}

TEST_F(CheckpointGrantsTest, TheInstanceThatHasTheGrantIsToldSoAgain) {
  Request();
  EXPECT_TRUE(Request().granted());
}

TEST_F(CheckpointGrantsTest, NothingIsFrozenWhileASnapshotExists) {
  const auto refused = Request("a", "i1", /*snapshot_exists=*/true);
  EXPECT_FALSE(refused.granted());
  EXPECT_TRUE(refused.retry_after.has_value());
  EXPECT_EQ(Count("refused_snapshot_exists"), 1);
  EXPECT_TRUE(Request("b", "i2").granted());
}

TEST_F(CheckpointGrantsTest, AFailureDelaysTheNextGrantTwiceAsLongEachTime) {
  for (const absl::Duration delay : {absl::Seconds(5), absl::Seconds(10), absl::Seconds(20), absl::Seconds(40)}) {
    EXPECT_TRUE(Request().granted());
    Fail();
    const auto refused = Request("b", "i2");
    EXPECT_FALSE(refused.granted());
    EXPECT_EQ(*refused.retry_after, delay);
    EXPECT_THAT(refused.reason, HasSubstr("criu failed"));
    clock_.Advance(delay - absl::Milliseconds(1));
    EXPECT_FALSE(Request("b", "i2").granted());
    clock_.Advance(absl::Milliseconds(1));
  }
}

TEST_F(CheckpointGrantsTest, AfterFiveFailuresThereAreNoMoreGrants) {
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(Request().granted()) << i;
    Fail();
    clock_.Advance(absl::Minutes(10));
  }
  const auto refused = Request();
  EXPECT_FALSE(refused.granted());
  EXPECT_FALSE(refused.retry_after.has_value());
  EXPECT_THAT(refused.reason, HasSubstr("failed 5 times, the last time with: criu failed"));
  EXPECT_EQ(grants_.LastFailure("v")->failures, 5u);
  EXPECT_EQ(Count("refused_given_up"), 1);
  // Until someone says so.
  EXPECT_TRUE(grants_.Forget("v"));
  EXPECT_TRUE(Request().granted());
}

TEST_F(CheckpointGrantsTest, AGrantThatIsNotHeardOfRunsOutAsAFailure) {
  Request();
  clock_.Advance(limits::kCheckpointGrantTime - absl::Milliseconds(1));
  EXPECT_TRUE(grants_.ExpireDue().empty());
  clock_.Advance(absl::Milliseconds(1));
  const auto failures = grants_.ExpireDue();
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].version_id, "v");
  EXPECT_THAT(failures[0].last_error, HasSubstr("node a did not report"));
  EXPECT_TRUE(grants_.ExpireDue().empty());
  EXPECT_FALSE(Request("b", "i2").granted());
  EXPECT_EQ(Count("expired"), 1);
  // Its late report gives the reason, but counts no second time.
  EXPECT_EQ(Fail().failures, 1u);
  EXPECT_EQ(grants_.LastFailure("v")->last_error, "criu failed");
  EXPECT_EQ(Count("failed"), 0);
}

TEST_F(CheckpointGrantsTest, ALostNodesGrantIsFreeAndNobodysFailure) {
  Request("a", "i1");
  grants_.OnNodeLost("b");
  EXPECT_FALSE(Request("b", "i2").granted());
  grants_.OnNodeLost("a");
  EXPECT_TRUE(Request("b", "i2").granted());
  EXPECT_FALSE(grants_.LastFailure("v").has_value());
  EXPECT_EQ(Count("node_lost"), 1);
}

TEST_F(CheckpointGrantsTest, APublishedSnapshotWipesTheFailuresOut) {
  Request();
  EXPECT_FALSE(grants_.OnPublished("v"));
  Request();
  Fail();
  EXPECT_TRUE(grants_.OnPublished("v"));
  EXPECT_FALSE(grants_.LastFailure("v").has_value());
  EXPECT_EQ(Count("published"), 2);
}

TEST_F(CheckpointGrantsTest, FailuresFromBeforeARestartCount) {
  CheckpointGrants restarted(clock_, metrics_, {CheckpointFailure{"v", 5, "no criu", clock_.Now()}});
  EXPECT_FALSE(restarted.Request("v", "a", "i1", false).retry_after.has_value());
  EXPECT_EQ(restarted.LastFailure("v")->last_error, "no criu");
}

TEST_F(CheckpointGrantsTest, AFailureOfAnEarlierProcessesGrantCountsAndLeavesAnothersGrant) {
  Request("b", "i2");
  EXPECT_EQ(Fail("a", "i1").failures, 1u);
  // The one that is running now may end, and be told again that it may.
  EXPECT_TRUE(Request("b", "i2").granted());
}

}  // namespace
}  // namespace thaw::scheduler
