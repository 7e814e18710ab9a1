// Functions on the official FDKs, and one without any, in images that have nothing of Thaw's: frozen and thawed as they are.
// One case a row of docs/languages.md; what each row shows is printed.
#include <signal.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "tests/system/suite.h"

namespace thaw::testing {
namespace {

namespace gw = thaw::gateway::v1;

struct Process {
  int pid = 0;  // on the host
  std::string command;
};

class LanguagesTest : public ClusterTest {
 protected:
  Cluster::Options ClusterOptions() override {
    Cluster::Options options;
    options.nodes = {"a", "b"};
    return options;
  }

  // Everything that the containers of the function on `node` run, but for thaw-init and CRIU.
  std::vector<Process> Processes(const std::string& node, const std::string& function_id) {
    std::vector<Process> processes;
    for (const std::string& container : cluster().Containers(node, "label=thaw.function=" + function_id)) {
      const CommandResult top = RunCommand({"docker", "top", container, "-eo", "pid,args"});
      for (absl::string_view line : absl::StrSplit(top.out, '\n', absl::SkipEmpty())) {
        const std::pair<absl::string_view, absl::string_view> fields =
            absl::StrSplit(absl::StripAsciiWhitespace(line), absl::MaxSplits(' ', 1));
        Process process{0, std::string(absl::StripAsciiWhitespace(fields.second))};
        if (!absl::SimpleAtoi(fields.first, &process.pid) || absl::StartsWith(process.command, "/thaw/")) continue;
        // One that is ending has no arguments any more, but a name.
        if (process.command == "[criu]" || process.command == "[criu] <defunct>") continue;
        processes.push_back(process);
      }
    }
    return processes;
  }

  // Kills the function's instance on `node` and waits until the agent has seen it.
  void KillInstance(const std::string& node, const std::string& function_id) {
    const std::vector<Process> processes = Processes(node, function_id);
    ASSERT_FALSE(processes.empty());
    for (const Process& process : processes) kill(process.pid, SIGKILL);
    ASSERT_TRUE(cluster().AwaitInstances(node, 0));
  }

  static std::string StatusField(int pid, absl::string_view field) {
    for (absl::string_view line : absl::StrSplit(ReadFileOrEmpty(absl::StrCat("/proc/", pid, "/status")), '\n')) {
      if (absl::ConsumePrefix(&line, absl::StrCat(field, ":"))) return std::string(absl::StripAsciiWhitespace(line));
    }
    return "";
  }

  // uid 1000, no capability in any set and no way to get one.
  static void ExpectNoPrivilege(const Process& process) {
    EXPECT_EQ(StatusField(process.pid, "Uid"), "1000\t1000\t1000\t1000") << process.command;
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
      EXPECT_EQ(StatusField(process.pid, set), "0000000000000000") << set << " of " << process.command;
    }
    EXPECT_EQ(StatusField(process.pid, "NoNewPrivs"), "1") << process.command;
    EXPECT_EQ(StatusField(process.pid, "Seccomp"), "2") << process.command;
  }

  void ExpectNoPrivilege(const std::string& node, const std::string& function_id) {
    const std::vector<Process> processes = Processes(node, function_id);
    EXPECT_FALSE(processes.empty());
    for (const Process& process : processes) ExpectNoPrivilege(process);
  }

  // The function counts its calls in memory, and answers `prefix`, the count, `suffix`.
  void FreezesAndThaws(const std::string& language, std::uint32_t memory_mib, const char* prefix = "", const char* suffix = "") {
    TestFunction function;
    function.image = absl::StrCat("thaw-test/language-", language, ":latest");
    function.memory_mib = memory_mib;
    ASSERT_EQ(RunCommand({"docker", "image", "inspect", function.image}).exit_code, 0)
        << "no image " << function.image << "; tests/functions/languages/build makes it";
    const std::string id = Create(function);
    const auto count = [&](int number) { return absl::StrCat(prefix, number, suffix); };

    const Answer first = cluster().Invoke(id, "", "a");
    ASSERT_TRUE(StartedAs(first, gw::START_KIND_COLD));
    EXPECT_EQ(first.body, count(1));
    ExpectNoPrivilege("a", id);
    for (int i = 2; i <= 5; ++i) EXPECT_EQ(cluster().Invoke(id, "", "a").body, count(i));
    ASSERT_TRUE(Eventually([&] { return !cluster().Snapshots(id).empty(); }, absl::Seconds(30)))
        << cluster().Log("a").substr(cluster().Log("a").size() / 2);
    KillInstance("a", id);

    // In another container, on a node that has never run it.
    const Answer elsewhere = cluster().Invoke(id, "", "b");
    EXPECT_TRUE(StartedAs(elsewhere, gw::START_KIND_RESTORED_REMOTE));
    EXPECT_EQ(elsewhere.body, count(6)) << "its count is in the snapshot";
    EXPECT_EQ(cluster().Invoke(id, "", "b").body, count(7));
    ExpectNoPrivilege("b", id);
    // Once more from the snapshot, which knows nothing of what the other has counted.
    const Answer here = cluster().Invoke(id, "", "a");
    EXPECT_TRUE(StartedAs(here, gw::START_KIND_RESTORED));
    EXPECT_EQ(here.body, count(6));
    EXPECT_EQ(cluster().Invoke(id, "", "a").body, count(7));
    for (const char* node : {"a", "b"}) {
      EXPECT_EQ(cluster().AgentMetric(node, "thaw_agent_starts_total", {"result=\"fell_back\""}), 0) << node;
    }

    const auto snapshot = cluster().Snapshots(id).at(0);
    const auto ms = [](const google::protobuf::Duration& duration) {
      return static_cast<double>(duration.seconds()) * 1e3 + duration.nanos() / 1e6;
    };
    std::printf("%s: cold %.0f ms, dump %.0f ms, restore %.0f ms (elsewhere %.0f ms), first answer after it %.1f ms, "
                "snapshot %.1f MB (%.1f MB compressed)\n",
                language.c_str(), ms(first.start.total()), ms(snapshot.checkpoint_duration()), ms(here.start.phases().restore()),
                ms(elsewhere.start.phases().restore()), ms(here.start.phases().function()),
                static_cast<double>(snapshot.raw_bytes()) / 1e6, static_cast<double>(snapshot.stored_bytes()) / 1e6);
    KillInstance("b", id);
    KillInstance("a", id);
  }
};

TEST_F(LanguagesTest, PythonOnTheOfficialFdk_IsThawedWhereItWasFrozen) { FreezesAndThaws("python", 128); }

TEST_F(LanguagesTest, NodeOnTheOfficialFdk_IsThawedWhereItWasFrozen) { FreezesAndThaws("node", 256); }

TEST_F(LanguagesTest, GoOnTheOfficialFdk_InAnImageWithoutLibc_IsThawedWhereItWasFrozen) { FreezesAndThaws("go", 64); }

TEST_F(LanguagesTest, JavaOnTheOfficialFdk_IsThawedWhereItWasFrozen) { FreezesAndThaws("java", 256); }

TEST_F(LanguagesTest, JavaOnJdk17OfDebian12_WithAnOlderLibc_IsThawedWhereItWasFrozen) {
  FreezesAndThaws("java17-bookworm", 256);
}

TEST_F(LanguagesTest, PlainCppWithoutFdk_InAnImageWithoutLibc_IsThawedWhereItWasFrozen) {
  FreezesAndThaws("cpp", 64, "Hello, world! This is call ", ".\n");
}

// As a user has it from a folder to a thawed call: the example, with its Dockerfile and `runtime: docker`.
TEST_F(LanguagesTest, ExampleWithADockerfile_IsDeployedByTheTool_FrozenAndThawed) {
  const auto thaw = [this](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {THAW_CLI_BINARY, "--server", cluster().gateway_address()});
    return RunCommand(arguments, absl::Minutes(5));
  };
  const CommandResult deployed = thaw({"deploy", "--app", "examples", std::string(THAW_SOURCE_DIR) + "/examples/cpp-function"});
  ASSERT_EQ(deployed.exit_code, 0) << deployed.err << deployed.out;
  for (int i = 1; i <= 5; ++i) {
    const CommandResult called = thaw({"invoke", "examples/cpp-function", "--data", "Ann"});
    EXPECT_EQ(called.out, absl::StrCat("Hello, Ann! This is call ", i, ".\n")) << called.err;
  }
  std::string maker;
  ASSERT_TRUE(Eventually(
      [&] {
        for (const auto& snapshot : cluster().Snapshots("")) {
          if (snapshot.function_name() == "cpp-function") maker = snapshot.node_id();
        }
        return !maker.empty();
      },
      absl::Seconds(30)));
  // On the node that has not run it it goes on after the fifth call.
  const std::string elsewhere = cluster().NodeId(maker == cluster().NodeId("a") ? "b" : "a");
  const CommandResult thawed = thaw({"invoke", "examples/cpp-function", "--data", "Ann", "--node", elsewhere, "--verbose"});
  EXPECT_EQ(thawed.out, "Hello, Ann! This is call 6.\n") << thawed.err;
  EXPECT_TRUE(absl::StrContains(thawed.err, "restored")) << thawed.err;
}

}  // namespace
}  // namespace thaw::testing
