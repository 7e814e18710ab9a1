// What stands in a checkpoint's way, seen by the function's owner: named by `thaw snapshot explain`, and gone by a rule.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/system/suite.h"

namespace thaw::testing {
namespace {

namespace gw = thaw::gateway::v1;
namespace pb = thaw::common::v1;
using Json = nlohmann::json;

class ObstacleTest : public ClusterTest {
 protected:
  Cluster::Options ClusterOptions() override {
    Cluster::Options options;
    options.nodes = {"a", "b"};
    options.criu_wrapper = THAW_CRIU_WRAPPER;
    return options;
  }
  CommandResult Explain(const std::string& id, const std::vector<std::string>& more = {}) {
    std::vector<std::string> command = {THAW_CLI_BINARY, "--server", cluster().gateway_address(), "snapshot", "explain", id};
    command.insert(command.end(), more.begin(), more.end());
    return RunCommand(command);
  }
  // What `thaw snapshot explain --json` says of that occasion, the newest; null when it says nothing.
  Json Diagnosed(const std::string& id, const std::string& occasion) {
    const CommandResult explained = Explain(id, {"--json"});
    EXPECT_EQ(explained.exit_code, 0) << explained.err;
    const Json known = Json::parse(explained.out, nullptr, false);
    for (const Json& diagnosis : known.value("diagnoses", Json::array())) {
      if (diagnosis["occasion"] == occasion) return diagnosis;
    }
    return Json();
  }
  // The frames of the stack that opened what `what` is part of; "" when nothing of it was found.
  static std::string OpenedBy(const Json& diagnosis, const std::string& what) {
    for (const Json& finding : diagnosis.value("findings", Json::array())) {
      if (absl::StrContains(finding["what"].get<std::string>(), what)) return finding["opened_by"].dump();
    }
    return "";
  }
  TestFunction JavaFunction() {
    const auto image = JavaTestImage("holder", "io.thaw.testfn.Holder::hold");
    EXPECT_TRUE(image.ok()) << image.status();
    TestFunction function;
    function.image = image.value_or("");
    return function;
  }
  double Found(const std::string& kind) {
    return cluster().AgentMetric("a", "thaw_agent_obstacles_total", {"kind=\"" + kind + "\""});
  }
};

TEST_F(ObstacleTest, ConnectionInTheWay_IsNamedBeforeTheDump_AndGoneByARule) {
  TestFunction function;
  function.image = NativeImage("serve");
  function.memory_mib = 64;
  const std::string id = Create(function);
  EXPECT_NE(Explain(id).exit_code, 0) << "nothing runs, and nothing was tried";
  ASSERT_TRUE(cluster().Invoke(id, "", "a").ok());
  const CommandResult clean = Explain(id);
  EXPECT_EQ(clean.exit_code, 0) << clean.err;
  EXPECT_TRUE(absl::StrContains(clean.out, "nothing stands in the way")) << clean.out;

  const double found = Found("tcp");
  ASSERT_TRUE(cluster().Invoke(id, "tcp", "a").ok());
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(cluster().Invoke(id, "", "a").ok());
  EXPECT_TRUE(Eventually([&] { return Found("tcp") > found; }));
  EXPECT_TRUE(cluster().Snapshots(id).empty());
  EXPECT_TRUE(StartedAs(cluster().Invoke(id, "", "a"), gw::START_KIND_WARM)) << "it serves on";
  const CommandResult refused = Explain(id, {"--json"});
  ASSERT_EQ(refused.exit_code, 0) << refused.err;
  const Json known = Json::parse(refused.out, nullptr, false);
  bool looked = false;
  bool tried = false;
  for (const Json& diagnosis : known["diagnoses"]) {
    if (diagnosis["findings"].empty()) continue;
    EXPECT_EQ(diagnosis["findings"][0]["kind"], "tcp") << diagnosis;
    EXPECT_TRUE(diagnosis["findings"][0]["blocks"]) << diagnosis;
    EXPECT_EQ(diagnosis["raw_log"], "") << "CRIU was not asked";
    looked = looked || diagnosis["occasion"] == "look";
    tried = tried || (diagnosis["occasion"] == "checkpoint" && diagnosis["error"] != "");
  }
  EXPECT_TRUE(looked && tried) << refused.out;

  // The rule makes a new version, whose connections are closed.
  TestFunction ruled = function;
  auto* rule = ruled.freeze.add_rules();
  rule->set_kind(pb::OBSTACLE_KIND_TCP);
  rule->set_action(pb::OBSTACLE_ACTION_CLOSE);
  const std::string with_rule = Create(ruled, "ruled");
  ASSERT_TRUE(cluster().Invoke(with_rule, "tcp", "a").ok());
  ASSERT_NE(Freeze(with_rule, "a"), "");
  EXPECT_TRUE(StartedAs(cluster().Invoke(with_rule, "", "a"), gw::START_KIND_WARM)) << "the frozen one serves on";
  EndInstance(with_rule, "a");
  EXPECT_TRUE(StartedAs(cluster().Invoke(with_rule, "", "a"), gw::START_KIND_RESTORED));
  EXPECT_TRUE(StartedAs(cluster().Invoke(with_rule, "", "b"), gw::START_KIND_RESTORED_REMOTE));
  const CommandResult by_rule = Explain(with_rule);
  EXPECT_TRUE(absl::StrContains(by_rule.out, "it can be frozen: what was found has a rule")) << by_rule.out;
}

TEST_F(ObstacleTest, CriusOwnRefusal_ComesInTheSameForm_WithItsLogOnTheNode) {
  TestFunction function;
  function.image = NativeImage();
  function.memory_mib = 64;
  const std::string id = Create(function);
  ASSERT_TRUE(cluster().Invoke(id, "", "a").ok());
  SetCriuFault("a", id, "dump fail");
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(cluster().Invoke(id, "", "a").ok());
  ASSERT_TRUE(AwaitCriuFault("a", id));
  CommandResult raw;
  EXPECT_TRUE(Eventually([&] {
    raw = Explain(id, {"--raw-log"});
    return absl::StrContains(raw.out, "dump fails on demand");
  })) << raw.out << raw.err;
  EXPECT_TRUE(absl::StrContains(Explain(id).out, "dump fails on demand"));
  EXPECT_EQ(Names(cluster().data_dir("a") + "/criu-logs"), std::vector<std::string>{VersionOf(id) + ".log"});
  SetCriuFault("a", id, "");
}

TEST_F(ObstacleTest, AJavaFunctionWithTheAgent_TellsWhichCodeOpenedWhatIsInTheWay_RunningAndRefused) {
  TestFunction function = JavaFunction();
  function.config["JAVA_TOOL_OPTIONS"] = "-javaagent:/function/runtime/thaw-descriptors-0.1.0.jar";
  const std::string id = Create(function);
  ASSERT_TRUE(cluster().Invoke(id, "file /etc/hostname", "a").ok());
  const Answer connected = cluster().Invoke(id, "tcp", "a");
  ASSERT_TRUE(absl::StartsWith(connected.body, "connected to ")) << connected.body;
  const std::string peer = absl::StrCat("-> 127.0.0.1:", connected.body.substr(std::string("connected to ").size()));

  for (const char* which : {"first", "second"}) {
    const absl::Time begun = absl::Now();
    Diagnosed(id, "look");
    std::printf("the %s look at a JVM, with thaw's own start: %.0f ms\n", which, absl::ToDoubleMilliseconds(absl::Now() - begun));
  }
  const Json look = Diagnosed(id, "look");
  EXPECT_EQ(look["stacks"], "known") << look;
  EXPECT_EQ(look["error"], "") << look;
  EXPECT_TRUE(absl::StrContains(OpenedBy(look, "/etc/hostname"), "io.thaw.testfn.Holder.openFile(Holder.java:")) << look;
  EXPECT_TRUE(absl::StrContains(OpenedBy(look, peer), "io.thaw.testfn.Holder.connect(Holder.java:")) << look;
  // What a checkpoint would say of its random numbers, before there was one.
  EXPECT_TRUE(absl::StrContains(look["cures"].dump(), "java-random")) << look;
  EXPECT_EQ(look["uncured"], Json::array()) << look;
  const CommandResult table = Explain(id);
  EXPECT_TRUE(absl::StrContains(table.out, "io.thaw.testfn.Holder.connect(Holder.java:")) << table.out;
  EXPECT_TRUE(absl::StrContains(table.out, "randomness cured: ")) << table.out;
  EXPECT_FALSE(absl::StrContains(table.out, "javaagent")) << table.out;
  EXPECT_TRUE(StartedAs(cluster().Invoke(id, "", "a"), gw::START_KIND_WARM)) << "its connection is its callers' again";
  EXPECT_EQ(Diagnosed(id, "checkpoint"), Json()) << "three calls were answered: questions are none";

  for (int i = 0; i < 2; ++i) ASSERT_TRUE(cluster().Invoke(id, "", "a").ok());
  Json refused;
  ASSERT_TRUE(Eventually([&] {
    refused = Diagnosed(id, "checkpoint");
    return !refused.is_null();
  }));
  EXPECT_EQ(refused["stacks"], "known") << refused;
  EXPECT_NE(refused["error"], "") << refused;
  EXPECT_TRUE(absl::StrContains(OpenedBy(refused, "/etc/hostname"), "io.thaw.testfn.Holder.openFile(Holder.java:")) << refused;
  EXPECT_TRUE(absl::StrContains(OpenedBy(refused, peer), "io.thaw.testfn.Holder.connect(Holder.java:")) << refused;
  EXPECT_EQ(refused["cures"], look["cures"]) << "as the look has said";
  EXPECT_TRUE(cluster().Snapshots(id).empty());
  EXPECT_TRUE(StartedAs(cluster().Invoke(id, "", "a"), gw::START_KIND_WARM)) << "it serves on";
}

TEST_F(ObstacleTest, AJavaFunctionWithoutTheAgent_IsToldHowToHaveStacks_AndABusyOneIsNotAsked) {
  TestFunction function = JavaFunction();
  function.checkpoint_after = 0;
  const std::string id = Create(function);
  ASSERT_TRUE(cluster().Invoke(id, "file /etc/hostname", "a").ok());
  const CommandResult table = Explain(id);
  EXPECT_TRUE(absl::StrContains(table.out, "/etc/hostname")) << table.out;
  EXPECT_TRUE(absl::StrContains(table.out, "--config JAVA_TOOL_OPTIONS=-javaagent:/function/runtime/thaw-descriptors-")) << table.out;
  EXPECT_EQ(Diagnosed(id, "look")["stacks"], "off");

  Answer slept;
  std::thread call([&] { slept = cluster().Invoke(id, "sleep 4000", "a"); });
  Json busy;
  EXPECT_TRUE(Eventually([&] {
    busy = Diagnosed(id, "look");
    return busy["stacks"] == "busy";
  }, absl::Seconds(4)));
  EXPECT_TRUE(absl::StrContains(busy["findings"].dump(), "/etc/hostname")) << busy;
  call.join();
  EXPECT_EQ(slept.body, "slept") << "nobody was in its way";
}

}  // namespace
}  // namespace thaw::testing
