#include "agent/container/docker_messages.h"

#include <nlohmann/json.hpp>

#include "common/status/reasons.h"
#include "gtest/gtest.h"

namespace thaw::agent::docker {
namespace {

using nlohmann::json;

TEST(CreateBodyTest, UnmasksProcAndDropsAllCapabilities) {
  ContainerSpec spec;
  spec.name = "n";
  spec.image_id = "sha256:aa";
  spec.command = {"/thaw/init", "--slot"};
  spec.capabilities = {"SYS_ADMIN"};
  spec.memory_bytes = 1 << 27;
  spec.cpu_millis = 250;
  spec.max_pids = 512;
  spec.binds = {{"/a", "/b", true}};
  spec.tmpfs = {{"/tmp", "rw"}};
  spec.labels = {{"k", "v"}};
  const json body = json::parse(CreateBody(spec));
  const json& host = body["HostConfig"];
  // Null would mean the engine's defaults.
  EXPECT_EQ(host["MaskedPaths"], json::array());
  EXPECT_EQ(host["ReadonlyPaths"], json::array());
  EXPECT_EQ(host["CapDrop"], json::array({"ALL"}));
  EXPECT_EQ(host["CapAdd"], json::array({"SYS_ADMIN"}));
  EXPECT_EQ(host["SecurityOpt"], json::array({"seccomp=unconfined", "apparmor=unconfined"}));
  EXPECT_EQ(host["ReadonlyRootfs"], true);
  EXPECT_EQ(host["Privileged"], false);
  EXPECT_EQ(host["Memory"], 1 << 27);
  EXPECT_EQ(host["MemorySwap"], 1 << 27);
  EXPECT_EQ(host["CpuPeriod"], 100'000);
  EXPECT_EQ(host["CpuQuota"], 25'000);
  EXPECT_EQ(host["PidsLimit"], 512);
  EXPECT_EQ(host["Mounts"][0]["Source"], "/a");
  EXPECT_EQ(host["Mounts"][0]["ReadOnly"], true);
  EXPECT_EQ(host["Tmpfs"]["/tmp"], "rw");
  EXPECT_EQ(host["LogConfig"]["Type"], "json-file");
  EXPECT_EQ(host["LogConfig"]["Config"]["max-size"], "1m");
  EXPECT_EQ(host["LogConfig"]["Config"]["max-file"], "1");
  EXPECT_EQ(host["NetworkMode"], "bridge");
  EXPECT_EQ(body["Entrypoint"], json::array({"/thaw/init", "--slot"}));
  EXPECT_EQ(body["Cmd"], json::array());
  EXPECT_EQ(body["User"], "0:0");
  EXPECT_EQ(body["Healthcheck"]["Test"], json::array({"NONE"}));
  EXPECT_EQ(body["Labels"]["k"], "v");
}

TEST(CreateBodyTest, PrivilegedNamesNoCapabilitiesAndNoLimitIsLeftOut) {
  ContainerSpec spec;
  spec.privileged = true;
  const json host = json::parse(CreateBody(spec))["HostConfig"];
  EXPECT_EQ(host["Privileged"], true);
  for (const char* absent : {"CapDrop", "CapAdd", "Memory", "MemorySwap", "CpuQuota", "PidsLimit"}) {
    EXPECT_FALSE(host.contains(absent)) << absent;
  }
}

TEST(CreateBodyTest, TextThatIsNotUtf8DoesNotThrow) {
  ContainerSpec spec;
  spec.labels = {{"k", "\xff\xfe"}};
  EXPECT_FALSE(CreateBody(spec).empty());
}

TEST(ChooseVersionTest, Is141OrTheEnginesOldest) {
  EXPECT_EQ(ChooseVersion({"1.41", "1.12"}).value(), "1.41");
  EXPECT_EQ(ChooseVersion({"1.50", "1.24"}).value(), "1.41");
  EXPECT_EQ(ChooseVersion({"1.52", "1.44"}).value(), "1.44");
  EXPECT_EQ(ChooseVersion({"1.41", ""}).value(), "1.41");
  EXPECT_TRUE(absl::IsFailedPrecondition(ChooseVersion({"1.40", "1.12"}).status()));
  EXPECT_TRUE(absl::IsInternal(ChooseVersion({"new", "1.12"}).status()));
}

TEST(ErrorStatusTest, CodesSayWhatToDoNext) {
  EXPECT_TRUE(absl::IsNotFound(ErrorStatus(404, "No such image: x", "a")));
  EXPECT_TRUE(absl::IsFailedPrecondition(ErrorStatus(400, "invalid CapAdd", "a")));
  EXPECT_TRUE(absl::IsFailedPrecondition(
      ErrorStatus(500, "failed to create shim task: OCI runtime create failed: unable to apply caps", "a")));
  EXPECT_TRUE(absl::IsInternal(ErrorStatus(500, "driver failed", "a")));
  const auto full = ErrorStatus(500, "write /var/x: no space left on device", "a");
  EXPECT_TRUE(absl::IsResourceExhausted(full));
  EXPECT_EQ(ReasonOf(full), reason::kDiskFull);
  EXPECT_EQ(ReasonOf(ErrorStatus(503, "starting", "a")), reason::kEngineUnavailable);
}

TEST(ErrorStatusTest, NamesTheActAndTheEnginesWords) {
  EXPECT_EQ(ErrorStatus(500, "driver failed", "remove container x").message(),
            "can't remove container x: the engine answered 500: driver failed");
}

TEST(ParseTest, WhatIsNotTheEnginesAnswerIsInternal) {
  for (const char* text : {"", "<html>", "null", "[]", "{}", "{\"Id\":7}", "3"}) {
    EXPECT_TRUE(absl::IsInternal(ParseContainer(text).status())) << text;
    EXPECT_TRUE(absl::IsInternal(ParseImage(text).status())) << text;
    EXPECT_TRUE(absl::IsInternal(ParseInfo(text).status())) << text;
    EXPECT_TRUE(absl::IsInternal(ParseVersion(text).status())) << text;
    EXPECT_TRUE(absl::IsInternal(ParseCreatedId(text).status())) << text;
  }
  EXPECT_TRUE(absl::IsInternal(ParseContainerList("{}").status()));
  EXPECT_TRUE(absl::IsInternal(ParseContainerList("[7]").status()));
  EXPECT_TRUE(absl::IsInternal(ParseImageIds("[{}]").status()));
}

TEST(ParseTest, NullsOfTheEngineAreEmpty) {
  const auto image = ParseImage(R"({"Id":"sha256:aa","RepoTags":null,"Size":5,
      "Config":{"Entrypoint":null,"Cmd":null,"Env":null,"Labels":null,"Volumes":null,"WorkingDir":""}})");
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_TRUE(image->tags.empty() && image->entrypoint.empty() && image->env.empty() && !image->has_volumes);
  EXPECT_EQ(image->size_bytes, 5u);
}

TEST(DemultiplexLogTest, TakesTheFramesAway) {
  EXPECT_EQ(DemultiplexLog(std::string("\1\0\0\0\0\0\0\3one\2\0\0\0\0\0\0\3two", 22)), "onetwo");
  EXPECT_EQ(DemultiplexLog(std::string("\1\0\0\0\0\0\0\11cut", 11)), "cut");
  EXPECT_EQ(DemultiplexLog("\1"), "");
}

TEST(ProgressStreamTest, FindsTheErrorHoweverItIsCut) {
  const std::string text =
      "{\"stream\":\"Loaded\"}\r\n{\"errorDetail\":{\"message\":\"no room\"},\"error\":\"no room\"}";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    ProgressStream stream;
    stream.Feed(absl::string_view(text).substr(0, cut));
    stream.Feed(absl::string_view(text).substr(cut));
    EXPECT_EQ(stream.error(), "no room") << cut;
  }
}

TEST(ProgressStreamTest, ProgressIsNoErrorAndALineWithoutEndIsDropped) {
  ProgressStream stream;
  stream.Feed("{\"status\":\"Pulling\"}\n");
  for (int i = 0; i < 100; ++i) stream.Feed(std::string(10'000, 'x'));
  stream.Feed("\n{\"error\":\"later\"}\n");
  EXPECT_EQ(stream.error(), "later");
}

}  // namespace
}  // namespace thaw::agent::docker
