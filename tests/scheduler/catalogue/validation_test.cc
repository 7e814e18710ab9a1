#include "scheduler/catalogue/validation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/rpc/client.h"
#include "common/status/reasons.h"
#include "scheduler/limits.h"

namespace thaw::scheduler {
namespace {

using ::testing::HasSubstr;

common::v1::App ValidApp() {
  common::v1::App app;
  app.set_name("app");
  return app;
}
common::v1::Function ValidFunction() {
  common::v1::Function function;
  function.set_name("fn");
  function.set_app_id("A");
  function.set_image("image:1");
  return function;
}

// Expects the refusal of `field`.
void ExpectInvalid(const absl::Status& status, absl::string_view field) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(ReasonOf(status), reason::kInvalidField) << status;
  EXPECT_EQ(ReasonMetadata(status, "field"), std::string(field)) << status;
}
void ExpectBadApp(const std::function<void(common::v1::App&)>& spoil, absl::string_view field) {
  common::v1::App app = ValidApp();
  spoil(app);
  ExpectInvalid(NewApp(app).status(), field);
}
void ExpectBadFunction(const std::function<void(common::v1::Function&)>& spoil, absl::string_view field) {
  common::v1::Function function = ValidFunction();
  spoil(function);
  ExpectInvalid(NewFunction(function).status(), field);
  // What can't be made can't be reached by an update either.
  function.clear_id();
  function.set_name("fn");
  auto current = NewFunction(ValidFunction());
  if (field == "name" || field == "id" || function.image().empty()) return;
  ExpectInvalid(MergeFunction(*current, function).status(), field);
}

TEST(NewAppTest, AnAppNeedsAName) {
  ExpectBadApp([](auto& app) { app.clear_name(); }, "name");
}
TEST(NewAppTest, ANameOf255BytesIsTakenAndOneMoreIsNot) {
  common::v1::App app = ValidApp();
  app.set_name(std::string(255, 'a'));
  EXPECT_TRUE(NewApp(app).ok());
  ExpectBadApp([](auto& app) { app.set_name(std::string(256, 'a')); }, "name");
}
TEST(NewAppTest, LettersAndDigitsOfAnyScriptAreTaken) {
  for (const char* name : {"a", "A-b_9", "größe", "приложение", "アプリ", "٣"}) {
    common::v1::App app = ValidApp();
    app.set_name(name);
    EXPECT_TRUE(NewApp(app).ok()) << name << NewApp(app).status();
  }
}
TEST(NewAppTest, OtherCharactersAreRefused) {
  for (const char* name : {"a b", "a/b", "a.b", "a\n", "a€", "a–b", "\xff\xfe", "😀"}) {
    ExpectBadApp([&](auto& app) { app.set_name(name); }, "name");
  }
}
TEST(NewAppTest, AnIdIsNotTheClientsToGive) {
  ExpectBadApp([](auto& app) { app.set_id("X"); }, "id");
}
TEST(NewAppTest, AConfigKeyThatCanNameNoVariableIsRefused) {
  ExpectBadApp([](auto& app) { (*app.mutable_config())[""] = "x"; }, "config");
  ExpectBadApp([](auto& app) { (*app.mutable_config())["A=B"] = "x"; }, "config");
  ExpectBadApp([](auto& app) { (*app.mutable_config())["A"] = std::string("x\0y", 3); }, "config");
  ExpectBadApp([](auto& app) { (*app.mutable_config())[std::string(256, 'k')] = "x"; }, "config");
}
TEST(NewAppTest, AConfigThatNoProcessCanTakeIsRefused) {
  ExpectBadApp([](auto& app) { (*app.mutable_config())["A"] = std::string(limits::kMaxConfigBytes, 'x'); }, "config");
  ExpectBadApp(
      [](auto& app) {
        for (std::size_t i = 0; i <= limits::kMaxConfigEntries; ++i) (*app.mutable_config())[absl::StrCat("K", i)] = "x";
      },
      "config");
}
TEST(NewAppTest, AnEmptyConfigValueMeansNotSet) {
  common::v1::App app = ValidApp();
  (*app.mutable_config())["A"] = "";
  (*app.mutable_config())["B"] = "b";
  const auto made = NewApp(app);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->config_size(), 1);
}
TEST(NewAppTest, AnAnnotationsKeyIsPrintableAscii) {
  for (const std::string& key : {std::string(), std::string("a b"), std::string("ä"), std::string(129, 'k')}) {
    ExpectBadApp([&](auto& app) { (*app.mutable_annotations())[key] = "1"; }, "annotations");
  }
}
TEST(NewAppTest, AnAnnotationsValueIsJsonOfAtMost512Bytes) {
  ExpectBadApp([](auto& app) { (*app.mutable_annotations())["a"] = "not json"; }, "annotations");
  ExpectBadApp([](auto& app) { (*app.mutable_annotations())["a"] = absl::StrCat("\"", std::string(511, 'x'), "\""); },
               "annotations");
  common::v1::App app = ValidApp();
  (*app.mutable_annotations())["a"] = absl::StrCat("\"", std::string(510, 'x'), "\"");
  // White space does not count.
  (*app.mutable_annotations())["b"] = absl::StrCat("{ \"k\" :", std::string(600, ' '), "[1, 2] }");
  const auto made = NewApp(app);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->annotations().at("b"), "{\"k\":[1,2]}");
}
TEST(NewAppTest, MoreThan100AnnotationsAreRefused) {
  ExpectBadApp(
      [](auto& app) {
        for (int i = 0; i < 101; ++i) (*app.mutable_annotations())[absl::StrCat("k", i)] = "1";
      },
      "annotations");
}

TEST(MergeAppTest, ValuesAreMergedAndEmptyOnesDelete) {
  common::v1::App current = ValidApp();
  (*current.mutable_config())["STAYS"] = "1";
  (*current.mutable_config())["GOES"] = "2";
  (*current.mutable_annotations())["stays"] = "1";
  (*current.mutable_annotations())["goes"] = "1";
  (*current.mutable_annotations())["goes-by-null"] = "1";
  (*current.mutable_annotations())["goes-by-empty-text"] = "1";
  common::v1::App update;
  (*update.mutable_config())["GOES"] = "";
  (*update.mutable_config())["COMES"] = "3";
  (*update.mutable_annotations())["goes"] = "\"\"";
  (*update.mutable_annotations())["goes-by-null"] = "null";
  (*update.mutable_annotations())["goes-by-empty-text"] = "";
  (*update.mutable_annotations())["comes"] = "true";
  const auto merged = MergeApp(current, update);
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_EQ(merged->config_size(), 2);
  EXPECT_EQ(merged->config().at("STAYS"), "1");
  EXPECT_EQ(merged->config().at("COMES"), "3");
  EXPECT_EQ(merged->annotations_size(), 2);
  EXPECT_EQ(merged->annotations().at("comes"), "true");
}
TEST(MergeAppTest, ANameIsImmutable) {
  common::v1::App update;
  update.set_name("other");
  const absl::Status status = MergeApp(ValidApp(), update).status();
  ExpectInvalid(status, "name");
  EXPECT_THAT(std::string(status.message()), HasSubstr("immutable"));
  update.set_name("app");
  EXPECT_TRUE(MergeApp(ValidApp(), update).ok());
}

TEST(NewFunctionTest, WhatIsLeftOutGetsItsDefault) {
  const auto made = NewFunction(ValidFunction());
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->memory_mib(), 128u);
  EXPECT_EQ(made->cpu_millis(), 0u);
  EXPECT_EQ(FromProto(made->timeout()), absl::Seconds(30));
  EXPECT_EQ(FromProto(made->idle_timeout()), absl::Seconds(30));
  EXPECT_EQ(made->checkpoint().mode(), common::v1::CheckpointPolicy::MODE_AFTER_INVOCATIONS);
  EXPECT_EQ(made->checkpoint().after_invocations(), 5u);
  EXPECT_EQ(made->image_id(), "");
}
TEST(NewFunctionTest, AnIdIsNotTheClientsToGive) {
  ExpectBadFunction([](auto& function) { function.set_id("X"); }, "id");
}
TEST(NewFunctionTest, ANameIsWhatAUrlNeedsNoEscapeFor) {
  for (const char* name : {"fn", "fn.v1~$&+:=@-_", "0"}) {
    common::v1::Function function = ValidFunction();
    function.set_name(name);
    EXPECT_TRUE(NewFunction(function).ok()) << name;
  }
  for (const std::string& name : {std::string(), std::string("a b"), std::string("a/b"), std::string("ä"),
                                  std::string("a%20"), std::string("a?"), std::string(256, 'a')}) {
    ExpectBadFunction([&](auto& function) { function.set_name(name); }, "name");
  }
}
TEST(NewFunctionTest, AnImageIsNeeded) {
  ExpectBadFunction([](auto& function) { function.clear_image(); }, "image");
}
TEST(NewFunctionTest, AnImageThatNoEngineCanHaveIsRefused) {
  ExpectBadFunction([](auto& function) { function.set_image("image 1"); }, "image");
  ExpectBadFunction([](auto& function) { function.set_image(std::string(513, 'i')); }, "image");
}
TEST(NewFunctionTest, AnImageIdIsASha256) {
  for (const std::string& id : {std::string("sha256:abc"), std::string(64, 'a'), "sha256:" + std::string(64, 'A'),
                                "sha256:" + std::string(65, 'a'), "sha512:" + std::string(64, 'a')}) {
    ExpectBadFunction([&](auto& function) { function.set_image_id(id); }, "image_id");
  }
}
TEST(NewFunctionTest, EveryNumberHasItsRange) {
  ExpectBadFunction([](auto& function) { function.set_memory_mib(8193); }, "memory_mib");
  ExpectBadFunction([](auto& function) { function.set_cpu_millis(64'001); }, "cpu_millis");
  ExpectBadFunction([](auto& function) { *function.mutable_timeout() = ToProto(absl::Milliseconds(999)); }, "timeout");
  ExpectBadFunction([](auto& function) { *function.mutable_timeout() = ToProto(absl::Seconds(301)); }, "timeout");
  ExpectBadFunction([](auto& function) { *function.mutable_timeout() = ToProto(absl::ZeroDuration()); }, "timeout");
  ExpectBadFunction([](auto& function) { *function.mutable_timeout() = ToProto(-absl::Seconds(5)); }, "timeout");
  ExpectBadFunction([](auto& function) { *function.mutable_idle_timeout() = ToProto(absl::Seconds(3601)); },
                    "idle_timeout");
  ExpectBadFunction([](auto& function) { *function.mutable_idle_timeout() = ToProto(absl::Milliseconds(1)); },
                    "idle_timeout");
  ExpectBadFunction([](auto& function) { function.mutable_checkpoint()->set_after_invocations(1'000'001); },
                    "checkpoint.after_invocations");
  ExpectBadFunction(
      [](auto& function) {
        function.mutable_checkpoint()->set_mode(static_cast<common::v1::CheckpointPolicy::Mode>(99));
      },
      "checkpoint.mode");
}
TEST(NewFunctionTest, TheEndsOfTheRangesAreTaken) {
  common::v1::Function function = ValidFunction();
  function.set_memory_mib(8192);
  function.set_cpu_millis(64'000);
  *function.mutable_timeout() = ToProto(absl::Seconds(300));
  *function.mutable_idle_timeout() = ToProto(absl::Seconds(1));
  function.mutable_checkpoint()->set_after_invocations(1'000'000);
  function.set_image_id("sha256:" + std::string(64, 'f'));
  EXPECT_TRUE(NewFunction(function).ok()) << NewFunction(function).status();
}
TEST(NewFunctionTest, APolicyOfNeverKeepsNoCount) {
  common::v1::Function function = ValidFunction();
  function.mutable_checkpoint()->set_mode(common::v1::CheckpointPolicy::MODE_NEVER);
  EXPECT_EQ(NewFunction(function)->checkpoint().after_invocations(), 0u);
}
TEST(NewFunctionTest, AnnotationsOfAnswersAreDropped) {
  common::v1::Function function = ValidFunction();
  (*function.mutable_annotations())[kCheckpointErrorAnnotation] = "\"boom\"";
  (*function.mutable_annotations())["fnproject.io/fn/invokeEndpoint"] = "\"http://x/invoke/1\"";
  (*function.mutable_annotations())["mine"] = "1";
  EXPECT_EQ(NewFunction(function)->annotations_size(), 1);
}

TEST(MergeFunctionTest, ZeroAndUnsetFieldsStayAsTheyAre) {
  common::v1::Function current = *NewFunction(ValidFunction());
  current.set_memory_mib(512);
  current.set_cpu_millis(500);
  *current.mutable_timeout() = ToProto(absl::Seconds(7));
  current.set_image_id("sha256:" + std::string(64, 'a'));
  const auto merged = MergeFunction(current, common::v1::Function());
  ASSERT_TRUE(merged.ok());
  EXPECT_EQ(merged->SerializeAsString(), current.SerializeAsString());
}
TEST(MergeFunctionTest, ANewImageWithoutAnIdForgetsTheOldOne) {
  common::v1::Function current = *NewFunction(ValidFunction());
  current.set_image_id("sha256:" + std::string(64, 'a'));
  common::v1::Function update;
  update.set_image("image:2");
  EXPECT_EQ(MergeFunction(current, update)->image_id(), "");
  update.set_image_id("sha256:" + std::string(64, 'b'));
  EXPECT_EQ(MergeFunction(current, update)->image_id(), update.image_id());
  update = {};
  update.set_image("image:1");
  EXPECT_EQ(MergeFunction(current, update)->image_id(), current.image_id());
}
TEST(MergeFunctionTest, NameAndAppAreIgnored) {
  common::v1::Function update;
  update.set_name("other");
  update.set_app_id("B");
  const auto merged = MergeFunction(*NewFunction(ValidFunction()), update);
  EXPECT_EQ(merged->name(), "fn");
  EXPECT_EQ(merged->app_id(), "A");
}

TEST(CheckReportedSnapshotTest, IdsMustBeDigests) {
  common::v1::SnapshotInfo snapshot;
  snapshot.set_id(std::string(32, 'a'));
  snapshot.set_version_id(std::string(32, '0'));
  EXPECT_TRUE(CheckReportedSnapshot(snapshot).ok());
  snapshot.set_id("../../etc/passwd");
  ExpectInvalid(CheckReportedSnapshot(snapshot), "snapshot.id");
  snapshot.set_id(std::string(32, 'a'));
  snapshot.set_version_id(std::string(31, '0'));
  ExpectInvalid(CheckReportedSnapshot(snapshot), "snapshot.version_id");
}

TEST(FreezeSettingsTest, EveryWrongFieldIsNamed) {
  using common::v1::FreezeSettings;
  const auto bad = [](const std::function<void(FreezeSettings&)>& spoil, absl::string_view field) {
    ExpectBadFunction([&](auto& function) { spoil(*function.mutable_freeze()); }, field);
  };
  bad([](auto& s) { s.add_rules(); }, "freeze.rules[0].action");
  bad([](auto& s) {
    s.add_rules()->set_action(common::v1::OBSTACLE_ACTION_CLOSE);
    s.add_rules()->set_action(common::v1::OBSTACLE_ACTION_REOPEN);
    s.mutable_rules(1)->set_kind(common::v1::OBSTACLE_KIND_TCP);
  }, "freeze.rules[1].action");
  bad([](auto& s) {
    s.add_rules()->set_action(common::v1::OBSTACLE_ACTION_CLOSE);
    s.mutable_rules(0)->set_pattern(std::string(2000, 'x'));
  }, "freeze.rules[0].pattern");
  bad([](auto& s) { s.add_restore_time_config("A=B"); }, "freeze.restore_time_config");
  bad([](auto& s) {
    s.add_restore_time_config("A");
    s.add_restore_time_config("A");
  }, "freeze.restore_time_config");
  bad([](auto& s) { s.add_secrets()->set_name("../x"); }, "freeze.secrets");
  bad([](auto& s) { s.add_secrets()->set_name(".."); }, "freeze.secrets");
  bad([](auto& s) {
    s.add_secrets()->set_name("x");
    s.add_secrets()->set_name("x");
  }, "freeze.secrets");
  bad([](auto& s) { s.add_without_cures("tls"); }, "freeze.without_cures");
  bad([](auto& s) { s.set_cpu_baseline("x86-64-v9"); }, "freeze.cpu_baseline");
  bad([](auto& s) { s.set_engine("firecracker"); }, "freeze.engine");
  bad([](auto& s) { for (int i = 0; i < 101; ++i) s.add_priming(); }, "freeze.priming");
  bad([](auto& s) { s.add_priming()->set_body(std::string((1 << 20) + 1, 'x')); }, "freeze.priming");
  bad([](auto& s) { s.add_priming()->set_content_type("text/plain\r\nX: y"); }, "freeze.priming[0].content_type");
  bad([](auto& s) { (*s.add_priming()->mutable_headers())["A B"] = "c"; }, "freeze.priming[0].headers");
  bad([](auto& s) { s.mutable_canary()->set_body(std::string(65 * 1024, 'x')); }, "freeze.canary");
}

TEST(FreezeSettingsTest, DefaultsAreWrittenInOneWay) {
  auto function = ValidFunction();
  function.mutable_freeze()->set_cpu_baseline("native");
  function.mutable_freeze()->set_engine("criu");
  EXPECT_FALSE(NewFunction(function)->has_freeze());
  function.mutable_freeze()->add_restore_time_config("B");
  function.mutable_freeze()->add_restore_time_config("A");
  EXPECT_THAT(NewFunction(function)->freeze().restore_time_config(), ::testing::ElementsAre("A", "B"));
}

TEST(FreezeSettingsTest, AnUpdateReplacesThemWholeAndOneWithoutKeepsThem) {
  auto function = ValidFunction();
  function.mutable_freeze()->set_cpu_baseline("x86-64-v2");
  function.mutable_freeze()->add_without_cures("openssl");
  const auto current = NewFunction(function);
  ASSERT_TRUE(current.ok());
  common::v1::Function update;
  update.set_memory_mib(256);
  EXPECT_EQ(MergeFunction(*current, update)->freeze().cpu_baseline(), "x86-64-v2");
  update.mutable_freeze()->set_accept_uncured(true);
  const auto merged = MergeFunction(*current, update);
  EXPECT_TRUE(merged->freeze().accept_uncured());
  EXPECT_EQ(merged->freeze().cpu_baseline(), "");
  EXPECT_EQ(merged->freeze().without_cures_size(), 0);
  update.mutable_freeze()->Clear();
  EXPECT_FALSE(MergeFunction(*merged, update)->has_freeze());
}

TEST(CheckpointPolicyTest, OnlyAPolicyThatCountsKeepsACount) {
  for (const auto mode : {common::v1::CheckpointPolicy::MODE_ON_DEPLOY, common::v1::CheckpointPolicy::MODE_LEARNED,
                          common::v1::CheckpointPolicy::MODE_MANUAL, common::v1::CheckpointPolicy::MODE_NEVER}) {
    auto function = ValidFunction();
    function.mutable_checkpoint()->set_mode(mode);
    function.mutable_checkpoint()->set_after_invocations(7);
    EXPECT_EQ(NewFunction(function)->checkpoint().mode(), mode);
    EXPECT_EQ(NewFunction(function)->checkpoint().after_invocations(), 0u);
  }
}

}  // namespace
}  // namespace thaw::scheduler
