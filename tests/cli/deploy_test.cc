#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "cli/deploy/await_snapshot.h"
#include "cli/deploy/deployer.h"
#include "cli/deploy/maven.h"
#include "cli/deploy/source_digest.h"
#include "cli/exit_code.h"
#include "common/status/reasons.h"
#include "tests/cli/fakes.h"

namespace thaw::cli {
namespace {

using ::testing::ElementsAre;
using testing::FakeDocker;
using testing::FakeGatewayClient;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using testing::TempDirectory;

constexpr char kFuncYaml[] =
    "schema_version: 20180708\nname: hello\nversion: 0.0.1\nruntime: java\n"
    "build_image: thaw/java-build\nrun_image: thaw/java-runtime\ncmd: com.example.Hello::handle\n";

class DeployTest : public ::testing::Test {
 protected:
  DeployTest() {
    docker_.images["thaw/java-build"] = "sha256:b1";
    docker_.images["thaw/java-runtime"] = "sha256:r1";
    directory_.Write("func.yaml", kFuncYaml);
    directory_.Write("pom.xml", "<project/>");
    directory_.Write("src/Hello.java", "class Hello {}");
    request_.directory = directory_.path();
    request_.app = "shop";
  }

  absl::StatusOr<DeployResult> Deploy() {
    Docker docker(docker_);
    ImageBuilder builder(docker, docker_, *progress_, options_);
    return Deployer(client_, docker, builder, *progress_).Deploy(request_);
  }
  DeployResult DeployOk() {
    auto result = Deploy();
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *std::move(result) : DeployResult();
  }

  FakeGatewayClient client_;
  FakeDocker docker_;
  std::unique_ptr<Progress> progress_ = MakeQuietProgress();
  ImageBuilder::Options options_;
  TempDirectory directory_;
  DeployRequest request_;
};

TEST_F(DeployTest, FirstDeployBuildsPushesAndCreates) {
  const DeployResult result = DeployOk();
  EXPECT_EQ(result.outcome, DeployResult::Outcome::kCreated);
  EXPECT_TRUE(result.app_created);
  EXPECT_TRUE(result.built);
  EXPECT_EQ(result.pushed_to, "a");
  EXPECT_EQ(result.pushed_bytes, docker_.archive.size());
  EXPECT_THAT(result.function.image(), StartsWith("thaw.local/shop/hello:0.0.1-"));
  ASSERT_THAT(client_.pushed, SizeIs(1));
  EXPECT_EQ(client_.pushed[0].first, result.function.image_id());
  EXPECT_EQ(client_.pushed[0].second, "archive");
}

TEST_F(DeployTest, JavaIsBuiltByMavenAndLaidOntoTheRunImage) {
  DeployOk();
  EXPECT_EQ(docker_.dockerfile,
            "FROM thaw/java-runtime\nCOPY jars/ /function/app/\nCMD [\"com.example.Hello::handle\"]\n");
  // Sources' and tests' jars are no part of the function.
  EXPECT_THAT(docker_.context, ElementsAre("jars", "jars/fn-1.0.jar", "jars/org.x.lib-2.jar"));
  const auto created = docker_.RunsOf("docker create");
  ASSERT_THAT(created, SizeIs(1));
  EXPECT_THAT(created[0], HasSubstr("thaw/java-build mvn -B -q -o package"));
  EXPECT_THAT(docker_.containers, IsEmpty()) << "the build container must be removed";
}

TEST_F(DeployTest, GeneratedImagesUseTheClassicBuilder) {
  DeployOk();
  for (const ProcessSpec& spec : docker_.runs) {
    if (spec.argv[1] != "build") continue;
    EXPECT_THAT(spec.env, ElementsAre(std::pair<std::string, std::string>("DOCKER_BUILDKIT", "0")));
  }
  EXPECT_THAT(docker_.dockerfile, Not(HasSubstr("# syntax")));
}

TEST_F(DeployTest, EveryDockerCommandHasATimeLimit) {
  DeployOk();
  for (const ProcessSpec& spec : docker_.runs) EXPECT_GT(spec.timeout, absl::ZeroDuration()) << spec.argv[1];
}

TEST_F(DeployTest, BuildContainerIsRemovedAlsoAfterCtrlC) {
  DeployOk();
  bool removed = false;
  for (const ProcessSpec& spec : docker_.runs) {
    if (spec.argv[1] != "rm") continue;
    removed = true;
    EXPECT_TRUE(spec.cleanup);
  }
  EXPECT_TRUE(removed);
}

TEST_F(DeployTest, WhatAnEarlierBuildLeftDoesNotReachMaven) {
  directory_.Write("target/stale.jar", "old");
  DeployOk();
  EXPECT_THAT(docker_.copied_in, Not(::testing::Contains("target")));
  EXPECT_THAT(docker_.copied_in, ::testing::Contains("pom.xml"));
}

TEST_F(DeployTest, OfflineBuildThatMissesAnArtifactIsRetriedWithTheNetwork) {
  directory_.Write("ca.pem", "pem");
  options_.ca_bundle = directory_.path() + "/ca.pem";
  options_.proxies = {{"HTTPS_PROXY", "http://proxy:3128"}};
  docker_.maven_results = {
      {.exit_code = 1, .output = "Cannot access central in offline mode", .error_output = ""}};
  DeployOk();
  const auto created = docker_.RunsOf("docker create");
  ASSERT_THAT(created, SizeIs(2));
  EXPECT_THAT(created[0], Not(HasSubstr("thaw-ca.crt")));
  EXPECT_THAT(created[1], Not(HasSubstr(" -o ")));
  EXPECT_THAT(created[1], HasSubstr("sh /tmp/thaw-ca.crt mvn -B -q -s /tmp/thaw-settings.xml package"));
  EXPECT_THAT(docker_.copied_in, ::testing::Contains(options_.ca_bundle));
  EXPECT_THAT(docker_.copied_in, ::testing::Contains(HasSubstr("settings.xml")));
}

TEST(Maven, SettingsNameTheProxyOfTheEnvironment) {
  EXPECT_EQ(MavenSettings({}), "");
  EXPECT_EQ(MavenSettings({{"NO_PROXY", "x"}}), "");
  EXPECT_EQ(
      MavenSettings({{"HTTP_PROXY", "http://wrong"},
                     {"https_proxy", "http://me:se<cret@proxy.example:3128/"},
                     {"NO_PROXY", "localhost, .example.com"}}),
      "<settings><proxies><proxy><id>host</id><active>true</active><protocol>http</protocol>"
      "<host>proxy.example</host><port>3128</port><username>me</username><password>se&lt;cret</password>"
      "<nonProxyHosts>localhost|*.example.com</nonProxyHosts></proxy></proxies></settings>\n");
}

TEST_F(DeployTest, CompileErrorIsShownAndNotRetried) {
  docker_.maven_results = {{.exit_code = 1,
                            .output = "[ERROR] Hello.java:[3,1] ';' expected -> [Help 1]\n[ERROR] Re-run",
                            .error_output = ""}};
  const auto result = Deploy();
  EXPECT_EQ(ExitCodeOf(result.status()), ExitCode::kLocalStep);
  EXPECT_EQ(ReasonOf(result.status()), local_reason::kBuildFailed);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("';' expected"));
  EXPECT_THAT(std::string(result.status().message()), Not(HasSubstr("Re-run")));
  EXPECT_THAT(docker_.RunsOf("docker create"), SizeIs(1));
  EXPECT_THAT(docker_.containers, IsEmpty());
  EXPECT_THAT(client_.apps, IsEmpty()) << "a failed build leaves no empty app behind";
}

TEST_F(DeployTest, BuildWithoutAJarSaysSo) {
  docker_.built_jars = {"original-x.jar"};
  EXPECT_THAT(std::string(Deploy().status().message()), HasSubstr("made no jar"));
}

TEST_F(DeployTest, UnchangedSourcesAreNeitherBuiltNorPushedAndMakeNoNewVersion) {
  const DeployResult first = DeployOk();
  docker_.runs.clear();
  const DeployResult second = DeployOk();
  EXPECT_EQ(second.outcome, DeployResult::Outcome::kUnchanged);
  EXPECT_EQ(second.function.version_id(), first.function.version_id());
  EXPECT_FALSE(second.built);
  EXPECT_THAT(docker_.RunsOf("docker build"), IsEmpty());
  EXPECT_THAT(docker_.RunsOf("docker create"), IsEmpty());
  EXPECT_THAT(client_.pushed, SizeIs(1));
  EXPECT_THAT(client_.updates, IsEmpty());
}

TEST_F(DeployTest, UnchangedSourcesNeedNoLocalImageWhileANodeHasIt) {
  const DeployResult first = DeployOk();
  docker_.images.erase(first.function.image());
  EXPECT_EQ(DeployOk().outcome, DeployResult::Outcome::kUnchanged);
  EXPECT_THAT(docker_.RunsOf("docker create"), SizeIs(1));
}

TEST_F(DeployTest, ImageThatNoNodeHasAnyMoreIsPushedAgain) {
  const DeployResult first = DeployOk();
  client_.images.clear();
  const DeployResult second = DeployOk();
  EXPECT_EQ(second.pushed_to, "a");
  EXPECT_FALSE(second.built);
  EXPECT_THAT(client_.pushed, SizeIs(2));
  EXPECT_EQ(second.function.image_id(), first.function.image_id());
}

TEST_F(DeployTest, ChangedSourcesMakeANewImage) {
  const DeployResult first = DeployOk();
  directory_.Write("src/Hello.java", "class Hello { int changed; }");
  const DeployResult second = DeployOk();
  EXPECT_EQ(second.outcome, DeployResult::Outcome::kUpdated);
  EXPECT_NE(second.function.image(), first.function.image());
  EXPECT_EQ(second.function.id(), first.function.id());
}

TEST_F(DeployTest, ANewRunImageMakesANewImage) {
  const DeployResult first = DeployOk();
  docker_.images["thaw/java-runtime"] = "sha256:r2";
  EXPECT_NE(DeployOk().function.image(), first.function.image());
}

TEST_F(DeployTest, ChangedLimitsUpdateTheFunctionAndKeepTheImage) {
  const DeployResult first = DeployOk();
  directory_.Write("func.yaml", std::string(kFuncYaml) + "memory: 256\nconfig: {LEVEL: debug}\n");
  const DeployResult second = DeployOk();
  EXPECT_EQ(second.outcome, DeployResult::Outcome::kUpdated);
  EXPECT_EQ(second.function.image(), first.function.image());
  EXPECT_EQ(second.function.memory_mib(), 256u);
  ASSERT_THAT(client_.updates, SizeIs(1));
  EXPECT_FALSE(client_.updates[0].has_timeout()) << "what nobody asked for must stay unset";
}

TEST_F(DeployTest, CommandLineWinsOverTheFile) {
  directory_.Write("func.yaml",
                   std::string(kFuncYaml) + "memory: 256\ntimeout: 10\nconfig: {LEVEL: debug, X: 1}\n");
  request_.memory_mib = 512;
  request_.config = {{"LEVEL", "info"}};
  request_.name = "other";
  const DeployResult result = DeployOk();
  EXPECT_EQ(result.function.name(), "other");
  EXPECT_EQ(result.function.memory_mib(), 512u);
  EXPECT_EQ(result.function.timeout().seconds(), 10);
  EXPECT_EQ(result.function.config().at("LEVEL"), "info");
  EXPECT_EQ(result.function.config().at("X"), "1");
}

TEST_F(DeployTest, TheThawSectionIsPartOfTheFunction) {
  directory_.Write("func.yaml", std::string(kFuncYaml) +
                                    "thaw:\n  checkpoint: on-deploy\n  cpu-baseline: native\n"
                                    "  restore-time-config: [B, A]\n  priming: [{body: x}]\n");
  const DeployResult first = DeployOk();
  EXPECT_EQ(first.function.checkpoint().mode(), common::v1::CheckpointPolicy::MODE_ON_DEPLOY);
  EXPECT_EQ(first.function.freeze().priming_size(), 1);
  EXPECT_EQ(first.function.freeze().restore_time_config(0), "A");
  EXPECT_EQ(DeployOk().outcome, DeployResult::Outcome::kUnchanged) << "said in other words than it is kept in";
  request_.checkpoint.emplace().set_mode(common::v1::CheckpointPolicy::MODE_LEARNED);
  EXPECT_EQ(DeployOk().function.checkpoint().mode(), common::v1::CheckpointPolicy::MODE_LEARNED);
  // A file that says nothing of freezing leaves the cluster's settings alone.
  request_.checkpoint.reset();
  directory_.Write("func.yaml", kFuncYaml);
  EXPECT_EQ(DeployOk().function.freeze().priming_size(), 1);
  directory_.Write("func.yaml", std::string(kFuncYaml) + "thaw: {accept-uncured: true}\n");
  const DeployResult last = DeployOk();
  EXPECT_EQ(last.function.freeze().priming_size(), 0) << "one that does says all of them";
  EXPECT_TRUE(last.function.freeze().accept_uncured());
}

TEST_F(DeployTest, OnDeployTheSnapshotOfThisVersionIsWaitedFor) {
  const commonpb::Function function = DeployOk().function;
  thaw::testing::FakeClock clock;
  testing::FakeInterrupt interrupt(clock);
  const auto await = [&] { return AwaitSnapshot(client_, function, absl::Seconds(30), clock, interrupt, *progress_); };
  EXPECT_TRUE(absl::IsDeadlineExceeded(await()));
  commonpb::SnapshotInfo snapshot;
  snapshot.set_function_id(function.id());
  snapshot.set_version_id("another");
  client_.snapshots.push_back(snapshot);
  EXPECT_TRUE(absl::IsDeadlineExceeded(await()));
  (*client_.functions[function.id()].mutable_annotations())["thaw/checkpoint-error"] = "\"priming request 1 of 2 failed\"";
  EXPECT_THAT(std::string(await().message()), HasSubstr("priming request 1 of 2 failed"));
  client_.snapshots[0].set_version_id(function.version_id());
  EXPECT_TRUE(await().ok());
  interrupt.interrupted = true;
  client_.snapshots.clear();
  client_.functions[function.id()].clear_annotations();
  EXPECT_TRUE(absl::IsCancelled(await()));
}

TEST_F(DeployTest, NoCacheBuildsAgain) {
  DeployOk();
  request_.no_cache = true;
  DeployOk();
  EXPECT_THAT(docker_.RunsOf("docker create"), SizeIs(2));
  EXPECT_THAT(docker_.RunsOf("docker build").back(), HasSubstr("--no-cache"));
}

TEST_F(DeployTest, DockerfileWinsWhateverTheRuntime) {
  directory_.Write("Dockerfile", "FROM scratch\n");
  directory_.Write("func.yaml", "schema_version: 20180708\nname: hello\nruntime: go\n");
  DeployOk();
  EXPECT_THAT(docker_.RunsOf("docker create"), IsEmpty());
  EXPECT_EQ(docker_.dockerfile, "FROM scratch\n");
}

TEST_F(DeployTest, OtherRuntimesWithoutADockerfileSayWhatToDo) {
  directory_.Write("func.yaml", "schema_version: 20180708\nname: hello\nruntime: python\n");
  const absl::Status status = Deploy().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("runtime `python` put a Dockerfile beside it"));
}

TEST_F(DeployTest, JavaWithoutPomCmdOrRunImageSaysWhatToWrite) {
  directory_.Write("func.yaml",
                   "schema_version: 20180708\nruntime: java\nbuild_image: thaw/java-build\ncmd: a::b\n");
  EXPECT_THAT(std::string(Deploy().status().message()), HasSubstr("`run_image` is missing"));
  directory_.Write("func.yaml", "schema_version: 20180708\nruntime: java\nbuild_image: b\nrun_image: r\n");
  EXPECT_THAT(std::string(Deploy().status().message()), HasSubstr("`cmd` is missing"));
  std::filesystem::remove(directory_.path() + "/pom.xml");
  EXPECT_THAT(std::string(Deploy().status().message()), HasSubstr("pom.xml"));
}

TEST_F(DeployTest, ImageThatIsNeitherLocalNorPullableIsNamedWithItsKey) {
  docker_.images.erase("thaw/java-runtime");
  const absl::Status status = Deploy().status();
  EXPECT_EQ(ReasonOf(status), local_reason::kLocalImageMissing);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("no local image `thaw/java-runtime`, which run_image names"));
  EXPECT_THAT(docker_.RunsOf("docker pull"), ElementsAre("docker pull thaw/java-runtime"));
}

TEST_F(DeployTest, MissingDockerAndDeadDaemonAreToldApart) {
  docker_.daemon = false;
  EXPECT_EQ(ReasonOf(Deploy().status()), local_reason::kDockerDaemon);
  docker_.installed = false;
  EXPECT_EQ(ReasonOf(Deploy().status()), local_reason::kDockerMissing);
}

TEST_F(DeployTest, UnreachableClusterIsNoticedBeforeTheBuild) {
  client_.reachable = absl::UnavailableError("down");
  EXPECT_EQ(Deploy().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(docker_.runs, IsEmpty());
}

TEST_F(DeployTest, WithoutCreateAppAMissingAppIsNotFound) {
  request_.create_app = false;
  EXPECT_EQ(ReasonOf(Deploy().status()), reason::kAppNotFound);
  EXPECT_THAT(docker_.runs, IsEmpty());
}

TEST_F(DeployTest, RequiredConfigWithoutAValueNamesItsLine) {
  directory_.Write("func.yaml",
                   std::string(kFuncYaml) + "expects:\n  config:\n  - {name: KEY, required: true}\n");
  EXPECT_THAT(std::string(Deploy().status().message()),
              StartsWith("func.yaml:10: the config key `KEY` is required"));
  request_.config = {{"KEY", "value"}};
  EXPECT_TRUE(Deploy().ok());
}

TEST_F(DeployTest, RequiredConfigMayBeTheApps) {
  directory_.Write("func.yaml",
                   std::string(kFuncYaml) + "expects:\n  config:\n  - {name: KEY, required: true}\n");
  commonpb::App app;
  app.set_name("shop");
  (*app.mutable_config())["KEY"] = "value";
  ASSERT_TRUE(client_.CreateApp(app).ok());
  EXPECT_TRUE(Deploy().ok());
}

TEST_F(DeployTest, BuildStepsRunInTheFoldersAndTheirFailureIsShown) {
  directory_.Write("func.yaml", std::string(kFuncYaml) + "build:\n- make one\n- make two\n");
  std::vector<std::string> steps;
  docker_.other = [&](const ProcessSpec& spec) -> absl::StatusOr<ProcessResult> {
    steps.push_back(spec.argv.back());
    EXPECT_EQ(spec.working_directory, std::filesystem::canonical(directory_.path()).string());
    return ProcessResult{
        .exit_code = spec.argv.back() == "make two" ? 2 : 0, .output = "", .error_output = "no rule"};
  };
  const absl::Status status = Deploy().status();
  EXPECT_THAT(steps, ElementsAre("make one", "make two"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("`make two` failed: exit code 2\nno rule"));
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kLocalStep);
}

TEST_F(DeployTest, KeysThatMeanNothingHereAreSaid) {
  directory_.Write("func.yaml", std::string(kFuncYaml) + "triggers: []\n");
  EXPECT_THAT(DeployOk().notes, ElementsAre(HasSubstr("Thaw has no use for triggers")));
}

TEST_F(DeployTest, NamesOfAppsBecomeLegalImageNames) {
  request_.app = "My__Shop-";
  EXPECT_THAT(DeployOk().function.image(), StartsWith("thaw.local/my-shop/hello:"));
  EXPECT_EQ(ImageNamePart("___"), "x");
}

TEST_F(DeployTest, BadNamesAreRefusedBeforeAnythingIsDone) {
  request_.app = "no spaces";
  EXPECT_EQ(Deploy().status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(docker_.runs, IsEmpty());
}

TEST(SourceDigest, DependsOnNamesContentsAndModesOnly) {
  TempDirectory a, b;
  for (const TempDirectory* directory : {&a, &b}) {
    directory->Write("x", "1");
    directory->Write("sub/y", "2");
  }
  EXPECT_EQ(*SourceDigest(a.path(), {}), *SourceDigest(b.path(), {}));
  std::filesystem::last_write_time(b.path() + "/x", std::filesystem::file_time_type::min());
  EXPECT_EQ(*SourceDigest(a.path(), {}), *SourceDigest(b.path(), {}));
  std::filesystem::permissions(b.path() + "/x", std::filesystem::perms::owner_all);
  EXPECT_NE(*SourceDigest(a.path(), {}), *SourceDigest(b.path(), {}));
}

TEST(SourceDigest, SkipsOnlyAtTheTop) {
  TempDirectory a;
  a.Write("x", "1");
  const std::string before = *SourceDigest(a.path(), {"target"});
  a.Write("target/z", "1");
  a.Write(".git/HEAD", "1");
  EXPECT_EQ(*SourceDigest(a.path(), {"target"}), before);
  a.Write("sub/target/z", "1");
  EXPECT_NE(*SourceDigest(a.path(), {"target"}), before);
}

TEST(SourceDigest, MissingFolderIsALocalError) {
  EXPECT_EQ(ExitCodeOf(SourceDigest("/nonexistent/thaw", {}).status()), ExitCode::kLocalStep);
}

}  // namespace
}  // namespace thaw::cli
