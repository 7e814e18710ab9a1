#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/cluster.h"
#include "tests/support/process.h"

namespace thaw::testing {
namespace {

TEST(Bench, EveryKindOfStartIsMeasuredAndNoneFallsBack) {
  THAW_NEED_HOST();
  char pattern[] = "/tmp/tb-XXXXXX";
  const std::string dir = mkdtemp(pattern);
  const CommandResult run =
      RunCommand({THAW_BENCH_BINARY, "start", "--n", "1", "--json", dir + "/rows.json"}, absl::Minutes(3));
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  const auto json = nlohmann::json::parse(std::ifstream(dir + "/rows.json"), nullptr, false);
  std::filesystem::remove_all(dir);
  ASSERT_TRUE(json.is_object() && json.contains("rows")) << run.out << run.err;
  std::map<std::string, nlohmann::json> rows;
  for (const auto& row : json["rows"]) rows[row.value("case", "")] = row;
  for (const char* name : {"docker-run", "cold", "restored-no-slot", "restored-slot", "criu-by-hand", "restored-remote"}) {
    ASSERT_TRUE(rows.contains(name)) << json;
    EXPECT_EQ(rows[name].value("n", 0), 1) << json;
    EXPECT_EQ(rows[name].value("fell_back", -1), 0) << json;
    EXPECT_GT(rows[name].value("p50_ms", 0.0), 0.0) << json;
    EXPECT_GE(rows[name].value("p95_ms", 0.0), rows[name].value("p50_ms", 0.0)) << json;
  }
  EXPECT_EQ(rows.size(), 6u) << json;
}

}  // namespace
}  // namespace thaw::testing
