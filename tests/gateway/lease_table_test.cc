#include "gateway/routing/lease_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/status/reasons.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_scheduler_client.h"

namespace thaw::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using ::thaw::testing::FakeClock;
using ::thaw::testing::FakeSchedulerClient;
using ::thaw::testing::MakeLease;

class LeaseTableTest : public ::testing::Test {
 protected:
  LeaseTableTest() {
    table_ = LeaseTable::Create({}, {.scheduler = &scheduler_,
                                     .clock = &clock_,
                                     .timers = &clock_,
                                     .metrics = &metrics_,
                                     .log = NullLogger()});
  }

  // What a call got; empty while it waits.
  struct Found {
    std::optional<absl::Status> status;
    std::unique_ptr<Route> route;
    bool waits() const { return !status.has_value(); }
    std::string node() const { return route == nullptr ? "" : route->lease().node_id; }
  };

  std::shared_ptr<Found> Find(LeaseTable::Request request) {
    auto found = std::make_shared<Found>();
    table_->Find(std::move(request), [found](absl::StatusOr<Route> route) {
      EXPECT_FALSE(found->status.has_value()) << "the callback came twice";
      found->status = route.status();
      if (route.ok()) found->route = std::make_unique<Route>(std::move(*route));
    });
    return found;
  }
  std::shared_ptr<Found> Find(const std::string& id = "fn") {
    LeaseTable::Request request;
    request.function.id = id;
    return Find(std::move(request));
  }
  std::shared_ptr<Found> FindPath(const std::string& path) {
    LeaseTable::Request request;
    request.function.path = path;
    return Find(std::move(request));
  }

  // Holds one lease, warm.
  void HoldLease(const std::string& id, const std::string& node, int concurrency = 1) {
    auto found = Find();
    scheduler_.Answer(MakeLease(id, node, "fn", concurrency));
    ASSERT_EQ(found->node(), node);
    Start start;
    start.kind = StartKind::kWarm;
    start.function = absl::Milliseconds(10);
    found->route->Answered(clock_.Now(), start);
  }

  std::string Metrics() const { return RenderMetrics(registry_); }

  prometheus::Registry registry_;
  GatewayMetrics metrics_{registry_};
  FakeClock clock_;
  FakeSchedulerClient scheduler_;
  std::shared_ptr<LeaseTable> table_;
};

TEST_F(LeaseTableTest, FirstCallWaitsForTheLeaseAndLaterOnesDoNotAskAgain) {
  auto first = Find();
  EXPECT_TRUE(first->waits());
  scheduler_.Answer(MakeLease("l1", "a"));
  EXPECT_EQ(first->node(), "a");
  first.reset();
  auto second = Find();
  EXPECT_EQ(second->node(), "a");
  EXPECT_EQ(scheduler_.requests().size(), 1u);
}

TEST_F(LeaseTableTest, ConcurrentFirstCallsShareOneAcquisition) {
  auto one = Find();
  auto two = Find();
  auto three = Find();
  ASSERT_EQ(scheduler_.requests().size(), 1u);
  scheduler_.Answer(MakeLease("l1", "a", "fn", 8));
  EXPECT_EQ(one->node(), "a");
  EXPECT_EQ(two->node(), "a");
  EXPECT_EQ(three->node(), "a");
}

TEST_F(LeaseTableTest, FunctionsDoNotShareLeases) {
  auto one = Find("fn");
  auto two = Find("other");
  ASSERT_EQ(scheduler_.acquires.size(), 2u);
  scheduler_.Answer(MakeLease("l1", "a", "fn"));
  EXPECT_EQ(one->node(), "a");
  EXPECT_TRUE(two->waits());
}

TEST_F(LeaseTableTest, PathIsResolvedOnceAndThenSharesTheLeaseWithTheId) {
  auto by_path = FindPath("app/fn");
  EXPECT_EQ(scheduler_.acquires.front().request.function.path, "app/fn");
  scheduler_.Answer(MakeLease("l1", "a", "fn", 4));
  EXPECT_EQ(by_path->node(), "a");
  EXPECT_EQ(FindPath("app/fn")->node(), "a");
  EXPECT_EQ(Find("fn")->node(), "a");
  EXPECT_EQ(scheduler_.requests().size(), 1u);
}

TEST_F(LeaseTableTest, ErrorOfTheSchedulerGoesToAllWaitersAndIsNotKept) {
  auto one = Find();
  auto two = Find();
  scheduler_.Answer(absl::NotFoundError("no such function"));
  EXPECT_TRUE(absl::IsNotFound(*one->status));
  EXPECT_TRUE(absl::IsNotFound(*two->status));
  auto later = Find();
  EXPECT_TRUE(later->waits());
  EXPECT_EQ(scheduler_.requests().size(), 2u);
}

TEST_F(LeaseTableTest, WaitersAreBounded) {
  LeaseTable::Options options;
  options.max_waiting = 2;
  table_ = LeaseTable::Create(options, {.scheduler = &scheduler_,
                                        .clock = &clock_,
                                        .timers = &clock_,
                                        .metrics = &metrics_,
                                        .log = NullLogger()});
  auto one = Find();
  auto two = Find();
  auto three = Find();
  ASSERT_FALSE(three->waits());
  EXPECT_TRUE(absl::IsResourceExhausted(*three->status));
  EXPECT_EQ(ReasonOf(*three->status), reason::kQueueFull);
  EXPECT_TRUE(RetryAfterOf(*three->status).has_value());
}

TEST_F(LeaseTableTest, CancelledWaiterLeavesItsPlaceAtOnceAndIsNotCalledAnyMore) {
  LeaseTable::Options options;
  options.max_waiting = 2;
  table_ = LeaseTable::Create(options, {.scheduler = &scheduler_,
                                        .clock = &clock_,
                                        .timers = &clock_,
                                        .metrics = &metrics_,
                                        .log = NullLogger()});
  const auto held = std::make_shared<int>(0);
  const auto find = [&] {
    LeaseTable::Request request;
    request.function.id = "fn";
    request.deadline = clock_.Now() + absl::Seconds(30);
    return table_->Find(std::move(request), [held](absl::StatusOr<Route>) { ADD_FAILURE() << "called"; });
  };
  const LeaseTable::Ticket one = find();
  const LeaseTable::Ticket two = find();
  EXPECT_EQ(held.use_count(), 3);
  EXPECT_TRUE(table_->Cancel(two));
  EXPECT_TRUE(table_->Cancel(one));
  EXPECT_FALSE(table_->Cancel(one)) << "it does not wait any more";
  EXPECT_EQ(held.use_count(), 1) << "what the callbacks held is gone";
  EXPECT_EQ(clock_.pending_timers(), 0u);
  auto third = Find();
  EXPECT_TRUE(third->waits());
  EXPECT_EQ(scheduler_.requests().size(), 1u) << "it joins the request that is under way";
  scheduler_.Answer(MakeLease("l1", "a"));
  EXPECT_EQ(third->node(), "a");
}

TEST_F(LeaseTableTest, AnsweredCallIsNotCancelled) {
  const auto ticket = std::make_shared<LeaseTable::Ticket>();
  LeaseTable::Request request;
  request.function.id = "fn";
  int routes = 0;
  *ticket = table_->Find(std::move(request), [this, ticket, &routes](absl::StatusOr<Route> route) {
    EXPECT_FALSE(table_->Cancel(*ticket));
    if (route.ok()) ++routes;
  });
  scheduler_.Answer(MakeLease("l1", "a"));
  EXPECT_EQ(routes, 1);
}

TEST_F(LeaseTableTest, WaiterGivesUpAtItsDeadlineAndTheOthersGoOn) {
  LeaseTable::Request hasty;
  hasty.function.id = "fn";
  hasty.deadline = clock_.Now() + absl::Seconds(1);
  auto one = Find(std::move(hasty));
  auto two = Find();
  clock_.Advance(absl::Milliseconds(1001));
  ASSERT_FALSE(one->waits());
  EXPECT_TRUE(absl::IsDeadlineExceeded(*one->status));
  EXPECT_TRUE(two->waits());
  scheduler_.Answer(MakeLease("l1", "a"));
  EXPECT_EQ(two->node(), "a");
}

TEST_F(LeaseTableTest, FirstCallWaitsAWhileForRoom) {
  auto found = Find();
  scheduler_.Answer(absl::ResourceExhaustedError("no room"));
  EXPECT_TRUE(found->waits());
  clock_.Advance(absl::Milliseconds(100));
  ASSERT_EQ(scheduler_.acquires.size(), 1u);
  scheduler_.Answer(MakeLease("l1", "a"));
  EXPECT_EQ(found->node(), "a");
}

TEST_F(LeaseTableTest, FirstCallFailsWhenThereIsNoRoomForLong) {
  scheduler_.set_on_acquire([](const auto&) { return absl::ResourceExhaustedError("no room"); });
  auto found = Find();
  clock_.Advance(absl::Seconds(6));
  ASSERT_FALSE(found->waits());
  EXPECT_TRUE(absl::IsResourceExhausted(*found->status));
  // Backed off: 0.1, 0.3, 0.7, 1.5, 2.5, 3.5, 4.5 s.
  EXPECT_EQ(scheduler_.requests().size(), 8u);
}

TEST_F(LeaseTableTest, ImpatientCallFailsAtOnceWhenThereIsNoRoom) {
  scheduler_.set_on_acquire([](const auto&) { return absl::ResourceExhaustedError("no room"); });
  LeaseTable::Request request;
  request.function.id = "fn";
  request.patient = false;
  EXPECT_FALSE(Find(std::move(request))->waits());
}

TEST_F(LeaseTableTest, NewFunctionFailsAtOnceWhenTheSchedulerIsAway) {
  scheduler_.set_on_acquire([](const auto&) { return SchedulerUnavailable("a node", "refused"); });
  auto found = Find();
  ASSERT_FALSE(found->waits());
  EXPECT_TRUE(absl::IsUnavailable(*found->status));
  EXPECT_EQ(ReasonOf(*found->status), reason::kSchedulerUnavailable);
  EXPECT_EQ(scheduler_.requests().size(), 1u);
}

TEST_F(LeaseTableTest, DeadSchedulerDoesNotStopWarmCalls) {
  table_->Start();
  scheduler_.ConfirmWatch();
  HoldLease("l1", "a");
  scheduler_.EndWatch();
  scheduler_.set_renewal(SchedulerUnavailable("the renewal", "refused"));
  scheduler_.set_on_acquire([](const auto&) { return SchedulerUnavailable("a node", "refused"); });
  // Far past the lease's 30 s, with calls now and then.
  for (int i = 0; i < 30; ++i) {
    clock_.Advance(absl::Seconds(20));
    ASSERT_EQ(Find()->node(), "a") << "after " << i;
  }
  EXPECT_FALSE(table_->connected());
  EXPECT_TRUE(table_->ever_connected());
}

TEST_F(LeaseTableTest, LeasesAreRenewedAtHalfOfTheirTimeInOneBatch) {
  table_->Start();
  auto one = Find("fn");
  scheduler_.Answer(MakeLease("l1", "a", "fn"));
  auto two = Find("other");
  scheduler_.Answer(MakeLease("l2", "b", "other"));
  clock_.Advance(absl::Seconds(14));
  EXPECT_THAT(scheduler_.renewals(), IsEmpty());
  clock_.Advance(absl::Seconds(2));
  ASSERT_EQ(scheduler_.renewals().size(), 1u);
  EXPECT_THAT(scheduler_.renewals()[0], UnorderedElementsAre("l1", "l2"));
}

TEST_F(LeaseTableTest, UnusedLeaseIsGivenBack) {
  table_->Start();
  HoldLease("l1", "a");
  clock_.Advance(absl::Seconds(59));
  EXPECT_EQ(table_->lease_count(), 1u);
  clock_.Advance(absl::Seconds(2));
  EXPECT_EQ(table_->lease_count(), 0u);
  EXPECT_THAT(scheduler_.released(), ElementsAre("l1"));
}

TEST_F(LeaseTableTest, LeaseWithALongCallIsNotGivenBack) {
  table_->Start();
  auto call = Find();
  scheduler_.Answer(MakeLease("l1", "a"));
  clock_.Advance(absl::Seconds(200));
  EXPECT_EQ(table_->lease_count(), 1u);
}

TEST_F(LeaseTableTest, OneCallerAfterTheOtherNeedsNoSecondLease) {
  HoldLease("l1", "a", 1);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Find()->node(), "a");
  EXPECT_EQ(scheduler_.requests().size(), 1u);
}

TEST_F(LeaseTableTest, FullLeasesAskForOneMoreInTheBackground) {
  HoldLease("l1", "a", 1);
  auto one = Find();
  EXPECT_EQ(one->node(), "a");
  EXPECT_THAT(scheduler_.acquires, IsEmpty());
  // This one makes no call wait: it goes to a, and the request for another node is beside it.
  auto two = Find();
  EXPECT_EQ(two->node(), "a");
  auto three = Find();
  EXPECT_EQ(three->node(), "a");
  ASSERT_EQ(scheduler_.acquires.size(), 1u);
  EXPECT_THAT(scheduler_.acquires.front().request.excluded_nodes, ElementsAre("a"));
  EXPECT_EQ(scheduler_.acquires.front().request.function.id, "fn");
  scheduler_.Answer(MakeLease("l2", "b", "fn", 1));
  EXPECT_EQ(table_->lease_count(), 2u);
}

TEST_F(LeaseTableTest, RefusedGrowthIsBackedOff) {
  HoldLease("l1", "a", 1);
  scheduler_.set_on_acquire([](const auto&) { return absl::ResourceExhaustedError("no room"); });
  auto one = Find();
  auto two = Find();
  const std::size_t first = scheduler_.requests().size();
  EXPECT_EQ(first, 2u);
  auto three = Find();
  EXPECT_EQ(scheduler_.requests().size(), first) << "asked again at once";
  clock_.Advance(absl::Milliseconds(1100));
  auto four = Find();
  EXPECT_EQ(scheduler_.requests().size(), first + 1);
  clock_.Advance(absl::Milliseconds(1100));
  auto five = Find();
  EXPECT_EQ(scheduler_.requests().size(), first + 1) << "the second pause is longer";
}

TEST_F(LeaseTableTest, BurstQueuesOnTheWarmNodeInsteadOfStartingElsewhere) {
  HoldLease("l1", "a", 1);
  std::vector<std::shared_ptr<Found>> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(Find());
  scheduler_.Answer(MakeLease("l2", "b", "fn", 1));
  for (int i = 0; i < 20; ++i) calls.push_back(Find());
  for (const auto& call : calls) EXPECT_EQ(call->node(), "a");
}

TEST_F(LeaseTableTest, ExcludedNodeIsNotChosenAndTheSchedulerIsToldOfIt) {
  HoldLease("l1", "a", 4);
  LeaseTable::Request request;
  request.function.id = "fn";
  request.excluded_nodes = {"a"};
  auto found = Find(std::move(request));
  ASSERT_TRUE(found->waits());
  EXPECT_THAT(scheduler_.acquires.front().request.excluded_nodes, ElementsAre("a"));
  scheduler_.Answer(MakeLease("l2", "b"));
  EXPECT_EQ(found->node(), "b");
}

TEST_F(LeaseTableTest, SchedulerThatChoosesAnExcludedNodeIsNotFollowed) {
  LeaseTable::Request request;
  request.function.id = "fn";
  request.excluded_nodes = {"a"};
  request.patient = false;
  auto found = Find(std::move(request));
  scheduler_.Answer(MakeLease("l1", "a"));
  ASSERT_FALSE(found->waits());
  EXPECT_TRUE(absl::IsUnavailable(*found->status));
  EXPECT_THAT(scheduler_.released(), ElementsAre("l1"));
}

TEST_F(LeaseTableTest, SchedulerThatAnswersForAnotherFunctionIsNotFollowed) {
  scheduler_.set_on_acquire([](const auto&) { return MakeLease("l1", "a", "another"); });
  LeaseTable::Request request;
  request.function.id = "fn";
  request.patient = false;
  auto found = Find(std::move(request));
  ASSERT_FALSE(found->waits());
  EXPECT_TRUE(absl::IsUnavailable(*found->status));
}

TEST_F(LeaseTableTest, PathThatTheSchedulerSpellsOtherwiseIsStillFoundByTheCallersSpelling) {
  auto found = FindPath("App/FN");
  scheduler_.Answer(MakeLease("l1", "a", "fn", 4));
  EXPECT_EQ(found->node(), "a");
  EXPECT_EQ(FindPath("App/FN")->node(), "a");
  EXPECT_EQ(scheduler_.requests().size(), 1u);
}

TEST_F(LeaseTableTest, PinnedCallGetsItsNodeAndNoOther) {
  HoldLease("l1", "a", 4);
  LeaseTable::Request request;
  request.function.id = "fn";
  request.pinned_node = "b";
  auto found = Find(request);
  ASSERT_TRUE(found->waits());
  EXPECT_EQ(scheduler_.acquires.front().request.pinned_node, "b");
  scheduler_.Answer(MakeLease("l2", "b"));
  EXPECT_EQ(found->node(), "b");
  found.reset();
  EXPECT_EQ(Find(request)->node(), "b");
  EXPECT_EQ(scheduler_.requests().size(), 2u);
}

TEST_F(LeaseTableTest, ChangedFunctionLosesItsLeasesAtOnce) {
  table_->Start();
  scheduler_.ConfirmWatch();
  HoldLease("l1", "a");
  scheduler_.Send({.ended_lease_ids = {}, .changed_function_ids = {"fn"}});
  EXPECT_EQ(table_->lease_count(), 0u);
  auto found = Find();
  EXPECT_TRUE(found->waits());
}

TEST_F(LeaseTableTest, LeaseFromBeforeAChangeIsNotUsed) {
  table_->Start();
  scheduler_.ConfirmWatch();
  auto found = Find();
  scheduler_.Send({.ended_lease_ids = {}, .changed_function_ids = {"fn"}});
  scheduler_.Answer(MakeLease("old", "a"));
  EXPECT_TRUE(found->waits());
  EXPECT_THAT(scheduler_.released(), ElementsAre("old"));
  ASSERT_EQ(scheduler_.acquires.size(), 1u);
  scheduler_.Answer(MakeLease("new", "a"));
  ASSERT_EQ(found->node(), "a");
  EXPECT_EQ(found->route->lease().id, "new");
}

TEST_F(LeaseTableTest, NewVersionReplacesTheOldOnesLeases) {
  HoldLease("l1", "a", 4);
  LeaseTable::Request request;
  request.function.id = "fn";
  request.pinned_node = "b";
  auto found = Find(request);
  Lease newer = MakeLease("l2", "b");
  newer.version_id = "version-2";
  scheduler_.Answer(newer);
  EXPECT_EQ(table_->lease_count(), 1u);
  EXPECT_THAT(scheduler_.released(), ElementsAre("l1"));
}

TEST_F(LeaseTableTest, EndedLeaseIsDroppedAndTheOthersStay) {
  table_->Start();
  scheduler_.ConfirmWatch();
  HoldLease("l1", "a", 4);
  LeaseTable::Request request;
  request.function.id = "fn";
  request.pinned_node = "b";
  auto pinned = Find(request);
  scheduler_.Answer(MakeLease("l2", "b", "fn", 4));
  scheduler_.Send({.ended_lease_ids = {"l1"}, .changed_function_ids = {}});
  EXPECT_EQ(Find()->node(), "b");
  EXPECT_THAT(scheduler_.released(), IsEmpty()) << "the scheduler ended it itself";
}

TEST_F(LeaseTableTest, LostNodeLosesTheLeasesOfAllFunctions) {
  auto one = Find("fn");
  scheduler_.Answer(MakeLease("l1", "a", "fn"));
  auto two = Find("other");
  scheduler_.Answer(MakeLease("l2", "a", "other"));
  table_->DropNode("a");
  EXPECT_EQ(table_->lease_count(), 0u);
  EXPECT_THAT(scheduler_.released(), UnorderedElementsAre("l1", "l2"));
}

TEST_F(LeaseTableTest, ChangedAppDropsItsFunctions) {
  auto one = Find("fn");
  scheduler_.Answer(MakeLease("l1", "a", "fn"));
  Lease elsewhere = MakeLease("l2", "a", "other");
  elsewhere.app_id = "another-app";
  auto two = Find("other");
  scheduler_.Answer(elsewhere);
  table_->AppChanged("app-id");
  EXPECT_EQ(table_->lease_count(), 1u);
}

TEST_F(LeaseTableTest, WatchIsOpenedAgainWithGrowingPauses) {
  table_->Start();
  EXPECT_EQ(scheduler_.watches(), 1);
  scheduler_.EndWatch();
  clock_.Advance(absl::Milliseconds(100));
  EXPECT_EQ(scheduler_.watches(), 2);
  scheduler_.EndWatch();
  clock_.Advance(absl::Milliseconds(100));
  EXPECT_EQ(scheduler_.watches(), 2);
  clock_.Advance(absl::Milliseconds(100));
  EXPECT_EQ(scheduler_.watches(), 3);
}

TEST_F(LeaseTableTest, ReconnectionRenewsAllLeasesAtOnce) {
  table_->Start();
  scheduler_.ConfirmWatch();
  HoldLease("l1", "a");
  scheduler_.EndWatch();
  clock_.Advance(absl::Milliseconds(100));
  EXPECT_THAT(scheduler_.renewals(), IsEmpty());
  scheduler_.ConfirmWatch();
  ASSERT_EQ(scheduler_.renewals().size(), 1u);
  EXPECT_THAT(scheduler_.renewals()[0], ElementsAre("l1"));
}

TEST_F(LeaseTableTest, RestartedSchedulerIsNotNoticedByWarmCalls) {
  table_->Start();
  scheduler_.ConfirmWatch();
  HoldLease("l1", "a");
  scheduler_.EndWatch();
  clock_.Advance(absl::Milliseconds(100));
  // It came back, knows no lease, and no node has come back to it yet.
  scheduler_.set_renewal(SchedulerClient::Renewal{.lease_ids = {}, .time_to_live = absl::Seconds(30)});
  scheduler_.set_on_acquire([](const auto&) { return absl::UnavailableError("no node is ready"); });
  scheduler_.ConfirmWatch();
  EXPECT_EQ(Find()->node(), "a");
  clock_.Advance(absl::Seconds(3));
  EXPECT_EQ(Find()->node(), "a");
  // The nodes are there again.
  scheduler_.set_renewal(std::nullopt);
  scheduler_.set_on_acquire([](const auto&) { return MakeLease("l2", "a"); });
  clock_.Advance(absl::Seconds(2));
  auto found = Find();
  ASSERT_EQ(found->node(), "a");
  EXPECT_EQ(found->route->lease().id, "l2");
  EXPECT_EQ(table_->lease_count(), 1u);
}

TEST_F(LeaseTableTest, LeaseThatNobodyKnowsEndsAfterAWhile) {
  table_->Start();
  scheduler_.ConfirmWatch();
  HoldLease("l1", "a");
  scheduler_.set_renewal(SchedulerClient::Renewal{.lease_ids = {}, .time_to_live = absl::Seconds(30)});
  scheduler_.set_on_acquire([](const auto&) { return absl::UnavailableError("no node is ready"); });
  clock_.Advance(absl::Seconds(16));
  EXPECT_EQ(table_->lease_count(), 1u);
  clock_.Advance(absl::Seconds(32));
  EXPECT_EQ(table_->lease_count(), 0u);
}

TEST_F(LeaseTableTest, LeaseOfADeletedFunctionEndsWithTheSchedulersWord) {
  table_->Start();
  scheduler_.ConfirmWatch();
  HoldLease("l1", "a");
  scheduler_.set_renewal(SchedulerClient::Renewal{.lease_ids = {}, .time_to_live = absl::Seconds(30)});
  scheduler_.set_on_acquire([](const auto&) { return absl::NotFoundError("no such function"); });
  clock_.Advance(absl::Seconds(16));
  EXPECT_EQ(table_->lease_count(), 0u);
}

TEST_F(LeaseTableTest, OutstandingCallsCarryOverToAReplacement) {
  HoldLease("l1", "a", 1);
  auto running = Find();
  auto two = Find();
  ASSERT_EQ(scheduler_.acquires.size(), 1u) << "one is outstanding, so the lease is full";
  // On the same node, as from a scheduler that has forgotten the first one.
  scheduler_.Answer(MakeLease("l2", "a", "fn", 1));
  EXPECT_EQ(table_->lease_count(), 1u);
  EXPECT_THAT(scheduler_.released(), ElementsAre("l1"));
  auto three = Find();
  EXPECT_EQ(scheduler_.acquires.size(), 1u) << "the running calls still fill it";
}

TEST_F(LeaseTableTest, ShutdownFailsWaitersAndGivesLeasesBack) {
  HoldLease("l1", "a", 1);
  auto waiting = Find("other");
  bool released = false;
  table_->Shutdown(absl::Seconds(1), [&released] { released = true; });
  EXPECT_TRUE(released);
  ASSERT_FALSE(waiting->waits());
  EXPECT_TRUE(absl::IsUnavailable(*waiting->status));
  EXPECT_THAT(scheduler_.released(), ElementsAre("l1"));
  EXPECT_TRUE(absl::IsUnavailable(*Find()->status));
  // What the scheduler still answers is given back, too.
  scheduler_.Answer(MakeLease("l2", "b", "other"));
  EXPECT_THAT(scheduler_.released(), ElementsAre("l1", "l2"));
}

TEST_F(LeaseTableTest, MetricsCountLeasesAndAnswers) {
  HoldLease("l1", "a");
  auto refused = Find("gone");
  scheduler_.Answer(absl::NotFoundError("no such function"));
  EXPECT_THAT(Metrics(), HasSubstr("thaw_gateway_leases 1"));
  EXPECT_THAT(Metrics(), HasSubstr("thaw_gateway_lease_acquisitions_total{outcome=\"granted\"} 1"));
  EXPECT_THAT(Metrics(), HasSubstr("thaw_gateway_lease_acquisitions_total{outcome=\"not_found\"} 1"));
}

TEST(MakeFunctionNameTest, TakesAnIdOrAPath) {
  EXPECT_EQ(MakeFunctionName("01ABC", "")->id, "01ABC");
  EXPECT_EQ(MakeFunctionName("", "app/fn")->path, "app/fn");
}

TEST(MakeFunctionNameTest, RefusesBothNeitherAndBadForms) {
  for (const auto& [id, path] : std::vector<std::pair<std::string, std::string>>{{"", ""},
                                                                                 {"a", "b/c"},
                                                                                 {"../etc", ""},
                                                                                 {"", "nothing"},
                                                                                 {"", "/fn"},
                                                                                 {"", "app/"},
                                                                                 {"", "a/b/c"},
                                                                                 {"", "a/b\n"},
                                                                                 {"", std::string(300, 'x') + "/f"}}) {
    const auto name = MakeFunctionName(id, path);
    EXPECT_TRUE(absl::IsInvalidArgument(name.status())) << id << "|" << path;
    EXPECT_EQ(ReasonOf(name.status()), reason::kInvalidField);
  }
}

}  // namespace
}  // namespace thaw::gateway
