#include "agent/checkpoint/obstacle_rules.h"

#include <gtest/gtest.h>

#include "agent/checkpoint/diagnosis_log.h"
#include "agent/checkpoint/refusal.h"
#include "agent/instance/diagnosis.h"

namespace thaw::agent {
namespace {

namespace v1 = thaw::common::v1;

v1::Finding MakeFinding(v1::ObstacleKind kind, const std::string& what, int fd = 5) {
  v1::Finding finding;
  finding.set_kind(kind);
  finding.set_what(what);
  finding.set_pid(10001);
  finding.set_fd(fd);
  finding.set_remedy("close it");
  return finding;
}

v1::FreezeSettings Settings(std::initializer_list<std::tuple<v1::ObstacleKind, std::string, v1::ObstacleAction>> rules) {
  v1::FreezeSettings settings;
  for (const auto& [kind, pattern, action] : rules) {
    auto* rule = settings.add_rules();
    rule->set_kind(kind);
    rule->set_pattern(pattern);
    rule->set_action(action);
  }
  return settings;
}

v1::Finding Decided(const v1::FreezeSettings& settings, v1::Finding finding) {
  ObstacleRules(settings).Decide(finding);
  return finding;
}

TEST(ObstacleRulesTest, WithoutARuleItIsAnError) {
  const v1::Finding finding = Decided({}, MakeFinding(v1::OBSTACLE_KIND_TCP, "1.2.3.4:5 -> 10.0.0.7:5432"));
  EXPECT_EQ(finding.action(), v1::OBSTACLE_ACTION_ERROR);
  EXPECT_TRUE(finding.blocks());
  EXPECT_EQ(finding.remedy(), "close it");
}

TEST(ObstacleRulesTest, TheFirstRuleThatFitsDecides) {
  const v1::FreezeSettings settings = Settings({{v1::OBSTACLE_KIND_UDP, "", v1::OBSTACLE_ACTION_IGNORE},
                                                {v1::OBSTACLE_KIND_FILE, "/var/log/*", v1::OBSTACLE_ACTION_REOPEN},
                                                {v1::OBSTACLE_KIND_UNSPECIFIED, "/var/*", v1::OBSTACLE_ACTION_CLOSE},
                                                {v1::OBSTACLE_KIND_FILE, "", v1::OBSTACLE_ACTION_ERROR}});
  EXPECT_EQ(Decided(settings, MakeFinding(v1::OBSTACLE_KIND_FILE, "/var/log/a/b.log")).action(), v1::OBSTACLE_ACTION_REOPEN);
  EXPECT_EQ(Decided(settings, MakeFinding(v1::OBSTACLE_KIND_FILE, "/var/x")).action(), v1::OBSTACLE_ACTION_CLOSE);
  EXPECT_EQ(Decided(settings, MakeFinding(v1::OBSTACLE_KIND_DEVICE, "/var/x")).action(), v1::OBSTACLE_ACTION_CLOSE);
  EXPECT_TRUE(Decided(settings, MakeFinding(v1::OBSTACLE_KIND_FILE, "/etc/hosts")).blocks());
  EXPECT_FALSE(Decided(settings, MakeFinding(v1::OBSTACLE_KIND_UDP, "127.0.0.1:5353")).blocks());
}

TEST(ObstacleRulesTest, APatternFitsThePeerAlone) {
  const v1::FreezeSettings settings = Settings({{v1::OBSTACLE_KIND_TCP, "10.0.0.7:5432", v1::OBSTACLE_ACTION_CLOSE},
                                                {v1::OBSTACLE_KIND_TCP, "0.0.0.0:*", v1::OBSTACLE_ACTION_CLOSE}});
  EXPECT_FALSE(Decided(settings, MakeFinding(v1::OBSTACLE_KIND_TCP, "10.0.0.2:41022 -> 10.0.0.7:5432")).blocks());
  EXPECT_FALSE(Decided(settings, MakeFinding(v1::OBSTACLE_KIND_TCP, "listens on 0.0.0.0:9090")).blocks());
  EXPECT_TRUE(Decided(settings, MakeFinding(v1::OBSTACLE_KIND_TCP, "10.0.0.7:5432 -> 10.0.0.9:1")).blocks());
}

TEST(ObstacleRulesTest, AnActionThatCanNotBeCarriedOutBlocksAndSaysWhy) {
  const v1::FreezeSettings close = Settings({{v1::OBSTACLE_KIND_UNSPECIFIED, "", v1::OBSTACLE_ACTION_CLOSE}});
  const v1::Finding mapped = Decided(close, MakeFinding(v1::OBSTACLE_KIND_FILE, "/data/x (mapped)", -1));
  EXPECT_TRUE(mapped.blocks());
  EXPECT_NE(mapped.remedy().find("no descriptor"), std::string::npos);
  const v1::FreezeSettings reopen = Settings({{v1::OBSTACLE_KIND_UNSPECIFIED, "", v1::OBSTACLE_ACTION_REOPEN}});
  const v1::Finding socket = Decided(reopen, MakeFinding(v1::OBSTACLE_KIND_TCP, "a -> b"));
  EXPECT_TRUE(socket.blocks());
  EXPECT_NE(socket.remedy().find("only files can be opened again"), std::string::npos);
  EXPECT_FALSE(Decided(reopen, MakeFinding(v1::OBSTACLE_KIND_FILE, "/data/x")).blocks());
}

TEST(DiagnosisLogTest, KeepsTheNewestOfAVersionAndTheVersionsOfLast) {
  DiagnosisLog log({.per_version = 2, .versions = 2});
  const auto named = [](const char* name) {
    v1::Diagnosis diagnosis;
    diagnosis.set_instance_id(name);
    return diagnosis;
  };
  for (const char* name : {"i1", "i2", "i3"}) log.Add("v1", named(name));
  ASSERT_EQ(log.Get("v1").size(), 2u);
  EXPECT_EQ(log.Get("v1")[0].instance_id(), "i3");
  EXPECT_EQ(log.Get("v1")[1].instance_id(), "i2");
  log.Add("v2", named("i4"));
  log.Add("v1", named("i5"));
  log.Add("v3", named("i6"));
  EXPECT_TRUE(log.Get("v2").empty()) << "the one that was diagnosed longest ago went";
  EXPECT_EQ(log.Get("v1").size(), 2u);
  EXPECT_EQ(log.Get("v3").size(), 1u);
}

TEST(RefusalTest, EveryCauseIsAFinding) {
  const auto findings =
      RefusalFindings(R"({"message":"vetoed by 2","causes":["the pool is busy",)"
                      R"json({"resource":"Cache","message":"not flushed","stack":["Cache.before(Cache.java:7)"]}]})json");
  ASSERT_EQ(findings.size(), 2u);
  EXPECT_EQ(findings[0].what(), "the pool is busy");
  EXPECT_EQ(findings[0].kind(), v1::OBSTACLE_KIND_RESOURCE);
  EXPECT_TRUE(findings[0].blocks());
  EXPECT_EQ(findings[0].fd(), -1);
  EXPECT_EQ(findings[1].what(), "Cache: not flushed");
  EXPECT_EQ(findings[1].opened_by(0), "Cache.before(Cache.java:7)");
}

TEST(RefusalTest, ABodyThatIsNoSuchJsonIsToldAsItIs) {
  EXPECT_EQ(RefusalFindings("no JSON")[0].what(), "no JSON");
  EXPECT_EQ(RefusalFindings(R"({"message":"m"})")[0].what(), "m");
  EXPECT_EQ(RefusalFindings(R"({"causes":[7]})")[0].what(), "7");
}

TEST(OpeningStacksTest, AreReadByDescriptor) {
  const auto stacks = OpeningStacks(R"json({"descriptors":[{"fd":5,"opened_by":["a(A.java:1)","b(B.java:2)"]},{"fd":"x"},7]})json");
  ASSERT_EQ(stacks.size(), 1u);
  EXPECT_EQ(stacks.at(5), (std::vector<std::string>{"a(A.java:1)", "b(B.java:2)"}));
  EXPECT_TRUE(OpeningStacks("nothing").empty());
}

TEST(DiagnosisTest, TravelsWithAStatus) {
  absl::Status status = absl::FailedPreconditionError("no");
  EXPECT_FALSE(DiagnosisOf(status).has_value());
  v1::Diagnosis diagnosis;
  diagnosis.set_raw_log("log");
  *diagnosis.add_findings() = MakeFinding(v1::OBSTACLE_KIND_TCP, "a -> b");
  AttachDiagnosis(diagnosis, status);
  ASSERT_TRUE(DiagnosisOf(status).has_value());
  EXPECT_EQ(DiagnosisOf(status)->raw_log(), "log");
  EXPECT_EQ(Describe(diagnosis.findings(0)), "tcp a -> b (descriptor 5)");
}

TEST(DiagnosisTest, KindsHaveInitsNames) {
  EXPECT_EQ(ObstacleKindFromName("deleted_file"), v1::OBSTACLE_KIND_DELETED_FILE);
  EXPECT_EQ(ObstacleKindFromName("io_uring"), v1::OBSTACLE_KIND_IO_URING);
  EXPECT_EQ(ObstacleKindFromName("of a later init"), v1::OBSTACLE_KIND_OTHER);
  EXPECT_EQ(ObstacleKindName(v1::OBSTACLE_KIND_SHARED_MEMORY), "shared_memory");
}

}  // namespace
}  // namespace thaw::agent
