#include <gtest/gtest.h>

#include "scheduler/placement/policy/least_loaded.h"
#include "scheduler/placement/policy/prefer_warm.h"
#include "scheduler/placement/policy/snapshot_here.h"

namespace thaw::scheduler {
namespace {

const PlacementRequest kRequest = {"app/fn", "v", 128, {}, ""};

Candidate Node() {
  Candidate candidate;
  candidate.node_id = "n";
  candidate.cpus = 2;
  candidate.memory_total_bytes = 1024u << 20;
  return candidate;
}

TEST(PreferWarmTest, AnIdleInstanceBeatsNone) {
  Candidate warm = Node();
  warm.instances = 1;
  EXPECT_GT(PreferWarm().Score(kRequest, warm), PreferWarm().Score(kRequest, Node()));
}
TEST(PreferWarmTest, ABusyInstanceIsAsGoodAsNone) {
  Candidate busy = Node();
  busy.instances = busy.busy_instances = 2;
  EXPECT_EQ(PreferWarm().Score(kRequest, busy), PreferWarm().Score(kRequest, Node()));
}
TEST(PreferWarmTest, HowManyAreIdleDoesNotMatter) {
  Candidate one = Node(), three = Node();
  one.instances = 1;
  three.instances = 3;
  EXPECT_EQ(PreferWarm().Score(kRequest, one), PreferWarm().Score(kRequest, three));
}

TEST(SnapshotHereTest, AHolderBeatsANodeThatWouldHaveToFetch) {
  Candidate holder = Node();
  holder.holds_snapshot = true;
  EXPECT_GT(SnapshotHere().Score(kRequest, holder), SnapshotHere().Score(kRequest, Node()));
}

TEST(LeastLoadedTest, FewerRunningCallsWin) {
  Candidate busy = Node();
  busy.all_busy_instances = 1;
  EXPECT_LT(LeastLoaded().Score(kRequest, busy), LeastLoaded().Score(kRequest, Node()));
}
TEST(LeastLoadedTest, WaitingCallsCountAsRunningOnes) {
  Candidate waiting = Node(), busy = Node();
  waiting.all_waiting_calls = 1;
  busy.all_busy_instances = 1;
  EXPECT_EQ(LeastLoaded().Score(kRequest, waiting), LeastLoaded().Score(kRequest, busy));
}
TEST(LeastLoadedTest, ALargerNodeCarriesMore) {
  Candidate small = Node(), large = Node();
  small.all_busy_instances = 2;
  large.all_busy_instances = 3;
  large.cpus = 8;
  EXPECT_GT(LeastLoaded().Score(kRequest, large), LeastLoaded().Score(kRequest, small));
}
TEST(LeastLoadedTest, LeasesCountBeforeTheirCallsAreSeen) {
  Candidate leased = Node();
  leased.leases = 1;
  EXPECT_LT(LeastLoaded().Score(kRequest, leased), LeastLoaded().Score(kRequest, Node()));
}
TEST(LeastLoadedTest, ALeaseWhoseCallRunsCountsOnce) {
  Candidate running = Node(), leased = Node();
  running.leases = leased.leases = 1;
  running.all_busy_instances = 1;
  EXPECT_EQ(LeastLoaded().Score(kRequest, running), LeastLoaded().Score(kRequest, leased));
}
TEST(LeastLoadedTest, AmongIdleNodesTheOneWithMoreFreeMemoryWins) {
  Candidate full = Node();
  full.memory_reserved_bytes = 512u << 20;
  EXPECT_LT(LeastLoaded().Score(kRequest, full), LeastLoaded().Score(kRequest, Node()));
}
TEST(LeastLoadedTest, PromisedMemoryIsTakenMemory) {
  Candidate promised = Node(), reserved = Node();
  promised.memory_promised_bytes = reserved.memory_reserved_bytes = 256u << 20;
  EXPECT_EQ(LeastLoaded().Score(kRequest, promised), LeastLoaded().Score(kRequest, reserved));
}
TEST(LeastLoadedTest, ANodeThatDidNotSayWhatItHasIsNoDivisionByZero) {
  Candidate unknown;
  EXPECT_EQ(LeastLoaded().Score(kRequest, unknown), 0);
}

}  // namespace
}  // namespace thaw::scheduler
