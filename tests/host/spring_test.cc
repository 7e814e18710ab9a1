// examples/spring-hikari on two nodes and a real PostgreSQL: its pool is closed by Spring before the checkpoint and
// opened again after it, and after the restore on the other node.
#include <gtest/gtest.h>

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/ids/ids.h"
#include "tests/support/cluster.h"
#include "tests/support/process.h"

namespace thaw::testing {
namespace {

using Json = nlohmann::json;

// A PostgreSQL in a container of its own, gone afterwards.
class Database {
 public:
  absl::Status Start() {
    const CommandResult built = RunCommand({"docker", "build", "-q", "-t", "thaw-test/postgres:latest",
                                            THAW_SOURCE_DIR "/examples/spring-hikari/postgres"},
                                           absl::Minutes(10), {{"DOCKER_BUILDKIT", "0"}});
    if (built.exit_code != 0) return absl::InternalError(absl::StrCat("no PostgreSQL image: ", built.err, built.out));
    const CommandResult started = RunCommand({"docker", "run", "-d", "--name", name_, "thaw-test/postgres:latest"});
    if (started.exit_code != 0) return absl::InternalError(started.err);
    if (!Eventually([this] { return Ask("SELECT count(*) FROM quotes") == "2"; }, absl::Minutes(1))) {
      return absl::DeadlineExceededError(RunCommand({"docker", "logs", name_}).err);
    }
    return absl::OkStatus();
  }
  ~Database() { RunCommand({"docker", "rm", "-f", "-v", name_}); }

  std::string address() const {
    return std::string(absl::StripAsciiWhitespace(
        RunCommand({"docker", "inspect", "-f", "{{.NetworkSettings.IPAddress}}", name_}).out));
  }
  std::string Ask(const std::string& query) const {
    return std::string(absl::StripAsciiWhitespace(
        RunCommand({"docker", "exec", name_, "psql", "-h", "/tmp", "-U", "quotes", "-d", "quotes", "-tAc", query}).out));
  }
  // Connections of the function that are open now.
  std::string Connections() const {
    return Ask("SELECT count(*) FROM pg_stat_activity WHERE usename = 'quotes' AND client_addr IS NOT NULL");
  }

 private:
  const std::string name_ = "thaw-test-postgres-" + NewHexId(3);
};

TEST(SpringHikari, IsFrozenWithItsPoolClosedAndAnswersFromTheDatabaseOnAnotherNode) {
  THAW_NEED_HOST();
  Database database;
  ASSERT_TRUE(database.Start().ok());
  const auto image = JavaImageOf("spring", "spring-hikari", "com.example.quotes.QuoteFunction::find");
  ASSERT_TRUE(image.ok()) << image.status();
  Cluster::Options options;
  options.nodes = {"a", "b"};
  auto started = Cluster::Start(options);
  ASSERT_TRUE(started.ok()) << started.status();
  Cluster& cluster = **started;
  TestFunction function;
  function.image = *image;
  function.memory_mib = 512;
  function.config = {{"DB_URL", "jdbc:postgresql://" + database.address() + ":5432/quotes"},
                     {"DB_USER", "quotes"},
                     {"DB_PASSWORD", "quotes"}};
  const auto id = cluster.CreateFunction("quotes", function);
  ASSERT_TRUE(id.ok()) << id.status();

  const auto call = [&](const std::string& body, const std::string& node, double* ms) {
    const absl::Time begun = absl::Now();
    const Answer answer = cluster.Invoke(*id, body, node, absl::Minutes(1));
    if (ms != nullptr) *ms = absl::ToDoubleMilliseconds(absl::Now() - begun);
    EXPECT_TRUE(answer.ok()) << answer.status << cluster.Log(node);
    return Json::parse(answer.body, nullptr, false);
  };
  double cold_ms = 0, thawed_ms = 0, warm_ms = 0;
  const Json cold = call("winter", "a", &cold_ms);
  EXPECT_EQ(cold["text"], "A function that was warm once need not be cold again.") << cold;
  for (int i = 2; i <= 5; ++i) call("spring", "a", &warm_ms);
  ASSERT_TRUE(Eventually([&] { return cluster.Snapshots(*id).size() == 1; }, absl::Minutes(1))) << cluster.Log("a");

  // The instance that was frozen has a pool again, of new connections.
  const Json after = call("winter", "a", nullptr);
  EXPECT_EQ(after["jvm"], cold["jvm"]);
  EXPECT_NE(after["backend"], cold["backend"]);

  ASSERT_TRUE(cluster.AwaitSlots("b", 1, absl::Seconds(60))) << cluster.Log("b");
  const Json thawed = call("spring", "b", &thawed_ms);
  EXPECT_EQ(thawed["text"], "What is frozen with care thaws in order.") << thawed;
  EXPECT_EQ(thawed["jvm"], cold["jvm"]) << "the same JVM, thawed";
  EXPECT_NE(thawed["backend"], cold["backend"]);
  EXPECT_NE(thawed["backend"], after["backend"]);
  EXPECT_EQ(cluster.AgentMetric("b", "thaw_agent_starts_total", {"kind=\"restored-remote\"", "result=\"ok\""}), 1)
      << cluster.Log("b");
  EXPECT_GE(std::stoi(database.Connections()), 2) << "each copy has a pool of its own";

  // Once more where the snapshot lies by now: a restore without the transfer.
  double local_ms = 0;
  cluster.KillNode("b", true);
  ASSERT_TRUE(cluster.StartNode("b").ok());
  ASSERT_TRUE(cluster.AwaitNode("b", thaw::common::v1::NODE_STATE_READY));
  ASSERT_TRUE(cluster.AwaitSlots("b", 1, absl::Seconds(60))) << cluster.Log("b");
  const Json again = call("winter", "b", &local_ms);
  EXPECT_EQ(again["jvm"], cold["jvm"]);
  EXPECT_EQ(cluster.AgentMetric("b", "thaw_agent_starts_total", {"kind=\"restored\"", "result=\"ok\""}), 1) << cluster.Log("b");
  std::cout << "spring-hikari: cold " << cold_ms << " ms, thawed on another node " << thawed_ms << " ms, thawed where its "
            << "snapshot lies " << local_ms << " ms, warm " << warm_ms << " ms\n";
}

}  // namespace
}  // namespace thaw::testing
