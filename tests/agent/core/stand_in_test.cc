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

TEST(StandInTest, NotWhereAnotherServes) {
  StandInInput input = UnderLoad();
  input.others_serving = 1;
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
  input.since_asked = kStandInLimit;
  EXPECT_EQ(DecideStandIn(input), StandIn::kNotNeeded);
}

TEST(StandInTest, OneThatFailedIsNotTriedAgain) {
  StandInInput input = UnderLoad();
  input.since_asked = absl::Milliseconds(5);
  EXPECT_EQ(DecideStandIn(input), StandIn::kNotNeeded);
}

}  // namespace
}  // namespace thaw::agent
