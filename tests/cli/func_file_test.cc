#include "cli/deploy/func_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/cli/fakes.h"

namespace thaw::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::StartsWith;

FuncFile Parsed(const std::string& text, const std::string& name = "func.yaml") {
  auto file = ParseFuncFile(text, name);
  EXPECT_TRUE(file.ok()) << file.status();
  return file.ok() ? *std::move(file) : FuncFile();
}

std::string Error(const std::string& text, const std::string& name = "func.yaml") {
  const auto file = ParseFuncFile(text, name);
  EXPECT_FALSE(file.ok());
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(file.status().message());
}

TEST(FuncFile, ReadsTheProofOfConceptsFile) {
  const FuncFile file = Parsed(
      "schema_version: 20180708\n"
      "name: fndemo\n"
      "version: 0.0.1\n"
      "runtime: java\n"
      "build_image: fnproject/fn-java-fdk-build:jdk17-1.0.165\n"
      "run_image: tanquetav/fdk-java-crac\n"
      "cmd: com.example.fn.HelloFunction::handleRequest\n",
      "func.yml");
  EXPECT_EQ(file.name, "fndemo");
  EXPECT_EQ(file.version, "0.0.1");
  EXPECT_EQ(file.run_image, "tanquetav/fdk-java-crac");
  EXPECT_THAT(file.cmd, ElementsAre("com.example.fn.HelloFunction::handleRequest"));
  EXPECT_FALSE(file.memory_mib.has_value());
}

TEST(FuncFile, TakesEveryKeyOfTheSchema) {
  const FuncFile file = Parsed(R"(schema_version: 20180708
name: f
version: 1.2.3
runtime: java
build_image: b
run_image: r
cmd: [a, "b c"]
entrypoint: java -jar  x.jar
content_type: application/json
type: sync
memory: 256
timeout: 60
idle_timeout: 120
config: {LEVEL: info, PORT: 8080}
annotations:
  com.example/list: [1, two, {three: 3.5, four: true, five: "5"}]
  com.example/text: hello
deploy:
  oci:
    provisioned_concurrency: {strategy: CONSTANT, count: 5}
    detached_mode: {timeout: 10, on_success: {type: stream, ocid: x}}
signing_details: {kms_key_id: k}
build:
- make generated
expects:
  config:
  - {name: LEVEL, required: true}
  - name: OPTIONAL
triggers:
- {name: t, type: http, source: /t}
)");
  EXPECT_THAT(file.cmd, ElementsAre("a", "b c"));
  EXPECT_THAT(file.entrypoint, ElementsAre("java", "-jar", "x.jar"));
  EXPECT_EQ(file.memory_mib, 256u);
  EXPECT_EQ(file.timeout_s, 60u);
  EXPECT_EQ(file.idle_timeout_s, 120u);
  EXPECT_THAT(file.config, ElementsAre(Pair("LEVEL", "info"), Pair("PORT", "8080")));
  EXPECT_EQ(file.annotations.at("com.example/list"), R"([1,"two",{"three":3.5,"four":true,"five":"5"}])");
  EXPECT_EQ(file.annotations.at("com.example/text"), R"("hello")");
  EXPECT_THAT(file.build, ElementsAre("make generated"));
  ASSERT_EQ(file.expected_config.size(), 2u);
  EXPECT_TRUE(file.expected_config[0].required);
  EXPECT_FALSE(file.expected_config[1].required);
  EXPECT_THAT(file.ignored_keys, ElementsAre("type", "deploy", "signing_details", "triggers"));
}

TEST(FuncFile, ReadsJsonAndItsTabs) {
  const FuncFile file =
      Parsed("{\n\t\"schema_version\": 20180708,\n\t\"name\": \"f\",\n\t\"config\": {\"A\": \"x y\"}\n}\n",
             "func.json");
  EXPECT_EQ(file.name, "f");
  EXPECT_EQ(file.config.at("A"), "x y");
}

TEST(FuncFile, BrokenJsonNamesItsLine) {
  EXPECT_THAT(Error("{\n \"schema_version\": 20180708\n \"name\": \"f\"\n}\n", "func.json"),
              StartsWith("func.json:3: "));
}

TEST(FuncFile, BrokenYamlNamesItsLine) {
  EXPECT_THAT(Error("schema_version: 20180708\nname: f\nconfig: {a: b\n"), StartsWith("func.yaml:"));
  EXPECT_THAT(Error("schema_version: 20180708\nname: [f\n"), HasSubstr("not YAML"));
}

TEST(FuncFile, UnknownKeyNamesLineAndWhatWasMeant) {
  EXPECT_EQ(Error("schema_version: 20180708\nname: f\nmemmory: 3\n"),
            "func.yaml:3: key `memmory` is not known; did you mean `memory`?");
}

TEST(FuncFile, KeyThereTwiceIsAnError) {
  EXPECT_THAT(Error("schema_version: 20180708\nname: f\nname: g\n"),
              StartsWith("func.yaml:3: key `name` is there twice"));
}

TEST(FuncFile, OtherSchemaVersionsAreRefused) {
  EXPECT_THAT(Error("schema_version: 1\nname: f\n"),
              StartsWith("func.yaml:1: schema_version 1 is not known"));
  EXPECT_THAT(Error("name: f\n"),
              HasSubstr("schema_version is missing; add the line `schema_version: 20180708`"));
}

TEST(FuncFile, NumbersOutOfRangeNameLineAndRange) {
  EXPECT_EQ(Error("schema_version: 20180708\nmemory: 0\n"),
            "func.yaml:2: `memory` must be a whole number of MiB, 1 to 8192; it is `0`");
  EXPECT_THAT(Error("schema_version: 20180708\nmemory: 128MB\n"), HasSubstr("it is `128MB`"));
  EXPECT_THAT(Error("schema_version: 20180708\ntimeout: 301\n"), HasSubstr("1 to 300"));
  EXPECT_THAT(Error("schema_version: 20180708\nidle_timeout: [1]\n"),
              StartsWith("func.yaml:2: `idle_timeout`"));
}

TEST(FuncFile, WrongShapesNameTheirLine) {
  EXPECT_THAT(Error("schema_version: 20180708\nconfig:\n  A:\n    B: c\n"),
              StartsWith("func.yaml:4: `config.A`"));
  EXPECT_THAT(Error("schema_version: 20180708\nbuild: make\n"),
              StartsWith("func.yaml:2: `build` must be a list"));
  EXPECT_THAT(Error("schema_version: 20180708\nname: [a]\n"),
              StartsWith("func.yaml:2: `name` must be a text"));
  EXPECT_THAT(Error("schema_version: 20180708\nname: a b\n"), HasSubstr("letters, digits"));
  EXPECT_THAT(Error("- a\n- b\n"), HasSubstr("keys and values"));
  EXPECT_THAT(Error(""), HasSubstr("the file is empty"));
}

TEST(FuncFile, KeyWithoutValueIsAsNoKey) {
  const FuncFile file = Parsed("schema_version: 20180708\nname: f\nmemory:\nconfig:\n");
  EXPECT_FALSE(file.memory_mib.has_value());
}

TEST(FuncFile, YamlComesBeforeYmlAndJson) {
  testing::TempDirectory directory;
  directory.Write("func.yml", "schema_version: 20180708\nname: yml\n");
  directory.Write("func.json", "{\"schema_version\": 20180708, \"name\": \"json\"}");
  EXPECT_EQ(ReadFuncFile(directory.path())->name, "yml");
  directory.Write("func.yaml", "schema_version: 20180708\nname: yaml\n");
  EXPECT_EQ(ReadFuncFile(directory.path())->name, "yaml");
}

TEST(FuncFile, FolderWithoutOneIsNotFound) {
  testing::TempDirectory directory;
  EXPECT_EQ(ReadFuncFile(directory.path()).status().code(), absl::StatusCode::kNotFound);
}

// ---- thaw:

FuncFile WithThaw(const std::string& section) { return Parsed("schema_version: 20180708\nthaw:\n" + section); }
std::string ThawError(const std::string& section) { return Error("schema_version: 20180708\nthaw:\n" + section); }

TEST(ThawSection, TakesEveryKey) {
  const FuncFile file = WithThaw(R"(  checkpoint: {after: 20}
  engine: crac
  cpu-baseline: x86-64-v2
  restore-time-config: [LEVEL, A]
  secrets:
    - {name: db, after-restore: true}
    - api
  on-obstacle:
    - {kind: tcp, pattern: "10.0.0.7:*", action: close}
    - {action: ignore}
  without-cures: [openssl]
  accept-uncured: true
  priming:
    - {body: "{}", content-type: application/json, headers: {X-A: b}}
    - {body: ""}
  canary: {body: ping}
)");
  ASSERT_TRUE(file.thaw.checkpoint.has_value());
  EXPECT_EQ(file.thaw.checkpoint->mode(), common::v1::CheckpointPolicy::MODE_AFTER_INVOCATIONS);
  EXPECT_EQ(file.thaw.checkpoint->after_invocations(), 20u);
  ASSERT_TRUE(file.thaw.freeze.has_value());
  const auto& freeze = *file.thaw.freeze;
  EXPECT_EQ(freeze.engine(), "crac");
  EXPECT_EQ(freeze.cpu_baseline(), "x86-64-v2");
  EXPECT_THAT(freeze.restore_time_config(), ElementsAre("A", "LEVEL"));
  ASSERT_EQ(freeze.secrets_size(), 2);
  EXPECT_EQ(freeze.secrets(0).name(), "api");
  EXPECT_FALSE(freeze.secrets(0).after_restore_only());
  EXPECT_EQ(freeze.secrets(1).name(), "db");
  EXPECT_TRUE(freeze.secrets(1).after_restore_only());
  ASSERT_EQ(freeze.rules_size(), 2);
  EXPECT_EQ(freeze.rules(0).kind(), common::v1::OBSTACLE_KIND_TCP);
  EXPECT_EQ(freeze.rules(0).pattern(), "10.0.0.7:*");
  EXPECT_EQ(freeze.rules(0).action(), common::v1::OBSTACLE_ACTION_CLOSE);
  EXPECT_EQ(freeze.rules(1).kind(), common::v1::OBSTACLE_KIND_UNSPECIFIED);
  EXPECT_THAT(freeze.without_cures(), ElementsAre("openssl"));
  EXPECT_TRUE(freeze.accept_uncured());
  ASSERT_EQ(freeze.priming_size(), 2);
  EXPECT_EQ(freeze.priming(0).body(), "{}");
  EXPECT_EQ(freeze.priming(0).content_type(), "application/json");
  EXPECT_EQ(freeze.priming(0).headers().at("X-A"), "b");
  EXPECT_EQ(freeze.canary().body(), "ping");
}

TEST(ThawSection, APolicyIsOneWordOrACount) {
  using Policy = common::v1::CheckpointPolicy;
  EXPECT_EQ(WithThaw("  checkpoint: on-deploy\n").thaw.checkpoint->mode(), Policy::MODE_ON_DEPLOY);
  EXPECT_EQ(WithThaw("  checkpoint: learned\n").thaw.checkpoint->mode(), Policy::MODE_LEARNED);
  EXPECT_EQ(WithThaw("  checkpoint: manual\n").thaw.checkpoint->mode(), Policy::MODE_MANUAL);
  EXPECT_EQ(WithThaw("  checkpoint: never\n").thaw.checkpoint->mode(), Policy::MODE_NEVER);
  EXPECT_EQ(WithThaw("  checkpoint: 7\n").thaw.checkpoint->after_invocations(), 7u);
  // Says nothing of the settings: those of the cluster stay.
  EXPECT_FALSE(WithThaw("  checkpoint: 7\n").thaw.freeze.has_value());
  EXPECT_TRUE(WithThaw("  restore-time-config: []\n").thaw.freeze.has_value());
}

TEST(ThawSection, AnErrorNamesLineKeyAndWhatWasMeant) {
  EXPECT_THAT(ThawError("  checkpont: never\n"),
              AllOf(StartsWith("func.yaml:3:"), HasSubstr("did you mean `checkpoint`?")));
  EXPECT_THAT(ThawError("  cpu_baseline: native\n"), HasSubstr("did you mean `cpu-baseline`?"));
  EXPECT_THAT(ThawError("  secrets:\n    - {nam: x}\n"),
              AllOf(StartsWith("func.yaml:4:"), HasSubstr("did you mean `name`?")));
  EXPECT_THAT(ThawError("  on-obstacle:\n    - {kind: io-urng, action: close}\n"), HasSubstr("did you mean `io-uring`?"));
  EXPECT_THAT(ThawError("  on-obstacle:\n    - {kind: tcp}\n"), HasSubstr("needs an `action`"));
  EXPECT_THAT(ThawError("  checkpoint: sometimes\n"), HasSubstr("on-deploy"));
  EXPECT_THAT(ThawError("  checkpoint: {after: 0}\n"), HasSubstr("1 to 1000000"));
  EXPECT_THAT(ThawError("  priming: x\n"), HasSubstr("must be a list"));
  EXPECT_THAT(ThawError("  priming:\n    - {body: a, file: b}\n"), HasSubstr("either `file` or `body`"));
  EXPECT_THAT(ThawError("  priming:\n    - {file: /no/such/file}\n"),
              AllOf(StartsWith("func.yaml:4:"), HasSubstr("/no/such/file")));
  EXPECT_THAT(ThawError("  accept-uncured: maybe\n"), HasSubstr("true or false"));
  EXPECT_THAT(ThawError("  without-cures: [opensl]\n"), HasSubstr("did you mean `openssl`?"));
  EXPECT_THAT(ThawError("  engine: qemu\n"), HasSubstr("criu, crac"));
}

TEST(ThawSection, APrimingFileIsTakenFromTheFunctionsFolder) {
  const std::string folder = ::testing::TempDir() + "thaw-section";
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/prime.json") << "{\"a\": 1}";
  std::ofstream(folder + "/empty").flush();
  const auto file = ParseFuncFile(
      "schema_version: 20180708\nthaw: {priming: [{file: prime.json}, {file: empty}]}\n", "func.yaml", folder);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->thaw.freeze->priming_size(), 2);
  EXPECT_EQ(file->thaw.freeze->priming(0).body(), "{\"a\": 1}");
  EXPECT_EQ(file->thaw.freeze->priming(1).body(), "");
}

}  // namespace
}  // namespace thaw::cli
