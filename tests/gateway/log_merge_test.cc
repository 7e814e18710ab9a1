#include "gateway/service/log_merge.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace thaw::gateway {
namespace {

// Reads all that can come out, as `node:text`, asking nodes for their next line where `next` has one.
std::string Drain(LogMerge& merge, std::map<std::string, std::vector<std::string>>& next) {
  std::string out;
  while (auto line = merge.Pop()) {
    out += line->node_id + ":" + line->text.substr(line->text.find(' ') + 1) + " ";
    auto& lines = next[line->node_id];
    if (lines.empty()) {
      merge.End(line->node_id);
    } else {
      EXPECT_TRUE(merge.Push(line->node_id, lines.front()));
      lines.erase(lines.begin());
    }
  }
  return out;
}

TEST(LogMergeTest, LinesComeOutByTimeAcrossNodes) {
  LogMerge merge;
  merge.Add("a");
  merge.Add("b");
  std::map<std::string, std::vector<std::string>> next = {{"a", {"2026-01-01T00:00:04Z 4"}},
                                                          {"b", {"2026-01-01T00:00:03Z 3", "2026-01-01T00:00:05Z 5"}}};
  EXPECT_TRUE(merge.Push("a", "2026-01-01T00:00:01Z 1"));
  EXPECT_EQ(Drain(merge, next), "") << "b may have an older one";
  EXPECT_TRUE(merge.Push("b", "2026-01-01T00:00:02Z 2"));
  EXPECT_EQ(Drain(merge, next), "a:1 b:2 b:3 a:4 b:5 ");
  EXPECT_TRUE(merge.done());
}

TEST(LogMergeTest, NodeWithoutLinesHoldsNobodyBackOnceItEnds) {
  LogMerge merge;
  std::map<std::string, std::vector<std::string>> next;
  merge.Add("a");
  merge.Add("b");
  EXPECT_TRUE(merge.Push("a", "2026-01-01T00:00:01Z 1"));
  EXPECT_FALSE(merge.Pop().has_value());
  merge.End("b");
  EXPECT_EQ(Drain(merge, next), "a:1 ");
}

TEST(LogMergeTest, SettledMergeWaitsForNobody) {
  LogMerge merge;
  merge.Add("a");
  merge.Add("b");
  EXPECT_TRUE(merge.Push("a", "2026-01-01T00:00:01Z 1"));
  merge.Settle();
  ASSERT_TRUE(merge.Pop().has_value());
  EXPECT_FALSE(merge.Pop().has_value());
  EXPECT_FALSE(merge.done());
}

TEST(LogMergeTest, LastLineOfANodeThatEndedStillComesOut) {
  LogMerge merge;
  merge.Add("a");
  EXPECT_TRUE(merge.Push("a", "2026-01-01T00:00:01Z 1"));
  merge.End("a");
  EXPECT_FALSE(merge.done());
  EXPECT_TRUE(merge.Pop().has_value());
  EXPECT_TRUE(merge.done());
}

TEST(LogMergeTest, NodeThatComesBackDoesNotRepeatItself) {
  LogMerge merge;
  merge.Settle();
  merge.Add("a");
  EXPECT_TRUE(merge.Push("a", "2026-01-01T00:00:02Z 2"));
  ASSERT_TRUE(merge.Pop().has_value());
  merge.End("a");
  merge.Add("a");
  EXPECT_FALSE(merge.Push("a", "2026-01-01T00:00:01Z 1"));
  EXPECT_FALSE(merge.Push("a", "2026-01-01T00:00:02Z 2"));
  EXPECT_TRUE(merge.Push("a", "2026-01-01T00:00:03Z 3"));
  EXPECT_EQ(merge.Pop()->text, "2026-01-01T00:00:03Z 3");
}

}  // namespace
}  // namespace thaw::gateway
