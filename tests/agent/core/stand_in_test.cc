#include "agent/pool/stand_in.h"

#include <gtest/gtest.h>

namespace thaw::agent {
namespace {

StandInInput UnderLoad() {
  StandInInput input;
  input.has_snapshot = true;
  input.since_last_call = absl::Milliseconds(2);
  return input;
}

TEST(StandInTest, TheOnlyInstanceUnderLoadGetsOneBeforeItIsFrozen) {
  EXPECT_EQ(DecideStandIn(UnderLoad()), StandIn::kStart);
}

TEST(StandInTest, WhereOthersServeTheyMustHaveServedAloneForAMoment) {
  StandInInput input = UnderLoad();
  input.others_serving = 1;
  EXPECT_EQ(DecideStandIn(input), StandIn::kWait) << "they left a call to it 2 ms ago";
  input.since_last_call = kAlone;
  EXPECT_EQ(DecideStandIn(input), StandIn::kNotNeeded);
}

TEST(StandInTest, UnderManyCallsTheyMayHaveNeededItForAFew) {
  StandInInput input = UnderLoad();
  input.others_serving = 1;
  input.calls = 1000;
  input.helped = 50;
  input.counted_for = kAlone - absl::Milliseconds(1);
  EXPECT_EQ(DecideStandIn(input), StandIn::kWait) << "not counted for long enough";
  input.counted_for = kAlone;
  EXPECT_EQ(DecideStandIn(input), StandIn::kNotNeeded);
  input.helped = 51;
  EXPECT_EQ(DecideStandIn(input), StandIn::kWait);
}

TEST(StandInTest, OthersThatAreNeverQuickEnoughAreNotWaitedForForEver) {
  StandInInput input = UnderLoad();
  input.others_serving = 3;
  input.since_granted = kStandInLimit - absl::Milliseconds(1);
  EXPECT_EQ(DecideStandIn(input), StandIn::kWait);
  input.since_granted = kStandInLimit;
  EXPECT_EQ(DecideStandIn(input), StandIn::kNotNeeded);
}

TEST(StandInTest, NotWhereItWouldStartCold) {
  StandInInput input = UnderLoad();
  input.has_snapshot = false;
  EXPECT_EQ(DecideStandIn(input), StandIn::kNotNeeded);
}

TEST(StandInTest, NotWhereNoCallsCome) {
  StandInInput input = UnderLoad();
  input.since_last_call = kSteadyCalls;
  EXPECT_EQ(DecideStandIn(input), StandIn::kNotNeeded);
}

TEST(StandInTest, ItIsWaitedForWhileItStartsAndNotForEver) {
  StandInInput input = UnderLoad();
  input.starting = true;
  input.since_asked = absl::ZeroDuration();
  EXPECT_EQ(DecideStandIn(input), StandIn::kWait);
  input.since_granted = kStandInLimit;
  EXPECT_EQ(DecideStandIn(input), StandIn::kNotNeeded);
}

TEST(StandInTest, OneThatFailedIsNotTriedAgain) {
  StandInInput input = UnderLoad();
  input.since_asked = absl::Milliseconds(5);
  EXPECT_EQ(DecideStandIn(input), StandIn::kNotNeeded);
}

}  // namespace
}  // namespace thaw::agent
