#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/status/reasons.h"
#include "tests/cli/fakes.h"

namespace thaw::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using testing::TempDirectory;
using testing::TestEnvironment;
using testing::TestId;

class CommandsTest : public ::testing::Test {
 protected:
  CommandsTest() {
    commonpb::App app;
    app.set_name("shop");
    app_ = *env_.client->CreateApp(app);
    commonpb::Function function;
    function.set_name("hello");
    function.set_app_id(app_.id());
    function.set_app_name("shop");
    function.set_image("thaw.local/shop/hello:1-abc");
    function.set_image_id("sha256:12");
    function_ = *env_.client->CreateFunction(function);
    for (const char* id : {"aaaa1111aaaa1111aaaa1111aaaa1111", "aaaa2222aaaa2222aaaa2222aaaa2222"}) {
      commonpb::SnapshotInfo snapshot;
      snapshot.set_id(id);
      snapshot.set_function_id(function_.id());
      snapshot.set_app_name("shop");
      snapshot.set_function_name("hello");
      snapshot.set_version_id("0123456789abcdef0123456789abcdef");
      snapshot.set_node_id("a");
      snapshot.add_holders("a");
      snapshot.add_holders("b");
      snapshot.set_raw_bytes(20'700'000);
      snapshot.set_stored_bytes(4'100'000);
      snapshot.set_invocations(5);
      snapshot.mutable_created_at()->set_seconds(absl::ToUnixSeconds(env_.clock.Now()) - 420);
      env_.client->snapshots.push_back(snapshot);
    }
    commonpb::Node node;
    node.set_id("a");
    node.set_state(commonpb::NODE_STATE_SUSPECT);
    node.set_reason("its heartbeat is late");
    node.set_address("agent-a:7200");
    env_.client->nodes.push_back(node);
  }

  int Run(const std::vector<std::string>& arguments) { return env_.Run(arguments); }
  nlohmann::json Json() { return nlohmann::json::parse(env_.out.str()); }

  TestEnvironment env_;
  commonpb::App app_;
  commonpb::Function function_;
};

TEST_F(CommandsTest, HelpTeachesWithExamplesAndExitCodes) {
  EXPECT_EQ(Run({"--help"}), 0);
  EXPECT_THAT(env_.out.str(), HasSubstr("Examples:"));
  EXPECT_THAT(env_.out.str(), HasSubstr("Exit codes:"));
  for (const char* command :
       {"deploy", "invoke", "apps", "functions", "nodes", "snapshot", "secret", "logs", "demo", "completion"}) {
    TestEnvironment env;
    EXPECT_EQ(env.Run({command, "--help"}), 0);
    EXPECT_THAT(env.out.str(), HasSubstr("Examples:")) << command;
  }
}

TEST_F(CommandsTest, ASecretComesFromStandardInputByteForByteAndIsNotShown) {
  env_.in.str("s3cret\n");
  EXPECT_EQ(Run({"secret", "set", "shop", "db.password"}), 0);
  EXPECT_EQ((env_.client->secrets[{app_.id(), "db.password"}]), "s3cret\n");
  EXPECT_EQ(env_.out.str(), "secret db.password of app shop set (7 bytes)\n");
  EXPECT_THAT(env_.out.str() + env_.err.str(), Not(HasSubstr("s3cret")));
}

TEST_F(CommandsTest, ASecretComesFromAFile) {
  TempDirectory folder;
  folder.Write("key", "from a file");
  EXPECT_EQ(Run({"--json", "secret", "set", "shop", "key", "--from-file", folder.path() + "/key"}), 0);
  EXPECT_EQ((env_.client->secrets[{app_.id(), "key"}]), "from a file");
  EXPECT_EQ(Json()["name"], "key");
  EXPECT_EQ(Json()["size_bytes"], 11);
  EXPECT_FALSE(Json().contains("value"));
  TestEnvironment other;
  other.client = env_.client;
  EXPECT_NE(other.Run({"secret", "set", "shop", "key", "--from-file", folder.path() + "/none"}), 0);
  EXPECT_THAT(other.err.str(), HasSubstr("check --from-file"));
}

TEST_F(CommandsTest, AtATerminalASecretIsAskedFor) {
  env_.typed = "typed value";
  EXPECT_EQ(Run({"secret", "set", "shop", "key"}), 0);
  EXPECT_EQ((env_.client->secrets[{app_.id(), "key"}]), "typed value");
  EXPECT_THAT(env_.prompt, HasSubstr("value of key"));
  EXPECT_THAT(env_.out.str() + env_.err.str(), Not(HasSubstr("typed value")));
}

TEST_F(CommandsTest, SecretsAreListedWithoutTheirValuesAndDeleted) {
  env_.client->secrets[{app_.id(), "key"}] = "hush";
  EXPECT_EQ(Run({"secret", "ls", "shop"}), 0);
  EXPECT_THAT(env_.out.str(), HasSubstr("key"));
  EXPECT_THAT(env_.out.str(), Not(HasSubstr("hush")));
  EXPECT_EQ(Run({"secret", "rm", "shop", "key"}), 0);
  EXPECT_THAT(env_.client->secrets, IsEmpty());
  EXPECT_EQ(Run({"secret", "rm", "shop", "key"}), 3);
  EXPECT_THAT(env_.err.str(), HasSubstr("thaw secret ls"));
}

TEST_F(CommandsTest, ASecretOfAnUnknownAppIsNotReadAtAll) {
  env_.in.str("s3cret");
  EXPECT_EQ(Run({"secret", "set", "none", "key"}), 3);
  EXPECT_EQ(env_.in.tellg(), 0);
}

TEST_F(CommandsTest, WrongCommandLinesSayWhatWasMeant) {
  EXPECT_EQ(Run({"deplyo"}), 2);
  EXPECT_THAT(env_.err.str(), HasSubstr("did you mean `deploy`?"));
  EXPECT_EQ(Run({"apps", "creat", "x"}), 2);
  EXPECT_THAT(env_.err.str(), HasSubstr("`thaw apps` has no use for `creat`; did you mean `create`?"));
  EXPECT_EQ(Run({"nodes", "--wied"}), 2);
  EXPECT_THAT(env_.err.str(), HasSubstr("did you mean `--wide`?"));
  EXPECT_EQ(Run({}), 2);
  EXPECT_EQ(Run({"deploy"}), 2);
  EXPECT_THAT(env_.err.str(), HasSubstr("--app is required"));
  EXPECT_THAT(env_.out.str(), IsEmpty());
}

TEST_F(CommandsTest, ServerComesFromOptionThenVariableThenDefault) {
  ASSERT_EQ(Run({"apps"}), 0);
  EXPECT_EQ(env_.connected.server, "127.0.0.1:7000");
  env_.variables["THAW_SERVER"] = "gateway:7000";
  ASSERT_EQ(Run({"apps"}), 0);
  EXPECT_EQ(env_.connected.server, "gateway:7000");
  ASSERT_EQ(Run({"apps", "list", "--server", "other:1", "--tls-ca", "ca.pem"}), 0);
  EXPECT_EQ(env_.connected.server, "other:1");
  EXPECT_EQ(env_.connected.tls_ca_file, "ca.pem");
}

TEST_F(CommandsTest, InvokePrintsTheBodyAsItIs) {
  const std::string body("a\0b\xff\n", 5);
  env_.in.str(body);
  EXPECT_EQ(Run({"invoke", "shop/hello", "--data", "-"}), 0);
  EXPECT_EQ(env_.out.str(), body);
  EXPECT_THAT(env_.err.str(), IsEmpty());
  EXPECT_EQ(env_.client->invoked.back().function().path(), "shop/hello");
  EXPECT_EQ(env_.client->invoked.back().content_type(), "application/octet-stream");
}

TEST_F(CommandsTest, InvokeByIdWithHeadersNodeAndTimeout) {
  EXPECT_EQ(Run({"invoke", function_.id(), "-d", "text", "-H", "X-A: 1", "-H", "Content-Type:text/csv",
                 "--node", "b", "--timeout", "7"}),
            0);
  const auto& request = env_.client->invoked.back();
  EXPECT_EQ(request.function().id(), function_.id());
  EXPECT_EQ(request.body(), "text");
  EXPECT_EQ(request.content_type(), "text/csv");
  ASSERT_EQ(request.headers_size(), 1);
  EXPECT_EQ(request.headers(0).value(), "1");
  EXPECT_EQ(env_.client->invoke_options.back().node, "b");
  EXPECT_EQ(env_.client->invoke_options.back().timeout, absl::Seconds(7));
}

TEST_F(CommandsTest, InvokeVerboseSaysStartAndPhasesOnStandardError) {
  EXPECT_EQ(Run({"invoke", "shop/hello", "--verbose", "-d", "x"}), 0);
  EXPECT_EQ(env_.out.str(), "x");
  EXPECT_THAT(env_.err.str(),
              HasSubstr("restored-remote on node b in 61.3 ms: queue 0.0, container 0.0, fetch 20.0"));
}

TEST_F(CommandsTest, InvokeJsonHasBodyAndStart) {
  EXPECT_EQ(Run({"invoke", "shop/hello", "--json", "-d", "größe"}), 0);
  EXPECT_EQ(Json()["body"], "größe");
  EXPECT_EQ(Json()["start"], "restored-remote");
  EXPECT_EQ(Json()["node"], "b");
  EXPECT_EQ(Json()["total_ms"], 61.3);
  EXPECT_EQ(Json()["phases_ms"]["fetch"], 20.0);
}

TEST_F(CommandsTest, InvokeJsonOfBinaryBodiesIsBase64) {
  env_.in.str("\xff\xfe");
  EXPECT_EQ(Run({"invoke", "shop/hello", "--json", "-d", "-"}), 0);
  EXPECT_EQ(Json()["body_base64"], "//4=");
  EXPECT_FALSE(Json().contains("body"));
}

TEST_F(CommandsTest, LargeBodiesAndLargeAnswersToSmallOnesAreStreamed) {
  TempDirectory directory;
  const std::string large((5u << 20) + 1, 'y');
  directory.Write("large", large);
  EXPECT_EQ(Run({"invoke", "shop/hello", "-d", "@" + directory.path() + "/large"}), 0);
  EXPECT_EQ(env_.client->streams, 1);
  EXPECT_TRUE(env_.client->invoked.back().body() == large);
  EXPECT_TRUE(env_.out.str() == large);

  env_.client->invoke = [&large](const auto&, const auto&) {
    gatewaypb::InvokeResponse response;
    response.set_body(large);
    return response;
  };
  env_.out.str("");
  EXPECT_EQ(Run({"invoke", "shop/hello", "-d", "x"}), 0);
  // A unary call could not have taken it.
  EXPECT_EQ(env_.client->streams, 2);
  EXPECT_TRUE(env_.out.str() == large);
}

TEST_F(CommandsTest, InvokeErrorsHaveMessageReasonNextStepAndExitCode) {
  env_.client->invoke = [](const auto&, const auto&) -> absl::StatusOr<gatewaypb::InvokeResponse> {
    return WithReason(absl::InternalError("function shop/hello exited with code 3"), reason::kFunctionExited);
  };
  EXPECT_EQ(Run({"invoke", "shop/hello"}), 1);
  EXPECT_EQ(env_.err.str(),
            "error: function shop/hello exited with code 3\n"
            "reason: FUNCTION_EXITED\n"
            "next: read what it wrote with `thaw logs shop/hello`\n");
  EXPECT_THAT(env_.out.str(), IsEmpty());
}

TEST_F(CommandsTest, ErrorsAsJsonGoToStandardErrorOnOneLine) {
  env_.client->reachable = absl::UnavailableError("can't reach it");
  EXPECT_EQ(Run({"--json", "apps", "list"}), 4);
  const auto error = nlohmann::json::parse(env_.err.str())["error"];
  EXPECT_EQ(error["code"], "UNAVAILABLE");
  EXPECT_EQ(error["exit_code"], 4);
  EXPECT_THAT(env_.out.str(), IsEmpty());
}

TEST_F(CommandsTest, WrongFunctionNameAndMissingFileAndBadHeader) {
  EXPECT_EQ(Run({"invoke", "hello"}), 2);
  EXPECT_THAT(env_.err.str(), HasSubstr("APP/FUNCTION"));
  EXPECT_EQ(Run({"invoke", "shop/hello", "-d", "@/nonexistent"}), 10);
  EXPECT_EQ(Run({"invoke", "shop/hello", "-H", "no colon"}), 2);
  EXPECT_THAT(env_.client->invoked, IsEmpty());
}

TEST_F(CommandsTest, AppsLifeCycle) {
  EXPECT_EQ(Run({"apps", "create", "other", "--config", "A=1", "--config", "B=x=y"}), 0);
  env_.out.str("");
  EXPECT_EQ(Run({"apps", "inspect", "other", "--json"}), 0);
  EXPECT_EQ(Json()["config"], (nlohmann::json{{"A", "1"}, {"B", "x=y"}}));
  env_.out.str("");
  EXPECT_EQ(Run({"apps", "update", "other", "--unset", "A", "--json"}), 0);
  EXPECT_EQ(Json()["config"], (nlohmann::json{{"B", "x=y"}}));
  EXPECT_EQ(Run({"apps", "create", "other"}), 5);
  EXPECT_EQ(Run({"apps", "update", "other"}), 2);
  EXPECT_EQ(Run({"apps", "delete", "other"}), 0);
  EXPECT_EQ(Run({"apps", "inspect", "other"}), 3);
}

TEST_F(CommandsTest, AppWithFunctionsIsDeletedOnlyWhenToldSo) {
  EXPECT_EQ(Run({"apps", "delete", "shop"}), 5);
  EXPECT_THAT(env_.err.str(), HasSubstr("app shop has 1 function; --recursive"));
  EXPECT_EQ(env_.client->apps.size(), 1u);
  EXPECT_EQ(Run({"apps", "delete", "shop", "-r"}), 0);
  EXPECT_TRUE(env_.client->functions.empty());
}

TEST_F(CommandsTest, AppsCanBeNamedById) {
  EXPECT_EQ(Run({"apps", "inspect", app_.id(), "--json"}), 0);
  EXPECT_EQ(Json()["name"], "shop");
}

TEST_F(CommandsTest, SubcommandNamesCanBeNamesOfApps) {
  EXPECT_EQ(Run({"apps", "create", "logs"}), 0);
  EXPECT_EQ(Run({"apps", "inspect", "logs"}), 0);
}

TEST_F(CommandsTest, FunctionsAreListedAndShown) {
  EXPECT_EQ(Run({"functions"}), 0);
  EXPECT_THAT(env_.out.str(), HasSubstr("shop/hello"));
  env_.out.str("");
  EXPECT_EQ(Run({"fn", "ls", "shop", "--json"}), 0);
  const auto function = Json()["functions"][0];
  EXPECT_EQ(function["app"], "shop");
  EXPECT_EQ(function["checkpoint_after"], 5);
  EXPECT_EQ(function["timeout_s"], 30.0);
  env_.out.str("");
  EXPECT_EQ(Run({"functions", "inspect", "shop/hello"}), 0);
  EXPECT_THAT(env_.out.str(), HasSubstr(absl::StrCat("http://127.0.0.1:8080/invoke/", function_.id())));
}

TEST_F(CommandsTest, FunctionCreateBringsALocalImageToTheCluster) {
  env_.docker.images["mine:1"] = "sha256:77";
  EXPECT_EQ(
      Run({"functions", "create", "shop/new", "mine:1", "--memory", "256", "--checkpoint-after", "never"}),
      0);
  ASSERT_EQ(env_.client->pushed.size(), 1u);
  EXPECT_EQ(env_.client->pushed[0].first, "sha256:77");
  env_.out.str("");
  EXPECT_EQ(Run({"functions", "inspect", "shop/new", "--json"}), 0);
  EXPECT_EQ(Json()["image_id"], "sha256:77");
  EXPECT_TRUE(Json()["checkpoint_after"].is_null());
}

TEST_F(CommandsTest, FunctionCreateRefusesAnImageThatNobodyHas) {
  EXPECT_EQ(Run({"functions", "create", "shop/new", "missing:1"}), 10);
  EXPECT_THAT(env_.err.str(), HasSubstr("no image `missing:1`, and can't pull it"));
  EXPECT_EQ(Run({"functions", "create", "shop/new", "missing:1", "--image-id", "sha256:99"}), 5);
  EXPECT_THAT(env_.err.str(), HasSubstr("no node has the image sha256:99"));
  EXPECT_EQ(env_.client->functions.size(), 1u);
  env_.client->images["sha256:99"] = {"b"};
  EXPECT_EQ(Run({"functions", "create", "shop/new", "missing:1", "--image-id", "sha256:99"}), 0);
}

TEST_F(CommandsTest, FunctionUpdateSendsOnlyWhatWasSaid) {
  EXPECT_EQ(Run({"functions", "update", "shop/hello", "--timeout", "60"}), 0);
  ASSERT_EQ(env_.client->updates.size(), 1u);
  const auto& update = env_.client->updates[0];
  EXPECT_EQ(update.timeout().seconds(), 60);
  EXPECT_FALSE(update.has_idle_timeout());
  EXPECT_FALSE(update.has_checkpoint());
  EXPECT_EQ(update.memory_mib(), 0u);
  EXPECT_EQ(Run({"functions", "update", "shop/hello"}), 2);
  EXPECT_EQ(Run({"functions", "update", "shop/hello", "--timeout", "301"}), 2);
  EXPECT_EQ(Run({"functions", "update", "shop/hello", "--checkpoint-after", "sometimes"}), 2);
  EXPECT_EQ(Run({"functions", "update", "shop/hello", "--config", "nothing"}), 2);
}

TEST_F(CommandsTest, FunctionSetPutsFreezeFlagsOverWhatTheFunctionHas) {
  env_.client->functions[function_.id()].mutable_freeze()->set_accept_uncured(true);
  env_.client->functions[function_.id()].mutable_freeze()->add_restore_time_config("OLD");
  EXPECT_EQ(Run({"function", "set", "shop/hello", "--checkpoint", "on-deploy", "--cpu-baseline", "x86-64-v2",
                 "--secret", "db:after-restore", "--secret", "api", "--restore-time-config", "LEVEL",
                 "--on-obstacle", "tcp:10.0.0.7:*=close", "--on-obstacle", "any=ignore"}),
            0)
      << env_.err.str();
  ASSERT_EQ(env_.client->updates.size(), 1u);
  const auto& update = env_.client->updates[0];
  EXPECT_EQ(update.checkpoint().mode(), common::v1::CheckpointPolicy::MODE_ON_DEPLOY);
  const auto& freeze = update.freeze();
  EXPECT_TRUE(freeze.accept_uncured()) << "an update replaces the settings whole: what was there must be sent along";
  EXPECT_EQ(freeze.cpu_baseline(), "x86-64-v2");
  EXPECT_THAT(freeze.restore_time_config(), ::testing::ElementsAre("LEVEL"));
  ASSERT_EQ(freeze.secrets_size(), 2);
  EXPECT_EQ(freeze.secrets(1).name(), "db");
  EXPECT_TRUE(freeze.secrets(1).after_restore_only());
  ASSERT_EQ(freeze.rules_size(), 2);
  EXPECT_EQ(freeze.rules(0).pattern(), "10.0.0.7:*");
  EXPECT_EQ(freeze.rules(0).kind(), common::v1::OBSTACLE_KIND_TCP);
  env_.out.str("");
  EXPECT_EQ(Run({"functions", "inspect", "shop/hello"}), 0);
  EXPECT_THAT(env_.out.str(), HasSubstr("tcp 10.0.0.7:*: close"));
  EXPECT_THAT(env_.out.str(), HasSubstr("db, after a restore only"));
  env_.out.str("");
  EXPECT_EQ(Run({"functions", "inspect", "shop/hello", "--json"}), 0);
  EXPECT_EQ(Json()["checkpoint"], "on-deploy");
  EXPECT_TRUE(Json()["checkpoint_after"].is_null());
  EXPECT_EQ(Json()["freeze"]["secrets"][1]["after_restore"], true);
  // A lone "" empties a list, and the rest stays.
  EXPECT_EQ(Run({"function", "set", "shop/hello", "--secret", "", "--no-accept-uncured"}), 0);
  EXPECT_EQ(env_.client->updates[1].freeze().secrets_size(), 0);
  EXPECT_FALSE(env_.client->updates[1].freeze().accept_uncured());
  EXPECT_EQ(env_.client->updates[1].freeze().rules_size(), 2);
}

TEST_F(CommandsTest, AWrongFreezeFlagIsNamedWithWhatWasMeant) {
  EXPECT_EQ(Run({"function", "set", "shop/hello", "--cpu-baseline", "x86-64-v5"}), 2);
  EXPECT_THAT(env_.err.str(), HasSubstr("--cpu-baseline"));
  EXPECT_THAT(env_.err.str(), HasSubstr("did you mean `x86-64-v"));
  EXPECT_EQ(Run({"function", "set", "shop/hello", "--on-obstacle", "io-urng=close"}), 2);
  EXPECT_THAT(env_.err.str(), HasSubstr("did you mean `io-uring`?"));
  EXPECT_EQ(Run({"function", "set", "shop/hello", "--on-obstacle", "tcp"}), 2);
  EXPECT_EQ(Run({"function", "set", "shop/hello", "--prime", "/no/such/file"}), 2);
  EXPECT_EQ(Run({"function", "set", "shop/hello", "--checkpoint", "0"}), 2);
  EXPECT_TRUE(env_.client->updates.empty());
}

TEST_F(CommandsTest, SnapshotCreateFreezesNowAndShowsWhatItMade) {
  EXPECT_EQ(Run({"snapshot", "create", "shop/hello", "--json"}), 0) << env_.err.str();
  EXPECT_EQ(Json()["function_id"], function_.id());
  env_.client->freezing = WithReason(absl::FailedPreconditionError("the pool is open; close it"), reason::kCheckpointRefused);
  EXPECT_EQ(Run({"snapshot", "create", "shop/hello"}), 5);
  EXPECT_THAT(env_.err.str(), HasSubstr("the pool is open; close it"));
  EXPECT_EQ(Run({"snapshot", "create", "shop/none"}), 3);
}

TEST_F(CommandsTest, SnapshotListShowsWhatWasLearned) {
  auto& experience = *env_.client->snapshots[0].mutable_experience();
  experience.set_role(common::v1::SnapshotExperience::ROLE_CANDIDATE);
  experience.set_restores(12);
  experience.set_calls(60);
  experience.mutable_mean_call()->set_nanos(7'500'000);
  experience.set_belief("after 20 calls: 12 of 30 restores seen");
  EXPECT_EQ(Run({"snapshot", "ls"}), 0);
  EXPECT_THAT(env_.out.str(), HasSubstr("ROLE"));
  EXPECT_THAT(env_.out.str(), HasSubstr("candidate        12     7.5 ms  after 20 calls: 12 of 30 restores seen"));
  env_.out.str("");
  EXPECT_EQ(Run({"snapshot", "ls", "--json"}), 0);
  EXPECT_EQ(Json()["snapshots"][0]["experience"]["mean_call_ms"], 7.5);
}

TEST_F(CommandsTest, FunctionIsDeleted) {
  EXPECT_EQ(Run({"functions", "delete", "shop/hello"}), 0);
  EXPECT_TRUE(env_.client->functions.empty());
  EXPECT_EQ(Run({"functions", "delete", "shop/hello"}), 3);
}

TEST_F(CommandsTest, SnapshotsAreListedWithSizeNodeVersionAndAge) {
  EXPECT_EQ(Run({"snapshot", "ls", "shop/hello"}), 0);
  EXPECT_THAT(env_.out.str(),
              HasSubstr("aaaa1111aaaa  shop/hello  0123456789ab  a     a,b      20 MiB  3.9 MiB      5"));
  EXPECT_THAT(env_.out.str(), HasSubstr("7 min\n"));
  env_.out.str("");
  EXPECT_EQ(Run({"snapshot", "ls", "--json"}), 0);
  EXPECT_EQ(Json()["snapshots"][0]["holders"], (nlohmann::json{"a", "b"}));
  EXPECT_EQ(Json()["snapshots"][0]["stored_bytes"], 4'100'000);
}

TEST_F(CommandsTest, SnapshotIdsCanBeShortenedWhileTheyAreClear) {
  EXPECT_EQ(Run({"snapshot", "inspect", "aaaa1", "--json"}), 0);
  EXPECT_EQ(Json()["id"], "aaaa1111aaaa1111aaaa1111aaaa1111");
  EXPECT_EQ(Run({"snapshot", "rm", "aaaa"}), 2);
  EXPECT_THAT(env_.err.str(), HasSubstr("more than one"));
  EXPECT_EQ(Run({"snapshot", "rm", "aa"}), 2);
  EXPECT_EQ(Run({"snapshot", "rm", "ffff"}), 3);
  EXPECT_EQ(env_.client->snapshots.size(), 2u);
  EXPECT_EQ(Run({"snapshot", "rm", "aaaa1", "aaaa2"}), 0);
  EXPECT_TRUE(env_.client->snapshots.empty());
}

TEST_F(CommandsTest, SnapshotExplainIsATableWithTheRemedyOfEach) {
  gatewaypb::ExplainFreezingResponse known;
  known.set_version_id("0123456789abcdef0123456789abcdef");
  auto* look = known.add_diagnoses();
  look->set_node_id("a");
  look->set_instance_id("i1");
  look->set_occasion("look");
  look->mutable_at()->set_seconds(absl::ToUnixSeconds(env_.clock.Now()) - 2);
  auto* finding = look->add_findings();
  finding->set_kind(commonpb::OBSTACLE_KIND_TCP);
  finding->set_what("10.0.0.2:41022 -> 10.0.0.7:5432");
  finding->set_pid(10001);
  finding->set_fd(14);
  finding->add_opened_by("com.shop.Db.connect(Db.java:31)");
  finding->set_action(commonpb::OBSTACLE_ACTION_ERROR);
  finding->set_blocks(true);
  finding->set_remedy("close it before the checkpoint");
  auto* failed = known.add_diagnoses();
  failed->set_node_id("b");
  failed->set_occasion("checkpoint");
  failed->set_error("criu dump failed");
  failed->set_raw_log("Error (a.c:1): something");
  failed->add_uncured("openssl: statically linked");
  env_.client->explanation = known;
  EXPECT_EQ(Run({"snapshot", "explain", "shop/hello"}), 0);
  EXPECT_EQ(env_.client->explained.back().function().path(), "shop/hello");
  EXPECT_THAT(env_.out.str(), HasSubstr("look at instance i1 on node a, 2 s ago: it can't be frozen\n"));
  EXPECT_THAT(env_.out.str(),
              HasSubstr("tcp   10.0.0.2:41022 -> 10.0.0.7:5432 (descriptor 14)  com.shop.Db.connect(Db.java:31)  error   close it "
                        "before the checkpoint\n"));
  EXPECT_THAT(env_.out.str(), HasSubstr("criu dump failed"));
  EXPECT_THAT(env_.out.str(), HasSubstr("openssl: statically linked"));
  env_.out.str("");
  EXPECT_EQ(Run({"snapshot", "explain", "shop/hello", "--json"}), 0);
  EXPECT_EQ(Json()["diagnoses"][0]["findings"][0]["kind"], "tcp");
  EXPECT_EQ(Json()["diagnoses"][0]["findings"][0]["action"], "error");
  EXPECT_EQ(Json()["diagnoses"][0]["findings"][0]["blocks"], true);
  EXPECT_EQ(Json()["diagnoses"][1]["raw_log"], "Error (a.c:1): something");
  env_.out.str("");
  EXPECT_EQ(Run({"snapshot", "explain", "shop/hello", "--raw-log"}), 0);
  EXPECT_EQ(env_.out.str(), "Error (a.c:1): something\n");
}

TEST_F(CommandsTest, SnapshotExplainSaysHowToGetStacksThatAreMissing) {
  gatewaypb::ExplainFreezingResponse known;
  auto& look = *known.add_diagnoses();
  look.set_occasion("look");
  auto& finding = *look.add_findings();
  finding.set_kind(commonpb::OBSTACLE_KIND_TCP);
  finding.set_what("10.0.0.2:41022 -> 10.0.0.7:5432");
  finding.set_fd(14);
  const auto explain = [&](commonpb::Diagnosis::Stacks stacks) {
    look.set_stacks(stacks);
    env_.client->explanation = known;
    env_.out.str("");
    EXPECT_EQ(Run({"snapshot", "explain", "shop/hello"}), 0);
    return env_.out.str();
  };
  EXPECT_THAT(explain(commonpb::Diagnosis::STACKS_OFF),
              HasSubstr("`thaw functions update shop/hello --config "
                        "JAVA_TOOL_OPTIONS=-javaagent:/function/runtime/thaw-descriptors-0.1.0.jar`"));
  EXPECT_THAT(explain(commonpb::Diagnosis::STACKS_BUSY), HasSubstr("had work to do: ask again\n"));
  EXPECT_THAT(explain(commonpb::Diagnosis::STACKS_UNANSWERED), HasSubstr("did not answer"));
  EXPECT_THAT(explain(commonpb::Diagnosis::STACKS_UNSPECIFIED), Not(HasSubstr("who opened them")));
  EXPECT_THAT(explain(commonpb::Diagnosis::STACKS_KNOWN), Not(HasSubstr("who opened them")));
  explain(commonpb::Diagnosis::STACKS_OFF);
  env_.out.str("");
  EXPECT_EQ(Run({"snapshot", "explain", "shop/hello", "--json"}), 0);
  EXPECT_EQ(Json()["diagnoses"][0]["stacks"], "off");
  EXPECT_THAT(env_.out.str(), Not(HasSubstr("javaagent"))) << "programs know what to do, or ask the docs";
}

TEST_F(CommandsTest, SnapshotExplainSaysWhenNothingIsInTheWay) {
  gatewaypb::ExplainFreezingResponse known;
  known.add_diagnoses()->set_occasion("look");
  env_.client->explanation = known;
  EXPECT_EQ(Run({"snapshot", "explain", "shop/hello"}), 0);
  EXPECT_THAT(env_.out.str(), HasSubstr("nothing stands in the way\n"));
}

TEST_F(CommandsTest, NodesSayWhyTheyAreNotReady) {
  EXPECT_EQ(Run({"nodes"}), 0);
  EXPECT_THAT(env_.out.str(), HasSubstr("suspect"));
  EXPECT_THAT(env_.out.str(), HasSubstr("node a: its heartbeat is late"));
  env_.out.str("");
  EXPECT_EQ(Run({"nodes", "--json", "--wide"}), 0);
  EXPECT_EQ(Json()["nodes"][0]["state"], "suspect");
}

TEST_F(CommandsTest, LogsAreShownWithTheirNode) {
  gatewaypb::LogLine line;
  line.set_node_id("b");
  line.set_line("2026-01-01T00:00:00.000Z i1 err it  broke");
  env_.client->log = {line};
  EXPECT_EQ(Run({"logs", "-f", "--tail", "7", "shop/hello"}), 0);
  EXPECT_EQ(env_.out.str(), "2026-01-01T00:00:00.000Z b i1 err it  broke\n");
  EXPECT_TRUE(env_.client->logs_request.follow());
  EXPECT_EQ(env_.client->logs_request.tail(), 7u);
  env_.out.str("");
  EXPECT_EQ(Run({"logs", "shop/hello", "--json"}), 0);
  EXPECT_EQ(Json()["stream"], "err");
  EXPECT_EQ(Json()["text"], "it  broke");
  EXPECT_EQ(Json()["node"], "b");
}

TEST_F(CommandsTest, VersionShowsBothSidesAndTheClientsAlways) {
  EXPECT_EQ(Run({"version"}), 0);
  EXPECT_THAT(env_.out.str(), HasSubstr("Server        thaw 0.1.0 at 127.0.0.1:7000"));
  env_.out.str("");
  env_.client->reachable = absl::UnavailableError("down");
  EXPECT_EQ(Run({"version"}), 4);
  EXPECT_THAT(env_.out.str(), HasSubstr("Client  thaw 0.1.0"));
  env_.out.str("");
  EXPECT_EQ(Run({"version", "--client", "--json"}), 0);
  EXPECT_EQ(Json()["client"]["version"], "0.1.0");
}

TEST_F(CommandsTest, DeployPrintsIdsInvokeCommandAndUrl) {
  TempDirectory directory;
  directory.Write("func.yaml", "schema_version: 20180708\nname: new\n");
  directory.Write("Dockerfile", "FROM scratch\n");
  EXPECT_EQ(Run({"deploy", directory.path(), "--app", "shop", "--memory", "256", "--http-url",
                 "https://thaw.example/"}),
            0);
  EXPECT_THAT(env_.out.str(), StartsWith("shop/new created\n"));
  EXPECT_THAT(env_.out.str(), HasSubstr("thaw invoke shop/new"));
  EXPECT_THAT(env_.out.str(), HasSubstr("curl -X POST https://thaw.example/invoke/"));
  env_.out.str("");
  EXPECT_EQ(Run({"deploy", directory.path(), "--app", "shop", "--json"}), 0);
  EXPECT_EQ(Json()["outcome"], "unchanged");
  EXPECT_EQ(Json()["function"]["memory_mib"], 256);
  EXPECT_EQ(Json()["image_built"], false);
}

TEST_F(CommandsTest, DeployWarnsOfAProgramWhoseRandomNumbersCanNotBeCured) {
  TempDirectory directory;
  directory.Write("func.yaml", "schema_version: 20180708\nname: new\n");
  directory.Write("Dockerfile", "FROM scratch\n");
  std::string program("\x7f"
                      "ELF\x02\x01\x01",
                      7);
  program.resize(64, '\0');
  env_.docker.image_command = "/thaw/init\n--\nnative\nserve\n";
  env_.docker.image_files["/usr/bin/native"] = program + "error instantiating drbg";
  EXPECT_EQ(Run({"deploy", directory.path(), "--app", "shop"}), 0);
  EXPECT_THAT(env_.err.str(), HasSubstr("it will not be frozen: /usr/bin/native: openssl: "));
  EXPECT_TRUE(env_.docker.containers.empty());
  env_.err.str("");
  env_.docker.image_files["/usr/bin/native"] = program;
  EXPECT_EQ(Run({"deploy", directory.path(), "--app", "shop"}), 0);
  EXPECT_THAT(env_.err.str(), Not(HasSubstr("frozen")));
}

TEST_F(CommandsTest, DeployWarnsThatEngineCracIsFrozenOnlyWhereUncuredNumbersAreAccepted) {
  TempDirectory directory;
  directory.Write("func.yaml", "schema_version: 20180708\nname: new\nthaw: {engine: crac}\n");
  directory.Write("Dockerfile", "FROM scratch\n");
  EXPECT_EQ(Run({"deploy", directory.path(), "--app", "shop"}), 0);
  EXPECT_THAT(env_.err.str(), HasSubstr("so it will not be frozen: "));
  EXPECT_THAT(env_.err.str(), HasSubstr("engine: crac"));
  env_.err.str("");
  directory.Write("func.yaml", "schema_version: 20180708\nname: new\nthaw: {engine: crac, accept-uncured: true}\n");
  EXPECT_EQ(Run({"deploy", directory.path(), "--app", "shop"}), 0);
  EXPECT_THAT(env_.err.str(), HasSubstr("which its settings accept: "));
}

TEST_F(CommandsTest, UrlsFollowWhetherTheGatewayIsCalledWithTls) {
  TempDirectory directory;
  directory.Write("func.yaml", "schema_version: 20180708\nname: new\n");
  directory.Write("Dockerfile", "FROM scratch\n");
  EXPECT_EQ(Run({"deploy", directory.path(), "--app", "shop", "--server", "thaw.example:7000"}), 0);
  EXPECT_THAT(env_.out.str(), HasSubstr("curl -X POST http://thaw.example:8080/invoke/"));
  env_.out.str("");
  EXPECT_EQ(Run({"deploy", directory.path(), "--app", "shop", "--server", "thaw.example:7000", "--tls-ca", "ca.pem"}), 0);
  EXPECT_THAT(env_.out.str(), HasSubstr("curl -X POST https://thaw.example:8443/invoke/"));
}

TEST_F(CommandsTest, BadFuncFileIsAUsageErrorWithItsLine) {
  TempDirectory directory;
  directory.Write("func.yaml", "schema_version: 20180708\nname: new\nmemmory: 3\n");
  EXPECT_EQ(Run({"deploy", directory.path(), "--app", "shop"}), 2);
  EXPECT_THAT(env_.err.str(), HasSubstr("func.yaml:3:"));
}

TEST_F(CommandsTest, DemoWithoutItsNodesIsRefusedAndPrintsNoJson) {
  EXPECT_EQ(Run({"demo", "--json"}), 5);
  EXPECT_THAT(env_.out.str(), IsEmpty());
  EXPECT_THAT(env_.err.str(), HasSubstr("the demo needs the nodes a, b and c"));
}

TEST_F(CommandsTest, ColoursOnlyWhereTheyAreWanted) {
  env_.out_terminal = {.interactive = true, .colour = true, .width = 200};
  EXPECT_EQ(Run({"nodes"}), 0);
  EXPECT_THAT(env_.out.str(), HasSubstr("\x1b[33msuspect"));
  env_.out.str("");
  EXPECT_EQ(Run({"nodes", "--no-color"}), 0);
  EXPECT_THAT(env_.out.str(), Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace thaw::cli
