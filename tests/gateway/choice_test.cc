#include "gateway/routing/choice.h"

#include <gtest/gtest.h>

namespace thaw::gateway {
namespace {

constexpr FunctionCosts kCosts = {.start = absl::Seconds(1), .answer = absl::Milliseconds(10)};

TEST(ChooseLeaseTest, TakesTheOneWithFewestOutstandingCalls) {
  EXPECT_EQ(ChooseLease({{.outstanding = 1, .concurrency = 4, .warm = true},
                         {.outstanding = 0, .concurrency = 4, .warm = true},
                         {.outstanding = 2, .concurrency = 4, .warm = true}},
                        kCosts),
            1u);
}

TEST(ChooseLeaseTest, PrefersAWarmNodeToAFreeColdOne) {
  EXPECT_EQ(ChooseLease({{.outstanding = 0, .concurrency = 1, .warm = false},
                         {.outstanding = 3, .concurrency = 1, .warm = true}},
                        kCosts),
            1u);
}

TEST(ChooseLeaseTest, GoesToAColdNodeWhenTheQueueIsLongerThanAStart) {
  EXPECT_EQ(ChooseLease({{.outstanding = 200, .concurrency = 1, .warm = true},
                         {.outstanding = 0, .concurrency = 1, .warm = false}},
                        kCosts),
            1u);
}

TEST(ChooseLeaseTest, CountsConcurrencyWhenItComparesQueues) {
  EXPECT_EQ(ChooseLease({{.outstanding = 4, .concurrency = 1, .warm = true},
                         {.outstanding = 8, .concurrency = 8, .warm = true}},
                        kCosts),
            1u);
}

TEST(ChooseLeaseTest, SpreadsAmongColdNodes) {
  EXPECT_EQ(ChooseLease({{.outstanding = 5, .concurrency = 1, .warm = false},
                         {.outstanding = 0, .concurrency = 1, .warm = false}},
                        kCosts),
            1u);
}

TEST(ChooseLeaseTest, TreatsAConcurrencyOfZeroAsOne) {
  EXPECT_EQ(ChooseLease({{.outstanding = 0, .concurrency = 0, .warm = true}}, kCosts), 0u);
}

}  // namespace
}  // namespace thaw::gateway
