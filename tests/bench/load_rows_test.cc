// What `bench/run load` says of its figures: when it ends with 1, and the JSON that others read.
#include "bench/load_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thaw::bench {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

LoadRow Row(const std::string& target, int callers, double rps) {
  LoadRow row;
  row.target = target;
  row.callers = callers;
  row.rps = rps;
  row.p50 = absl::Microseconds(1234);
  row.p99 = absl::Milliseconds(56);
  row.calls = 1000;
  row.instances = 1;
  return row;
}

TEST(Complaints, NoneWhenEightyPercentOfTheBestAreLeftAtMostCallers) {
  EXPECT_THAT(Complaints({Row("thaw-http", 1, 400), Row("thaw-http", 32, 1000), Row("thaw-http", 128, 800)}, 2), IsEmpty());
}

TEST(Complaints, LessThanEightyPercentIsACollapse) {
  EXPECT_THAT(Complaints({Row("thaw-http", 32, 1000), Row("thaw-http", 128, 799), Row("thaw-grpc", 128, 500)}, 2),
              ElementsAre("thaw-http collapses: 799 calls/s by 128 callers are 80 % of its best, 1000 calls/s"));
}

TEST(Complaints, OnlyTheMostCallersCountAndEachTargetIsHeldAgainstItsOwnBest) {
  EXPECT_THAT(Complaints({Row("thaw-http", 1, 10), Row("thaw-http", 8, 1000), Row("thaw-http", 128, 990),
                          Row("thaw-grpc", 8, 100), Row("thaw-grpc", 128, 90)},
                         2),
              IsEmpty());
}

TEST(Complaints, TheFunctionByItselfMayCollapse) {
  EXPECT_THAT(Complaints({Row(kDirect, 1, 1000), Row(kDirect, 128, 10)}, 2), IsEmpty());
}

TEST(Complaints, EveryRowWithAFailedCallIsNamed) {
  LoadRow direct = Row(kDirect, 1, 1000), grpc = Row("thaw-grpc", 8, 1000);
  direct.errors = 1;
  grpc.errors = 7;
  EXPECT_THAT(Complaints({direct, grpc, Row("thaw-grpc", 128, 1000)}, 2),
              ElementsAre("1 of 1000 calls to direct by 1 callers failed", "7 of 1000 calls to thaw-grpc by 8 callers failed"));
}

TEST(Complaints, MoreInstancesThanProcessorsMeanThatCallsDidNotQueue) {
  LoadRow row = Row("thaw-http", 8, 1000);
  row.instances = 2;
  EXPECT_THAT(Complaints({row}, 2), IsEmpty());
  row.instances = 3;
  EXPECT_THAT(Complaints({row}, 2), ElementsAre(HasSubstr("was served by 3 instances")));
}

TEST(LoadJson, HasTheRowsWithTheirKeys) {
  LoadRow failed = Row("thaw-grpc", 128, 1234.9);
  failed.errors = 2;
  EXPECT_EQ(LoadJson({Row(kDirect, 1, 10), failed}), nlohmann::json::parse(R"({"rows": [
      {"target": "direct", "callers": 1, "rps": 10, "p50_ms": 1.234, "p99_ms": 56.0, "errors": 0},
      {"target": "thaw-grpc", "callers": 128, "rps": 1234, "p50_ms": 1.234, "p99_ms": 56.0, "errors": 2}]})"));
}

}  // namespace
}  // namespace thaw::bench
