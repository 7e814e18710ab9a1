#include "cli/deploy/func_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/fakes.h"

namespace thaw::cli {
namespace {

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

}  // namespace
}  // namespace thaw::cli
