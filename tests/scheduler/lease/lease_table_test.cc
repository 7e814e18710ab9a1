#include "scheduler/lease/lease_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "prometheus/registry.h"
#include "scheduler/lease/lease_id.h"
#include "scheduler/limits.h"
#include "tests/fakes/fake_clock.h"
#include "tests/scheduler/support/test_scheduler.h"

namespace thaw::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using testing::DigestId;
using Renewal = LeaseTable::Renewal;

class LeaseTableTest : public ::testing::Test {
 protected:
  static common::v1::VersionSpec Version(int n) {
    common::v1::VersionSpec version;
    version.set_version_id(DigestId(n));
    version.set_function_id(absl::StrCat("F", n));
    version.set_memory_mib(128);
    return version;
  }
  std::string Grant(const std::string& gateway, int version, const std::string& node) {
    auto lease = table_.Grant(gateway, Version(version), node);
    EXPECT_TRUE(lease.ok()) << lease.status();
    return lease.value_or("");
  }
  std::shared_ptr<testing::FakeLeaseWatcher> Watch(const std::string& gateway) {
    auto watcher = std::make_shared<testing::FakeLeaseWatcher>();
    EXPECT_TRUE(table_.Watch(gateway, watcher).ok());
    return watcher;
  }
  double Ended(const std::string& cause) {
    return testing::MetricValue(registry_,
                                absl::StrCat("thaw_scheduler_leases_ended_total{cause=\"", cause, "\"}"));
  }

  thaw::testing::FakeClock clock_;
  prometheus::Registry registry_;
  SchedulerMetrics metrics_{registry_};
  LeaseTable table_{{absl::Seconds(10), "epoch1"}, clock_, metrics_};
};

TEST_F(LeaseTableTest, ALeaseIsOneGatewaysOneVersionsAndOneNodes) {
  const std::string lease = Grant("gw", 1, "a");
  EXPECT_EQ(Grant("gw", 1, "a"), lease);
  EXPECT_NE(Grant("gw", 1, "b"), lease);
  EXPECT_NE(Grant("gw", 2, "a"), lease);
  EXPECT_NE(Grant("gw2", 1, "a"), lease);
  EXPECT_EQ(table_.size(), 4u);
  EXPECT_EQ(testing::MetricValue(registry_, "thaw_scheduler_leases"), 4);
}

TEST_F(LeaseTableTest, ALeaseRunsOutUnlessItIsRenewed) {
  const std::string renewed = Grant("gw", 1, "a");
  const std::string idle = Grant("gw", 2, "a");
  const auto watcher = Watch("gw");
  clock_.Advance(absl::Seconds(6));
  EXPECT_EQ(table_.Renew("gw", renewed), Renewal::kRenewed);
  clock_.Advance(absl::Seconds(3.9));
  table_.ExpireDue();
  EXPECT_EQ(table_.size(), 2u);
  clock_.Advance(absl::Seconds(0.1));
  table_.ExpireDue();
  EXPECT_THAT(watcher->ended, ElementsAre(idle));
  EXPECT_EQ(Ended("expired"), 1);
  EXPECT_EQ(table_.Renew("gw", renewed), Renewal::kRenewed);
  EXPECT_EQ(table_.Renew("gw", idle), Renewal::kEnded);
  clock_.Advance(absl::Seconds(10));
  table_.ExpireDue();
  EXPECT_EQ(table_.size(), 0u);
}

TEST_F(LeaseTableTest, AskingAgainRenews) {
  const std::string lease = Grant("gw", 1, "a");
  clock_.Advance(absl::Seconds(9));
  Grant("gw", 1, "a");
  clock_.Advance(absl::Seconds(9));
  table_.ExpireDue();
  EXPECT_EQ(table_.Renew("gw", lease), Renewal::kRenewed);
}

TEST_F(LeaseTableTest, AnothersLeaseIsNeitherRenewedNorReleased) {
  const std::string lease = Grant("gw", 1, "a");
  EXPECT_EQ(table_.Renew("other", lease), Renewal::kEnded);
  table_.Release("other", {lease});
  EXPECT_EQ(table_.size(), 1u);
  table_.Release("gw", {lease, lease, "nonsense"});
  EXPECT_EQ(table_.size(), 0u);
  EXPECT_EQ(Ended("released"), 1);
}

TEST_F(LeaseTableTest, ALostNodeEndsItsLeasesAndTellsTheirGateways) {
  const std::string one = Grant("gw1", 1, "a");
  const std::string two = Grant("gw1", 2, "a");
  const std::string other_node = Grant("gw1", 1, "b");
  const std::string other_gateway = Grant("gw2", 1, "a");
  const auto first = Watch("gw1"), again = Watch("gw1"), second = Watch("gw2"), third = Watch("gw3");
  table_.EndOfNode("a");
  EXPECT_THAT(first->ended, UnorderedElementsAre(one, two));
  EXPECT_THAT(again->ended, UnorderedElementsAre(one, two));
  EXPECT_THAT(second->ended, ElementsAre(other_gateway));
  EXPECT_THAT(third->ended, IsEmpty());
  EXPECT_EQ(table_.Renew("gw1", other_node), Renewal::kRenewed);
  EXPECT_EQ(Ended("node_lost"), 3);
}

TEST_F(LeaseTableTest, AChangedFunctionEndsItsLeasesAndIsToldToAll) {
  const std::string lease = Grant("gw1", 1, "a");
  Grant("gw1", 2, "a");
  const auto first = Watch("gw1"), second = Watch("gw2");
  table_.EndOfFunctions({"F1"});
  EXPECT_THAT(first->ended, ElementsAre(lease));
  EXPECT_THAT(first->changed, ElementsAre("F1"));
  EXPECT_THAT(second->ended, IsEmpty());
  EXPECT_THAT(second->changed, ElementsAre("F1"));
  EXPECT_EQ(table_.size(), 1u);
  EXPECT_EQ(Ended("function_changed"), 1);
}

TEST_F(LeaseTableTest, AnUnknownLeaseOfThisProcessHasEndedAndOneOfAnotherIsForeign) {
  const LeaseId own{DigestId(1), "a", "epoch1", "77"}, foreign{DigestId(1), "a", "epoch0", "77"};
  EXPECT_EQ(table_.Renew("gw", own.Encode()), Renewal::kEnded);
  EXPECT_EQ(table_.Renew("gw", foreign.Encode()), Renewal::kForeign);
  EXPECT_EQ(table_.Renew("gw", "nonsense"), Renewal::kEnded);
}

TEST_F(LeaseTableTest, AnAdoptedLeaseLivesAsOneOfItsOwn) {
  const std::string foreign = LeaseId{DigestId(1), "a", "epoch0", "77"}.Encode();
  ASSERT_TRUE(table_.Adopt("gw", foreign, Version(1), "a").ok());
  EXPECT_EQ(table_.Renew("gw", foreign), Renewal::kRenewed);
  EXPECT_EQ(Grant("gw", 1, "a"), foreign);
  const auto watcher = Watch("gw");
  table_.EndOfNode("a");
  EXPECT_THAT(watcher->ended, ElementsAre(foreign));
  EXPECT_EQ(testing::MetricValue(registry_, "thaw_scheduler_leases_granted_total{kind=\"adopted\"}"), 1);
}

TEST_F(LeaseTableTest, ALeaseThatIsAdoptedTwiceIsOneLease) {
  // Two renewals of one foreign lease at the same time: both find it foreign, and both adopt it.
  const std::string foreign = LeaseId{DigestId(1), "a", "epoch0", "77"}.Encode();
  ASSERT_TRUE(table_.Adopt("gw", foreign, Version(1), "a").ok());
  clock_.Advance(absl::Seconds(6));
  ASSERT_TRUE(table_.Adopt("gw", foreign, Version(1), "a").ok());
  EXPECT_EQ(table_.ByNode().at("a").leases, 1u);
  EXPECT_EQ(testing::MetricValue(registry_, "thaw_scheduler_leases_granted_total{kind=\"adopted\"}"), 1);
  clock_.Advance(absl::Seconds(6));
  table_.ExpireDue();
  EXPECT_EQ(table_.size(), 1u) << "the second one renewed it";
  table_.Release("gw", {foreign});
  EXPECT_TRUE(table_.ByNode().empty()) << "or its memory would count against the node for ever";
}

TEST_F(LeaseTableTest, AnAdoptedLeaseIsNotTakenOverByAnotherGateway) {
  const std::string foreign = LeaseId{DigestId(1), "a", "epoch0", "77"}.Encode();
  EXPECT_EQ(table_.Adopt("gw", foreign, Version(1), "a").value(), Renewal::kRenewed);
  EXPECT_EQ(table_.Adopt("gw2", foreign, Version(1), "a").value(), Renewal::kEnded);
  EXPECT_EQ(table_.Renew("gw", foreign), Renewal::kRenewed);
}

TEST_F(LeaseTableTest, AWatcherThatLeftIsToldNothing) {
  Grant("gw", 1, "a");
  const auto watcher = Watch("gw");
  table_.Unwatch("gw", watcher.get());
  table_.Unwatch("gw", watcher.get());
  table_.EndOfNode("a");
  EXPECT_THAT(watcher->ended, IsEmpty());
}

TEST_F(LeaseTableTest, TimeInWhichTheProcessStoodStillIsForgiven) {
  const std::string lease = Grant("gw", 1, "a");
  clock_.Advance(absl::Seconds(60));
  table_.Forgive(absl::Seconds(60));
  table_.ExpireDue();
  EXPECT_EQ(table_.Renew("gw", lease), Renewal::kRenewed);
}

TEST_F(LeaseTableTest, LeasesAreCountedByNodeAndVersion) {
  Grant("gw1", 1, "a");
  Grant("gw2", 1, "a");
  const std::string lease = Grant("gw1", 2, "a");
  auto nodes = table_.ByNode();
  EXPECT_EQ(nodes.at("a").leases, 3u);
  EXPECT_EQ(nodes.at("a").versions.at(DigestId(1)).leases, 2u);
  EXPECT_EQ(nodes.at("a").versions.at(DigestId(1)).memory_bytes, 128u << 20);
  table_.Release("gw1", {lease});
  EXPECT_FALSE(table_.ByNode().at("a").versions.contains(DigestId(2)));
  table_.EndOfNode("a");
  EXPECT_TRUE(table_.ByNode().empty());
}

TEST_F(LeaseTableTest, AStoppedTableTellsItsWatchersAndTakesNoMore) {
  const auto watcher = Watch("gw");
  table_.Stop();
  EXPECT_TRUE(watcher->stopping);
  EXPECT_EQ(table_.Watch("gw", watcher).code(), absl::StatusCode::kUnavailable);
}

TEST_F(LeaseTableTest, WatchersAreLimited) {
  for (std::size_t i = 0; i < limits::kMaxWatchers; ++i) Watch("gw");
  EXPECT_EQ(table_.Watch("gw", std::make_shared<testing::FakeLeaseWatcher>()).code(),
            absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace thaw::scheduler
