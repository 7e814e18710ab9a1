#include "agent/init/random_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace thaw::init {
namespace {

TEST(RandomFactsTest, AProcessIsDescribedByItsMappings) {
  RandomFacts facts;
  const ProcessFacts self = facts.Of(::getpid());
  EXPECT_THAT(self.program, testing::EndsWith("agent_init_test"));
  EXPECT_FALSE(self.is_static);
  EXPECT_FALSE(self.has_node || self.has_python || self.has_java);
  EXPECT_EQ(facts.Of(4'000'000).program, "");
}

}  // namespace
}  // namespace thaw::init
