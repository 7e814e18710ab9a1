#include "scheduler/lease/lease_issuer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/rpc/client.h"
#include "common/status/reasons.h"
#include "tests/scheduler/support/test_scheduler.h"

namespace thaw::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::TestScheduler;

TEST(LeaseIssuerTest, ALeaseSaysAllThatACallNeeds) {
  TestScheduler scheduler;
  const auto function = scheduler.MakeFunction("app", "fn");
  scheduler.Join("a");
  const auto lease = scheduler.Acquire("app/fn");
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_EQ(lease->node_id(), "a");
  EXPECT_EQ(lease->node_address(), "a.example:7300");
  EXPECT_EQ(lease->version().version_id(), function.version_id());
  EXPECT_EQ(lease->version().image_id(), testing::ImageId(1));
  EXPECT_EQ(FromProto(lease->time_to_live()), absl::Seconds(10));
  EXPECT_EQ(lease->concurrency(), 4u);
  v1::AcquireLeaseRequest by_id;
  by_id.set_gateway_id("gw");
  by_id.set_function_id(function.id());
  EXPECT_EQ(scheduler->issuer().Acquire(by_id)->lease_id(), lease->lease_id());
}

TEST(LeaseIssuerTest, ConcurrencyIsTwoPerCpuAsFarAsMemoryGoesAndAtLeastOne) {
  common::v1::VersionSpec version;
  Candidate node;
  node.cpus = 4;
  node.memory_total_bytes = 1024u << 20;
  version.set_memory_mib(64);
  EXPECT_EQ(ConcurrencyOf(node, version), 8u);
  version.set_memory_mib(300);
  EXPECT_EQ(ConcurrencyOf(node, version), 3u);
  version.set_memory_mib(1000);
  EXPECT_EQ(ConcurrencyOf(node, version), 1u);
  node.cpus = 0;
  EXPECT_EQ(ConcurrencyOf(node, version), 1u);
}

TEST(LeaseIssuerTest, WhatIsAskedForMustBeNamed) {
  TestScheduler scheduler;
  EXPECT_EQ(scheduler.Acquire("app/fn", "").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(scheduler.Acquire("").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(scheduler.Acquire("app/fn").status()), reason::kFunctionNotFound);
}

TEST(LeaseIssuerTest, AFunctionWithoutAnImageIsAFailedPrecondition) {
  TestScheduler scheduler;
  scheduler.Join("a");
  scheduler.MakeFunction("app", "fn", /*image=*/0);
  EXPECT_EQ(ReasonOf(scheduler.Acquire("app/fn").status()), reason::kImageUnavailable);
}

TEST(LeaseIssuerTest, MemoryPromisedToOneFunctionIsNotPromisedToTheNext) {
  TestScheduler scheduler;
  scheduler.MakeFunction("app", "one", 1, 600);
  scheduler.MakeFunction("app", "two", 2, 600);
  scheduler.Join("a");
  ASSERT_TRUE(scheduler.Acquire("app/one").ok());
  EXPECT_EQ(scheduler.Acquire("app/two").status().code(), absl::StatusCode::kResourceExhausted);
  // The same function's second gateway shares what was promised.
  EXPECT_TRUE(scheduler.Acquire("app/one", "gw2").ok());
}

TEST(LeaseIssuerTest, MemoryThatTheNodeReportsIsNotCountedTwice) {
  TestScheduler scheduler;
  const auto one = scheduler.MakeFunction("app", "one", 1, 400);
  scheduler.MakeFunction("app", "two", 2, 400);
  const auto session = scheduler.Join("a");
  ASSERT_TRUE(scheduler.Acquire("app/one").ok());
  v1::Heartbeat heartbeat;
  heartbeat.set_memory_reserved_bytes(400u << 20);
  auto& load = *heartbeat.add_versions();
  load.set_version_id(one.version_id());
  load.set_instances(1);
  ASSERT_TRUE(scheduler.Heartbeat(session, heartbeat).ok());
  EXPECT_TRUE(scheduler.Acquire("app/two").ok());
}

TEST(LeaseIssuerTest, IdleInstancesOfOtherFunctionsMakeRoomAndBusyOnesDoNot) {
  TestScheduler scheduler;
  const auto one = scheduler.MakeFunction("app", "one", 1, 500);
  scheduler.MakeFunction("app", "two", 2, 500);
  const auto session = scheduler.Join("a");
  v1::Heartbeat heartbeat;
  heartbeat.set_memory_reserved_bytes(1000u << 20);
  auto& load = *heartbeat.add_versions();
  load.set_version_id(one.version_id());
  load.set_instances(2);
  load.set_busy(2);
  ASSERT_TRUE(scheduler.Heartbeat(session, heartbeat).ok());
  EXPECT_EQ(scheduler.Acquire("app/two").status().code(), absl::StatusCode::kResourceExhausted);
  load.set_busy(1);
  ASSERT_TRUE(scheduler.Heartbeat(session, heartbeat).ok());
  EXPECT_TRUE(scheduler.Acquire("app/two").ok());
}

TEST(LeaseIssuerTest, ABurstBetweenTwoHeartbeatsSpreads) {
  TestScheduler scheduler;
  for (const char* node : {"a", "b", "c"}) scheduler.Join(node);
  std::map<std::string, int> by_node;
  for (int i = 0; i < 9; ++i) {
    scheduler.MakeFunction("app", absl::StrCat("fn", i), i + 1);
    const auto lease = scheduler.Acquire(absl::StrCat("app/fn", i));
    ASSERT_TRUE(lease.ok()) << lease.status();
    ++by_node[lease->node_id()];
  }
  EXPECT_EQ(by_node["a"], 3);
  EXPECT_EQ(by_node["b"], 3);
  EXPECT_EQ(by_node["c"], 3);
}

TEST(LeaseIssuerTest, AChangedFunctionIsLeasedInItsNewVersion) {
  TestScheduler scheduler;
  const auto function = scheduler.MakeFunction("app", "fn");
  scheduler.Join("a");
  const auto old = scheduler.Acquire("app/fn");
  auto watcher = std::make_shared<testing::FakeLeaseWatcher>();
  ASSERT_TRUE(scheduler->leases().Watch("gw", watcher).ok());
  common::v1::Function update;
  update.set_id(function.id());
  (*update.mutable_config())["K"] = "v";
  const auto updated = scheduler->catalogue().UpdateFunction(update);
  EXPECT_THAT(watcher->ended, ElementsAre(old->lease_id()));
  EXPECT_THAT(watcher->changed, ElementsAre(function.id()));
  EXPECT_THAT(scheduler.Renew({old->lease_id()}), IsEmpty());
  EXPECT_EQ(scheduler.Acquire("app/fn")->version().version_id(), updated->version_id());
}

TEST(LeaseIssuerTest, AChangedTimeoutEndsLeasesSoThatGatewaysLearnIt) {
  TestScheduler scheduler;
  const auto function = scheduler.MakeFunction("app", "fn");
  scheduler.Join("a");
  const auto old = scheduler.Acquire("app/fn");
  common::v1::Function update;
  update.set_id(function.id());
  *update.mutable_timeout() = ToProto(absl::Seconds(3));
  ASSERT_TRUE(scheduler->catalogue().UpdateFunction(update).ok());
  EXPECT_THAT(scheduler.Renew({old->lease_id()}), IsEmpty());
  const auto lease = scheduler.Acquire("app/fn");
  EXPECT_EQ(lease->version().version_id(), old->version().version_id());
  EXPECT_EQ(FromProto(lease->version().timeout()), absl::Seconds(3));
}

TEST(LeaseIssuerTest, ADeletedFunctionsLeasesEnd) {
  TestScheduler scheduler;
  const auto function = scheduler.MakeFunction("app", "fn");
  scheduler.Join("a");
  const auto lease = scheduler.Acquire("app/fn");
  ASSERT_TRUE(scheduler->catalogue().DeleteFunction(function.id()).ok());
  EXPECT_THAT(scheduler.Renew({lease->lease_id()}), IsEmpty());
  EXPECT_EQ(scheduler.Acquire("app/fn").status().code(), absl::StatusCode::kNotFound);
}

TEST(LeaseIssuerTest, ASuspectNodeKeepsItsLeasesAndGetsNoNewOnes) {
  TestScheduler scheduler;
  scheduler.MakeFunction("app", "fn");
  const auto session = scheduler.Join("a");
  const auto lease = scheduler.Acquire("app/fn");
  scheduler->cluster().Disconnect(session);
  EXPECT_THAT(scheduler.Renew({lease->lease_id()}), ElementsAre(lease->lease_id()));
  EXPECT_EQ(scheduler.Acquire("app/fn").status().code(), absl::StatusCode::kUnavailable);
}

// --- a restart of the scheduler ---

TEST(LeaseIssuerRestartTest, ALeaseFromBeforeIsTakenOverWhileItsNodeMayStillComeBack) {
  TestScheduler scheduler;
  scheduler.MakeFunction("app", "fn");
  scheduler.Join("a");
  const std::string lease = scheduler.Acquire("app/fn")->lease_id();
  scheduler.Restart();
  // The node has not registered again yet.
  EXPECT_EQ(scheduler->nodes().StateOf("a"), common::v1::NODE_STATE_SUSPECT);
  EXPECT_THAT(scheduler.Renew({lease}), ElementsAre(lease));
  EXPECT_EQ(scheduler.Metric("thaw_scheduler_leases_granted_total{kind=\"adopted\"}"), 1);
  scheduler.clock.Advance(absl::Seconds(2));
  scheduler.Join("a");
  EXPECT_THAT(scheduler.Renew({lease}), ElementsAre(lease));
  // And the gateway that asks again gets the one it has.
  EXPECT_EQ(scheduler.Acquire("app/fn")->lease_id(), lease);
}

TEST(LeaseIssuerRestartTest, ALeaseOnANodeThatDoesNotComeBackEndsWhenTheNodeIsLost) {
  TestScheduler scheduler;
  scheduler.MakeFunction("app", "fn");
  scheduler.Join("a");
  const std::string lease = scheduler.Acquire("app/fn")->lease_id();
  scheduler.Restart();
  auto watcher = std::make_shared<testing::FakeLeaseWatcher>();
  ASSERT_TRUE(scheduler->leases().Watch("gw", watcher).ok());
  EXPECT_THAT(scheduler.Renew({lease}), ElementsAre(lease));
  scheduler.clock.Advance(absl::Seconds(5.5));
  EXPECT_THAT(watcher->ended, ElementsAre(lease));
  EXPECT_THAT(scheduler.Renew({lease}), IsEmpty());
  EXPECT_EQ(scheduler.Metric("thaw_scheduler_leases_ended_total{cause=\"node_lost\"}"), 1);
}

TEST(LeaseIssuerRestartTest, ALeaseOfAVersionThatIsGoneIsNotTakenOver) {
  TestScheduler scheduler;
  const auto function = scheduler.MakeFunction("app", "fn");
  scheduler.Join("a");
  const std::string lease = scheduler.Acquire("app/fn")->lease_id();
  scheduler.Restart();
  ASSERT_TRUE(scheduler->catalogue().DeleteFunction(function.id()).ok());
  EXPECT_THAT(scheduler.Renew({lease}), IsEmpty());
}

TEST(LeaseIssuerRestartTest, ALeaseOnANodeThatNobodyKnowsIsNotTakenOver) {
  TestScheduler scheduler;
  const auto function = scheduler.MakeFunction("app", "fn");
  EXPECT_THAT(scheduler.Renew({absl::StrCat("L.", function.version_id(), ".ghost.e0-1"), "nonsense"}), IsEmpty());
}

TEST(LeaseIssuerRestartTest, ALeaseThatEndedInThisProcessIsNotRevived) {
  TestScheduler scheduler;
  scheduler.MakeFunction("app", "fn");
  scheduler.Join("a");
  const std::string lease = scheduler.Acquire("app/fn")->lease_id();
  v1::ReleaseLeasesRequest release;
  release.set_gateway_id("gw");
  release.add_lease_ids(lease);
  ASSERT_TRUE(scheduler->issuer().Release(release).ok());
  EXPECT_THAT(scheduler.Renew({lease}), IsEmpty());
}

}  // namespace
}  // namespace thaw::scheduler
