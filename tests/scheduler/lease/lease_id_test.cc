#include "scheduler/lease/lease_id.h"

#include <gtest/gtest.h>

#include <string>

namespace thaw::scheduler {
namespace {

TEST(LeaseIdTest, WhatWasEncodedIsParsed) {
  for (const char* node : {"a", "node-1", "node.with.dots", "n_0-9.x"}) {
    const LeaseId id{std::string(32, 'a'), node, "0123abcd", "fedcba9876543210"};
    const auto parsed = LeaseId::Parse(id.Encode());
    ASSERT_TRUE(parsed.has_value()) << id.Encode();
    EXPECT_EQ(parsed->version_id, id.version_id);
    EXPECT_EQ(parsed->node_id, node);
    EXPECT_EQ(parsed->epoch, id.epoch);
    EXPECT_EQ(parsed->number, id.number);
  }
}

TEST(LeaseIdTest, OtherTextIsNoLease) {
  const std::string version(32, 'a');
  for (const std::string& text :
       {std::string(), std::string("L."), "X." + version + ".n.e-1", "L." + version, "L." + version + ".n",
        "L." + version + ".n.e", "L." + version + ".n.-1", "L." + version + ".n.e-", "L." + version + "..e-1",
        std::string("L.short.n.e-1"), "L." + version + ".no/de.e-1", "L." + version + ".-n.e-1"}) {
    EXPECT_FALSE(LeaseId::Parse(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace thaw::scheduler
