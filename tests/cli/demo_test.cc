#include "cli/demo/demo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/exit_code.h"
#include "common/rpc/client.h"
#include "common/status/reasons.h"
#include "tests/cli/fakes.h"

namespace thaw::cli {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::FakeGatewayClient;
using testing::FakeInterrupt;
using testing::FakeMetricsScraper;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// Three nodes that behave as the demo claims, on fake time. A test changes one thing and sees the claim fail.
class World : public NodeControl {
 public:
  World() : interrupt(clock) {
    client.server_info.set_node_pinning(true);
    for (const char* id : {"a", "b", "c"}) {
      commonpb::Node node;
      node.set_id(id);
      node.set_state(commonpb::NODE_STATE_READY);
      client.nodes.push_back(node);
      metrics.pages[absl::StrCat(id, ":1")] = [this, id] {
        return absl::StrCat("# TYPE thaw_agent_transfer_received_bytes_total counter\n",
                            "thaw_agent_transfer_received_bytes_total{kind=\"image\"} 9e9\n",
                            "thaw_agent_transfer_received_bytes_total{kind=\"snapshot\"} ", received[id],
                            "\n", "thaw_agent_transfer_sent_bytes_total{kind=\"snapshot\"} ", sent[id], "\n",
                            Answered(id));
      };
    }
    client.invoke = [this](const gatewaypb::InvokeRequest&, const InvokeOptions& options) {
      return Invoke(options.node);
    };
  }

  absl::Status Kill(const std::string& id) override {
    if (!kill_status.ok()) return kill_status;
    Node(id).set_state(commonpb::NODE_STATE_LOST);
    Node(id).set_instances(0);
    running.erase(id);
    return absl::OkStatus();
  }
  absl::Status Start(const std::string& id) override {
    ++starts;
    if (node_returns) Node(id).set_state(commonpb::NODE_STATE_READY);
    return absl::OkStatus();
  }

  absl::StatusOr<gatewaypb::InvokeResponse> Invoke(std::string node) {
    ++calls;
    if (fail_call == calls) return WithReason(absl::InternalError("it exited"), reason::kFunctionExited);
    if (node.empty()) node = "b";
    gatewaypb::InvokeResponse response;
    auto& start = *response.mutable_start();
    start.set_node_id(node);
    absl::Duration total = absl::Milliseconds(2);
    std::int64_t& count = running[node];
    if (count > 0) {
      start.set_kind(gatewaypb::START_KIND_WARM);
    } else if (holders.count(node) > 0) {
      start.set_kind(gatewaypb::START_KIND_RESTORED);
      total = absl::Milliseconds(60);
      count = 5;
    } else if (!holders.empty()) {
      start.set_kind(gatewaypb::START_KIND_RESTORED_REMOTE);
      total = absl::Milliseconds(90);
      count = 5;
      received[node] += chunk_bytes;
      sent[node == "b" ? "a" : "b"] += chunk_bytes;
      holders.insert(node);
    } else {
      start.set_kind(gatewaypb::START_KIND_COLD);
      total = absl::Milliseconds(5312.4);
    }
    ++count;
    *start.mutable_total() = ToProto(total);
    *start.mutable_phases()->mutable_restore() = ToProto(total / 2);
    response.set_body(
        absl::StrCat("{\"message\":\"hi\",\"token\":\"00c0ffee00c0ffee\",\"calls\":", count, "}"));
    answered[node][start.kind()] += 1;
    if (mutate) mutate(calls, response);
    clock.Advance(total);
    Node(node).set_instances(1);
    idle_since = clock.Now();
    if (calls == 5 && publishes) Publish();
    return response;
  }

  void Publish() {
    holders.insert("a");
    commonpb::SnapshotInfo snapshot;
    snapshot.set_id("5aa5");
    snapshot.set_function_id(function_id);
    snapshot.set_version_id("v1");
    snapshot.set_node_id("a");
    snapshot.set_raw_bytes(20'000'000);
    snapshot.set_stored_bytes(4'000'000);
    snapshot.set_invocations(5);
    *snapshot.mutable_checkpoint_duration() = ToProto(absl::Milliseconds(412));
    snapshot.add_holders("a");
    if (change_snapshot) change_snapshot(snapshot);
    client.snapshots.push_back(snapshot);
    if (prepares_slots) {
      Node("b").set_slots(1);
      Node("c").set_slots(1);
    }
  }

  commonpb::Node& Node(const std::string& id) {
    for (auto& node : client.nodes) {
      if (node.id() == id) return node;
    }
    std::abort();
  }

  std::string Answered(const std::string& id) {
    std::string page;
    for (const auto& [kind, name] :
         std::map<int, std::string>{{gatewaypb::START_KIND_WARM, "warm"},
                                    {gatewaypb::START_KIND_COLD, "cold"},
                                    {gatewaypb::START_KIND_RESTORED, "restored"},
                                    {gatewaypb::START_KIND_RESTORED_REMOTE, "restored-remote"}}) {
      absl::StrAppend(&page, "thaw_agent_invocations_total{outcome=\"ok\",start=\"", name, "\"} ",
                      counts_calls ? answered[id][kind] : 0, "\n");
    }
    return page;
  }

  absl::Status Run() {
    Demo::Options options;
    options.metrics = {{"a", "a:1"}, {"b", "b:1"}, {"c", "c:1"}};
    demo =
        std::make_unique<Demo>(Demo::Deps{
                                   .client = client,
                                   .deploy = [this](const DeployRequest& request) { return Deploy(request); },
                                   .remove_images =
                                       [this](const std::string& app) {
                                         images_removed.push_back(app);
                                         return remove_status;
                                       },
                                   .nodes = *this,
                                   .metrics = metrics,
                                   .clock = clock,
                                   .interrupt = ending,
                                   .progress = *progress,
                               },
                               options);
    return demo->Run();
  }

  absl::StatusOr<DeployResult> Deploy(const DeployRequest& request) {
    deployed = request;
    if (!deploy_status.ok()) return deploy_status;
    DeployResult result;
    commonpb::App app;
    app.set_name(request.app);
    result.app = *client.CreateApp(app);
    commonpb::Function function;
    function.set_name(request.name);
    function.set_app_id(result.app.id());
    function.set_app_name(request.app);
    function.set_image_id("sha256:1234");
    result.function = *client.CreateFunction(function);
    result.function.set_version_id("v1");
    function_id = result.function.id();
    client.images["sha256:1234"] = image_nodes;
    return result;
  }

  std::vector<std::string> FailedChecks() const {
    std::vector<std::string> failed;
    for (const DemoCheck& check : demo->report().checks) {
      if (!check.ok) failed.push_back(check.name);
    }
    return failed;
  }

  // Sleeps on fake time, ends idle instances, and interrupts when told to.
  class EndingInterrupt final : public Interrupt {
   public:
    explicit EndingInterrupt(World& world) : world_(world) {}
    bool requested() const override {
      return !world_.interrupt.cleaning_up && world_.interrupt_after_calls >= 0 &&
             world_.calls >= world_.interrupt_after_calls;
    }
    bool Sleep(absl::Duration duration) override {
      world_.clock.Advance(duration);
      if (world_.idles_out && world_.clock.Now() - world_.idle_since >= absl::Seconds(2)) {
        for (auto& node : world_.client.nodes) node.set_instances(0);
        world_.running.clear();
      }
      return !requested();
    }
    void BeginCleanup() override { world_.interrupt.cleaning_up = true; }

   private:
    World& world_;
  };

  thaw::testing::FakeClock clock;
  FakeInterrupt interrupt;
  EndingInterrupt ending{*this};
  FakeGatewayClient client;
  FakeMetricsScraper metrics;
  std::unique_ptr<Progress> progress = MakeQuietProgress();
  std::unique_ptr<Demo> demo;
  DeployRequest deployed;
  std::string function_id;

  std::map<std::string, std::int64_t> running;  // node -> calls that its instance has answered
  std::set<std::string> holders;
  std::map<std::string, double> received, sent;
  std::map<std::string, std::map<int, int>> answered;
  absl::Time idle_since;
  int calls = 0;
  int starts = 0;
  std::vector<std::string> images_removed;

  // What can go wrong.
  std::vector<std::string> image_nodes = {"a", "b", "c"};
  std::function<void(int, gatewaypb::InvokeResponse&)> mutate;
  std::function<void(commonpb::SnapshotInfo&)> change_snapshot;
  bool publishes = true, prepares_slots = true, idles_out = true, node_returns = true, counts_calls = true;
  double chunk_bytes = 4'000'000;
  int fail_call = 0;
  int interrupt_after_calls = -1;
  absl::Status kill_status, remove_status, deploy_status;
};

TEST(Demo, HoldsWhatItClaims) {
  World world;
  ASSERT_TRUE(world.Run().ok());
  EXPECT_THAT(world.FailedChecks(), IsEmpty());
  EXPECT_TRUE(DemoStatus(world.demo->report()).ok());
  std::vector<std::string> seen;
  for (const DemoCall& call : world.demo->report().calls) {
    seen.push_back(
        absl::StrCat(call.index, " ", call.step, " ", call.node, " ", call.start, " ", call.calls_answered));
  }
  EXPECT_THAT(seen, ElementsAre("1 cold a cold 1", "2 warm a warm 2", "3 warm a warm 3", "4 warm a warm 4",
                                "5 warm a warm 5", "6 restored_same_node a restored 6",
                                "7 restored_other_node b restored-remote 6", "8 after_node_loss b warm 7",
                                "9 after_node_loss c restored-remote 6"));
}

TEST(Demo, FirstCallAfterTheLossMayBeRestoredAndTakeItsTime) {
  World world;
  world.mutate = [](int i, auto& response) {
    if (i != 8) return;
    response.mutable_start()->set_kind(gatewaypb::START_KIND_RESTORED);
    *response.mutable_start()->mutable_total() = ToProto(absl::Milliseconds(1600));
  };
  ASSERT_TRUE(world.Run().ok());
  EXPECT_THAT(world.FailedChecks(), IsEmpty());
}

TEST(Demo, UsesAFreshFunctionAndLeavesNothing) {
  World first, second;
  ASSERT_TRUE(first.Run().ok());
  ASSERT_TRUE(second.Run().ok());
  EXPECT_NE(first.deployed.app, second.deployed.app);
  EXPECT_EQ(first.deployed.idle_timeout_s, 2u);
  EXPECT_THAT(first.client.apps, IsEmpty());
  EXPECT_THAT(first.client.functions, IsEmpty());
  EXPECT_THAT(first.images_removed, ElementsAre(first.deployed.app));
  EXPECT_EQ(first.Node("a").state(), commonpb::NODE_STATE_READY);
}

struct FailingClaim {
  const char* name;
  std::function<void(World&)> change;
  // Must be among the failed ones.
  const char* check;
};

class DemoClaimTest : public ::testing::TestWithParam<FailingClaim> {};

TEST_P(DemoClaimTest, IsDetectedNamedAndCleanedUpAfter) {
  World world;
  GetParam().change(world);
  ASSERT_TRUE(world.Run().ok());
  EXPECT_THAT(world.FailedChecks(), Contains(GetParam().check));
  const absl::Status status = DemoStatus(world.demo->report());
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kFunctionFailed);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().check));
  EXPECT_THAT(world.client.apps, IsEmpty());
  EXPECT_FALSE(world.images_removed.empty());
}

void SetKind(gatewaypb::InvokeResponse& response, gatewaypb::StartKind kind) {
  response.mutable_start()->set_kind(kind);
}

INSTANTIATE_TEST_SUITE_P(
    Each, DemoClaimTest,
    ::testing::Values(
        FailingClaim{"ImageMissingOnANode", [](World& w) { w.image_nodes = {"a", "b"}; },
                     "image_on_every_node"},
        FailingClaim{"FirstCallNotCold",
                     [](World& w) {
                       w.mutate = [](int i, auto& r) {
                         if (i == 1) SetKind(r, gatewaypb::START_KIND_WARM);
                       };
                     },
                     "first_call_cold"},
        FailingClaim{"FirstCallTooQuick",
                     [](World& w) {
                       w.mutate = [](int i, auto& r) {
                         if (i == 1) *r.mutable_start()->mutable_total() = ToProto(absl::Seconds(5));
                       };
                     },
                     "first_call_over_five_seconds"},
        FailingClaim{"ThirdCallCold",
                     [](World& w) {
                       w.mutate = [](int i, auto& r) {
                         if (i == 3) SetKind(r, gatewaypb::START_KIND_COLD);
                       };
                     },
                     "calls_two_to_five_warm"},
        FailingClaim{"FourthCallByAnotherProcess",
                     [](World& w) {
                       w.mutate = [](int i, auto& r) {
                         if (i == 4) r.set_body("{\"token\":\"other\",\"calls\":4}");
                       };
                     },
                     "calls_two_to_five_warm"},
        FailingClaim{"FifthCallOnAnotherNode",
                     [](World& w) {
                       w.mutate = [](int i, auto& r) {
                         if (i == 5) r.mutable_start()->set_node_id("b");
                       };
                     },
                     "calls_two_to_five_warm"},
        FailingClaim{"NoSnapshot", [](World& w) { w.publishes = false; }, "snapshot_published"},
        FailingClaim{"SnapshotAfterFourCalls",
                     [](World& w) { w.change_snapshot = [](auto& s) { s.set_invocations(4); }; },
                     "snapshot_published"},
        FailingClaim{"SnapshotOfAnotherNode",
                     [](World& w) { w.change_snapshot = [](auto& s) { s.set_node_id("b"); }; },
                     "snapshot_published"},
        FailingClaim{"SnapshotOfAnotherVersion",
                     [](World& w) { w.change_snapshot = [](auto& s) { s.set_version_id("v0"); }; },
                     "snapshot_published"},
        FailingClaim{"SnapshotWithoutBytes",
                     [](World& w) { w.change_snapshot = [](auto& s) { s.set_stored_bytes(0); }; },
                     "snapshot_published"},
        FailingClaim{"NoSlots", [](World& w) { w.prepares_slots = false; }, "slots_prepared"},
        FailingClaim{"InstanceStays", [](World& w) { w.idles_out = false; }, "idle_instance_ended"},
        FailingClaim{"SixthCallCold",
                     [](World& w) {
                       w.mutate = [](int i, auto& r) {
                         if (i == 6) SetKind(r, gatewaypb::START_KIND_COLD);
                       };
                     },
                     "restored_on_a"},
        FailingClaim{"SixthCallWithANewToken",
                     [](World& w) {
                       w.mutate = [](int i, auto& r) {
                         if (i == 6) r.set_body("{\"token\":\"new\",\"calls\":6}");
                       };
                     },
                     "frozen_state_on_a"},
        FailingClaim{"SixthCallSaysOne",
                     [](World& w) {
                       w.mutate = [](int i, auto& r) {
                         if (i == 6) r.set_body("{\"token\":\"00c0ffee00c0ffee\",\"calls\":1}");
                       };
                     },
                     "frozen_state_on_a"},
        FailingClaim{"BHadTheSnapshot",
                     [](World& w) { w.change_snapshot = [](auto& s) { s.add_holders("b"); }; },
                     "b_had_no_snapshot"},
        FailingClaim{"BRestoredItsOwn",
                     [](World& w) {
                       w.mutate = [](int i, auto& r) {
                         if (i == 7) SetKind(r, gatewaypb::START_KIND_RESTORED);
                       };
                     },
                     "restored_on_b"},
        FailingClaim{"AnsweredByCInsteadOfB",
                     [](World& w) {
                       w.mutate = [](int i, auto& r) {
                         if (i == 7) r.mutable_start()->set_node_id("c");
                       };
                     },
                     "restored_on_b"},
        FailingClaim{"BReceivedNothing", [](World& w) { w.chunk_bytes = 0; }, "b_received_the_chunks"},
        FailingClaim{"BReceivedTooMuch", [](World& w) { w.chunk_bytes = 5e6; }, "b_received_the_chunks"},
        FailingClaim{"CReceivedNothing",
                     [](World& w) {
                       w.mutate = [&w](int i, auto&) {
                         if (i == 9) w.received["c"] = 0;
                       };
                     },
                     "c_received_the_chunks"},
        FailingClaim{"CReceivedFromSomebodyElse",
                     [](World& w) {
                       w.mutate = [&w](int i, auto&) {
                         if (i == 9) w.sent["b"] = 0;
                       };
                     },
                     "c_received_the_chunks"},
        FailingClaim{"LateAfterTheLoss",
                     [](World& w) {
                       w.mutate = [&w](int i, auto&) {
                         if (i == 8) w.clock.Advance(absl::Seconds(5));
                       };
                     },
                     "answered_after_node_loss"},
        FailingClaim{"NoAnswerAfterTheLoss", [](World& w) { w.fail_call = 8; }, "call_8_answered"},
        FailingClaim{"ColdOnC",
                     [](World& w) {
                       w.mutate = [](int i, auto& r) {
                         if (i == 9) SetKind(r, gatewaypb::START_KIND_COLD);
                       };
                     },
                     "restored_on_c"},
        FailingClaim{"RestoredTooSlowly",
                     [](World& w) {
                       w.mutate = [](int i, auto& r) {
                         if (i == 7) *r.mutable_start()->mutable_total() = ToProto(absl::Milliseconds(532));
                       };
                     },
                     "restored_under_a_tenth"},
        FailingClaim{"MetricsDisagree", [](World& w) { w.counts_calls = false; }, "metrics_agree_on_a"},
        FailingClaim{"AnswerIsGarbage",
                     [](World& w) {
                       w.mutate = [](int i, auto& r) {
                         if (i == 2) r.set_body("<html>");
                       };
                     },
                     "call_2_answered"},
        FailingClaim{"FunctionFails", [](World& w) { w.fail_call = 1; }, "call_1_answered"},
        FailingClaim{"NodeDoesNotComeBack", [](World& w) { w.node_returns = false; }, "node_a_back"},
        FailingClaim{"ImageStays",
                     [](World& w) { w.remove_status = absl::FailedPreconditionError("in use"); },
                     "cleaned_up"}),
    [](const auto& info) { return info.param.name; });

TEST(Demo, NodeThatWasKilledIsBroughtBackAlsoWhenALaterClaimFails) {
  World world;
  world.fail_call = 8;
  ASSERT_TRUE(world.Run().ok());
  EXPECT_EQ(world.starts, 1);
  EXPECT_EQ(world.Node("a").state(), commonpb::NODE_STATE_READY);
}

TEST(Demo, FailedKillIsAnErrorAndTheNodeIsStartedAllTheSame) {
  World world;
  world.kill_status =
      LocalError(absl::FailedPreconditionError("no such container"), local_reason::kToolFailed);
  EXPECT_EQ(ExitCodeOf(world.Run()), ExitCode::kLocalStep);
  EXPECT_EQ(world.starts, 1);
  EXPECT_THAT(world.client.apps, IsEmpty());
}

TEST(Demo, InterruptedItCleansUpAndSaysSo) {
  World world;
  world.interrupt_after_calls = 3;
  const absl::Status status = world.Run();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kInterrupted);
  EXPECT_EQ(world.calls, 3);
  EXPECT_THAT(world.client.apps, IsEmpty());
  EXPECT_THAT(world.images_removed, ElementsAre(world.deployed.app));
  EXPECT_EQ(world.starts, 0) << "a was never killed";
}

TEST(Demo, InterruptedAfterTheKillItBringsTheNodeBack) {
  World world;
  world.interrupt_after_calls = 8;
  EXPECT_EQ(ExitCodeOf(world.Run()), ExitCode::kInterrupted);
  EXPECT_EQ(world.starts, 1);
}

TEST(Demo, FailedDeployRemovesTheImagesThatItBuilt) {
  World world;
  world.deploy_status = absl::UnavailableError("gone");
  EXPECT_EQ(world.Run().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(world.images_removed, ElementsAre(world.deployed.app));
}

TEST(Demo, GatewayThatForbidsPinningIsRefusedBeforeAnythingIsDone) {
  World world;
  world.client.server_info.set_node_pinning(false);
  EXPECT_EQ(ReasonOf(world.Run()), reason::kNodePinningForbidden);
  EXPECT_THAT(world.deployed.app, IsEmpty());
}

TEST(Demo, MissingNodeIsRefusedWithinItsLimit) {
  World world;
  world.client.nodes.pop_back();
  const absl::Time before = world.clock.Now();
  EXPECT_EQ(ExitCodeOf(world.Run()), ExitCode::kRefused);
  EXPECT_LT(world.clock.Now() - before, absl::Minutes(3));
}

TEST(Demo, UnreachableMetricsAreNamed) {
  World world;
  world.metrics.pages.erase("b:1");
  EXPECT_EQ(world.Run().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(world.deployed.app, IsEmpty());
}

TEST(DemoReport, JsonHasTheAgreedShape) {
  World world;
  ASSERT_TRUE(world.Run().ok());
  const std::string line = DemoReportJson(world.demo->report());
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto json = nlohmann::json::parse(line);
  EXPECT_THAT(json.size(), 3u);
  ASSERT_EQ(json["calls"].size(), 9u);
  for (const auto& call : json["calls"]) {
    std::vector<std::string> keys, phases;
    for (const auto& [key, value] : call.items()) keys.push_back(key);
    for (const auto& [key, value] : call["phases_ms"].items()) {
      phases.push_back(key);
      EXPECT_TRUE(value.is_number());
    }
    EXPECT_THAT(keys, UnorderedElementsAre("index", "step", "node", "start", "total_ms", "phases_ms", "token",
                                           "calls_answered"));
    EXPECT_THAT(phases, UnorderedElementsAre("queue", "container", "fetch", "restore", "function"));
  }
  EXPECT_EQ(json["calls"][0]["total_ms"], 5312.4);
  EXPECT_EQ(json["snapshot"], nlohmann::json::parse(R"({"id":"5aa5","node":"a","raw_bytes":20000000,
      "stored_bytes":4000000,"checkpoint_ms":412.0})"));
  ASSERT_FALSE(json["checks"].empty());
  for (const auto& check : json["checks"]) {
    EXPECT_TRUE(check["name"].is_string() && check["ok"].is_boolean() && check["detail"].is_string());
  }
}

TEST(DemoReport, JsonOfADemoThatBrokeOffIsWhole) {
  World world;
  world.fail_call = 1;
  ASSERT_TRUE(world.Run().ok());
  const auto json = nlohmann::json::parse(DemoReportJson(world.demo->report()));
  EXPECT_TRUE(json["snapshot"].is_null());
  EXPECT_TRUE(json["calls"].empty());
}

TEST(DemoReport, TableShowsEachCallAndWhereItsTimeWent) {
  World world;
  ASSERT_TRUE(world.Run().ok());
  const std::string text = RenderDemoReport(world.demo->report(), {});
  EXPECT_THAT(text, HasSubstr("CALL  STEP"));
  EXPECT_THAT(text, HasSubstr("5312.4"));
  EXPECT_THAT(text, HasSubstr("00c0ffee"));
  EXPECT_THAT(text, HasSubstr("restored-remote"));
  EXPECT_THAT(text, HasSubstr("ok     b_received_the_chunks: node b received 3.8 MiB of the snapshot's 3.8 "
                              "MiB; node a sent 3.8 MiB"));
}

TEST(DemoReport, EmptyOneIsNotOk) { EXPECT_FALSE(DemoReport().ok()); }

TEST(NodeControl, DockerKillsTheAgentThenItsSlotsAndNoOthers) {
  testing::FakeDocker runner;
  runner.containers = {{"agent-a", {"thaw.role=agent", "thaw.node=a"}},
                       {"agent-b", {"thaw.role=agent", "thaw.node=b"}},
                       {"slot-1", {"thaw.role=slot", "thaw.node=a"}},
                       {"slot-2", {"thaw.role=slot", "thaw.node=b"}}};
  Docker docker(runner);
  DockerNodeControl nodes(docker);
  ASSERT_TRUE(nodes.Kill("a").ok());
  EXPECT_THAT(runner.RunsOf("docker kill"), ElementsAre("docker kill agent-a"));
  EXPECT_EQ(runner.containers.count("slot-1"), 0u);
  EXPECT_EQ(runner.containers.count("slot-2"), 1u);
  ASSERT_TRUE(nodes.Start("a").ok());
  EXPECT_THAT(runner.RunsOf("docker start"), ElementsAre("docker start agent-a"));
}

TEST(NodeControl, WithoutAnAgentContainerTheHooksAreNamed) {
  testing::FakeDocker runner;
  Docker docker(runner);
  EXPECT_THAT(std::string(DockerNodeControl(docker).Kill("a").message()), HasSubstr("--kill-node"));
}

TEST(NodeControl, HooksGetTheNodeInTheirEnvironment) {
  testing::FakeDocker runner;
  std::vector<ProcessSpec> hooks;
  runner.other = [&hooks](const ProcessSpec& spec) -> absl::StatusOr<ProcessResult> {
    hooks.push_back(spec);
    return ProcessResult{};
  };
  Docker docker(runner);
  DockerNodeControl fallback(docker);
  HookNodeControl nodes(runner, fallback, "kill-it", "start-it");
  ASSERT_TRUE(nodes.Kill("a").ok());
  ASSERT_TRUE(nodes.Start("a").ok());
  ASSERT_EQ(hooks.size(), 2u);
  EXPECT_THAT(hooks[0].argv, ElementsAre("sh", "-c", "kill-it"));
  EXPECT_THAT(hooks[0].env, ElementsAre(std::pair<std::string, std::string>("THAW_NODE", "a")));
  EXPECT_THAT(hooks[1].argv, ElementsAre("sh", "-c", "start-it"));
}

TEST(NodeControl, FailingHookIsShown) {
  testing::FakeDocker runner;
  runner.other = [](const ProcessSpec&) -> absl::StatusOr<ProcessResult> {
    return ProcessResult{.exit_code = 3, .output = "", .error_output = "no route"};
  };
  Docker docker(runner);
  DockerNodeControl fallback(docker);
  const absl::Status status = HookNodeControl(runner, fallback, "kill-it", "").Kill("a");
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("--kill-node failed for node a: exit code 3 no route"));
}

TEST(DemoAnswer, NeedsTokenAndCalls) {
  EXPECT_EQ(ParseDemoAnswer("{\"token\":\"t\",\"calls\":6}")->calls, 6);
  EXPECT_FALSE(ParseDemoAnswer("{\"token\":\"t\"}").ok());
  EXPECT_FALSE(ParseDemoAnswer("hello").ok());
}

}  // namespace
}  // namespace thaw::cli
