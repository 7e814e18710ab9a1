#include "agent/pool/start_rule.h"

#include <gtest/gtest.h>

namespace thaw::agent {
namespace {

StartRuleInput Input(std::size_t waiting, std::size_t serving, std::size_t starting) {
  StartRuleInput input;
  input.waiting = waiting;
  input.serving = serving;
  input.starting = starting;
  input.max_instances = 4;
  input.expected_start = absl::Milliseconds(300);
  return input;
}

TEST(StartRule, FirstCallStartsTheFirstInstance) { EXPECT_TRUE(ShouldStartInstance(Input(1, 0, 0))); }

TEST(StartRule, NobodyWaitingStartsNothing) { EXPECT_FALSE(ShouldStartInstance(Input(0, 0, 0))); }

TEST(StartRule, CallsBehindTheFirstStartWaitForIt) { EXPECT_FALSE(ShouldStartInstance(Input(20, 0, 1))); }

TEST(StartRule, ManyShortCallsQueue) {
  StartRuleInput input = Input(127, 1, 0);
  input.mean_call = absl::Microseconds(500);
  input.oldest_running = absl::Microseconds(300);
  EXPECT_FALSE(ShouldStartInstance(input));
}

TEST(StartRule, LongCallsGetCompany) {
  StartRuleInput input = Input(1, 1, 0);
  input.mean_call = absl::Seconds(1);
  EXPECT_TRUE(ShouldStartInstance(input));
}

TEST(StartRule, ACallThatHangsCountsByItsAge) {
  StartRuleInput input = Input(1, 1, 0);
  input.mean_call = absl::Milliseconds(1);
  input.oldest_running = absl::Milliseconds(299);
  EXPECT_FALSE(ShouldStartInstance(input));
  input.oldest_running = absl::Milliseconds(301);
  EXPECT_TRUE(ShouldStartInstance(input));
}

TEST(StartRule, AStallOfTheMachineDoesNotMultiplyByTheQueue) {
  StartRuleInput input = Input(127, 1, 0);
  input.mean_call = absl::Microseconds(500);
  input.oldest_running = absl::Milliseconds(16);
  EXPECT_FALSE(ShouldStartInstance(input));
}

TEST(StartRule, AStartUnderWayTakesOneCallOfTheQueue) {
  StartRuleInput input = Input(1, 1, 1);
  input.mean_call = absl::Seconds(10);
  EXPECT_FALSE(ShouldStartInstance(input));
  input.waiting = 2;
  EXPECT_TRUE(ShouldStartInstance(input));
}

TEST(StartRule, NeverBeyondTheLimit) {
  StartRuleInput input = Input(1000, 3, 1);
  input.mean_call = absl::Seconds(10);
  EXPECT_FALSE(ShouldStartInstance(input));
}

}  // namespace
}  // namespace thaw::agent
