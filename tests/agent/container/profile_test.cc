#include "agent/container/profile.h"

#include "absl/time/clock.h"
#include "agent/container/slot_spec.h"
#include "common/status/reasons.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_container_runtime.h"

namespace thaw::agent {
namespace {

using testing::FakeContainerRuntime;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using Op = FakeContainerRuntime::Op;

class ProfileProbeTest : public ::testing::Test {
 protected:
  absl::StatusOr<Profile> Choose(ProfileRequest request) {
    ProfileProbe probe(runtime_, {"node-a", "/var/lib/thaw/bin/0123", ""});
    return probe.Choose(request, absl::Now() + absl::Seconds(60));
  }

  FakeContainerRuntime runtime_;
};

TEST_F(ProfileProbeTest, AutoIsCheckpointWithAllThatTheHostOffers) {
  const auto profile = Choose(ProfileRequest::kAuto);
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_EQ(profile->name(), "checkpoint");
  EXPECT_THAT(profile->capabilities, Contains("SYS_RESOURCE"));
  EXPECT_THAT(profile->capabilities, Contains("CHECKPOINT_RESTORE"));
  EXPECT_EQ(profile->note, "checkpoint is the default");
  EXPECT_EQ(runtime_.Calls(Op::kStart), 1);
}

TEST_F(ProfileProbeTest, CheckpointWithoutWhatTheHostLacks) {
  runtime_.SetHostLacks({"SYS_RESOURCE"});
  runtime_.SetEngineDoesNotKnow({"CHECKPOINT_RESTORE"});
  const auto profile = Choose(ProfileRequest::kCheckpoint);
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_EQ(profile->capabilities, RequiredCapabilities());
  EXPECT_THAT(profile->note, HasSubstr("the host does not offer SYS_RESOURCE, CHECKPOINT_RESTORE"));
}

TEST_F(ProfileProbeTest, CheckpointKeepsTheOptionalOneThatWorks) {
  runtime_.SetHostLacks({"SYS_RESOURCE"});
  const auto profile = Choose(ProfileRequest::kAuto);
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_THAT(profile->capabilities, Contains("CHECKPOINT_RESTORE"));
  EXPECT_THAT(profile->capabilities, Not(Contains("SYS_RESOURCE")));
}

TEST_F(ProfileProbeTest, PrivilegedWhereAskedForAndPossible) {
  const auto profile = Choose(ProfileRequest::kPrivileged);
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_EQ(profile->name(), "privileged");
}

TEST_F(ProfileProbeTest, PrivilegedThatTheHostCantStartFallsBackAndSaysWhy) {
  runtime_.SetHostLacks({"SYS_RESOURCE"});
  const auto profile = Choose(ProfileRequest::kPrivileged);
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_EQ(profile->name(), "checkpoint");
  EXPECT_THAT(profile->note, HasSubstr("privileged: "));
  EXPECT_THAT(profile->note, HasSubstr("unable to apply caps"));
  EXPECT_THAT(profile->note, HasSubstr("using checkpoint"));
}

TEST_F(ProfileProbeTest, HostWithoutARequiredCapabilityIsAFailedPrecondition) {
  runtime_.SetHostLacks({"SYS_ADMIN"});
  const auto profile = Choose(ProfileRequest::kAuto);
  EXPECT_TRUE(absl::IsFailedPrecondition(profile.status())) << profile.status();
  EXPECT_THAT(std::string(profile.status().message()), HasSubstr("unable to apply caps"));
}

TEST_F(ProfileProbeTest, RefusalThatIsNotAboutCapabilitiesIsNotTriedAgain) {
  runtime_.FailNext(Op::kCreate, absl::FailedPreconditionError("bind source path does not exist"), 4);
  const auto profile = Choose(ProfileRequest::kAuto);
  EXPECT_TRUE(absl::IsFailedPrecondition(profile.status())) << profile.status();
  EXPECT_THAT(std::string(profile.status().message()), HasSubstr("bind source path does not exist"));
  EXPECT_EQ(runtime_.Calls(Op::kCreate), 1);
}

TEST_F(ProfileProbeTest, EngineThatIsAwayIsNoVerdictOnTheHost) {
  runtime_.SetEngineDown(true);
  const auto profile = Choose(ProfileRequest::kPrivileged);
  EXPECT_EQ(ReasonOf(profile.status()), reason::kEngineUnavailable);
}

TEST_F(ProfileProbeTest, LeavesNoContainerEvenWhenTheCreateWasTooSlow) {
  // The engine makes it, but the answer is late.
  runtime_.SetHook(Op::kStart, [](const std::string&) { return absl::DeadlineExceededError("slow"); });
  EXPECT_TRUE(absl::IsDeadlineExceeded(Choose(ProfileRequest::kAuto).status()));
  EXPECT_TRUE(runtime_.ContainerIds().empty());
  EXPECT_EQ(runtime_.Calls(Op::kCreate), 1);
}

TEST_F(ProfileProbeTest, RunsInitOfTheAgentsDataDirectory) {
  runtime_.OnStart([](const ContainerInfo&, const ContainerSpec& spec) {
    EXPECT_EQ(spec.binds.at(0).target, "/thaw");
    EXPECT_EQ(spec.command, (std::vector<std::string>{"/thaw/init", "--version"}));
    EXPECT_EQ(spec.binds.at(0).source, "/var/lib/thaw/bin/0123");
    EXPECT_TRUE(spec.binds.at(0).read_only);
    EXPECT_EQ(spec.labels.at(kNodeLabel), "node-a");
    EXPECT_EQ(spec.labels.at(kRoleLabel), kProbeRole);
    return absl::OkStatus();
  });
  EXPECT_TRUE(Choose(ProfileRequest::kAuto).ok());
  EXPECT_EQ(runtime_.Calls(Op::kStart), 1);
}

TEST(ParseProfileRequestTest, KnowsThreeWords) {
  EXPECT_EQ(ParseProfileRequest("auto").value(), ProfileRequest::kAuto);
  EXPECT_EQ(ParseProfileRequest("checkpoint").value(), ProfileRequest::kCheckpoint);
  EXPECT_EQ(ParseProfileRequest("privileged").value(), ProfileRequest::kPrivileged);
  EXPECT_TRUE(absl::IsInvalidArgument(ParseProfileRequest("root").status()));
}

TEST(MakeSlotSpecTest, BindsTheSlotsDirectories) {
  SlotRequest request;
  request.node_id = "a";
  request.slot_id = "0123456789abcdef";
  request.tools = "aabb";
  request.version_id = "v1";
  request.function_id = "f1";
  request.image_id = "sha256:aa";
  request.memory_mib = 256;
  request.cpu_millis = 1500;
  Profile profile;
  profile.capabilities = {"SYS_ADMIN"};
  const ContainerSpec spec = MakeSlotSpec(request, profile, Paths("/d"));
  EXPECT_EQ(spec.name, "thaw-slot-0123456789abcdef");
  EXPECT_EQ(spec.command, (std::vector<std::string>{"/thaw/init", "--slot"}));
  std::map<std::string, std::string> binds;
  for (const auto& bind : spec.binds) binds[bind.target] = bind.source + (bind.read_only ? " ro" : "");
  EXPECT_EQ(binds, (std::map<std::string, std::string>{{"/thaw", "/d/bin/aabb ro"},
                                                       {"/tmp/iofs", "/d/slots/0123456789abcdef/iofs"},
                                                       {"/run/thaw/ctl", "/d/slots/0123456789abcdef/ctl"},
                                                       {"/cracdata", "/d/versions/v1/cracdata"}}));
  EXPECT_EQ(spec.labels, (std::map<std::string, std::string>{{"thaw.node", "a"},
                                                             {"thaw.role", "slot"},
                                                             {"thaw.slot", "0123456789abcdef"},
                                                             {"thaw.version", "v1"},
                                                             {"thaw.function", "f1"},
                                                             {"thaw.tools", "aabb"}}));
  EXPECT_EQ(spec.tmpfs.at("/tmp"), "rw,nosuid,nodev,exec,mode=1777,size=134217728");
  EXPECT_EQ(spec.tmpfs.count("/run"), 1u);
  EXPECT_EQ(spec.memory_bytes, (256u + 32u) << 20);
  EXPECT_EQ(spec.memory_bytes, SlotMemoryBytes(256));
  EXPECT_EQ(spec.cpu_millis, 1500u);
  EXPECT_EQ(spec.max_pids, 512);
  EXPECT_EQ(spec.capabilities, std::vector<std::string>{"SYS_ADMIN"});
  EXPECT_FALSE(spec.privileged);
}

TEST(MakeSlotSpecTest, TwoVersionsHaveTwoCracVolumes) {
  SlotRequest one, two;
  one.version_id = "v1";
  two.version_id = "v2";
  const Paths paths("/d");
  EXPECT_NE(MakeSlotSpec(one, Profile(), paths).binds.back().source,
            MakeSlotSpec(two, Profile(), paths).binds.back().source);
}

TEST(MakeSlotSpecTest, PrivilegedNamesNoCapabilities) {
  Profile profile;
  profile.kind = Profile::Kind::kPrivileged;
  const ContainerSpec spec = MakeSlotSpec(SlotRequest(), profile, Paths("/d"));
  EXPECT_TRUE(spec.privileged);
  EXPECT_TRUE(spec.capabilities.empty());
}

}  // namespace
}  // namespace thaw::agent
