// On the Docker Engine of this machine: the contract, and what a container really is from inside.
#include <sys/stat.h>

#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "agent/container/profile.h"
#include "agent/container/slot_spec.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/agent/container/docker_host.h"
#include "tests/support/scripted_unix_server.h"

namespace thaw::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

INSTANTIATE_TEST_SUITE_P(Docker, ContainerRuntimeContract,
                         ::testing::Values(RuntimeFactory([] { return std::make_unique<DockerUnderTest>(); })));

class DockerContainer : public ContainerRuntimeContract {
 protected:
  std::string RunReport(const agent::ContainerSpec& spec) {
    const auto id = runtime().Create(spec, Soon());
    EXPECT_TRUE(id.ok()) << id.status();
    if (!id.ok()) return "";
    const absl::Status started = runtime().Start(*id, Soon());
    EXPECT_TRUE(started.ok()) << started;
    EXPECT_EQ(AwaitExit(*id).exit_code, 0);
    const auto log = runtime().TailLog(*id, 100, Soon());
    EXPECT_TRUE(log.ok()) << log.status();
    return log.value_or("");
  }

  static std::uint64_t EffectiveCapabilities(const std::string& report) {
    for (const absl::string_view line : absl::StrSplit(report, '\n')) {
      if (!absl::StartsWith(line, "CapEff:\t")) continue;
      std::uint64_t set = 0;
      EXPECT_TRUE(absl::SimpleHexAtoi(line.substr(8), &set));
      return set;
    }
    ADD_FAILURE() << "no CapEff in " << report;
    return 0;
  }

  TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(Docker, DockerContainer,
                         ::testing::Values(RuntimeFactory([] { return std::make_unique<DockerUnderTest>(); })));

TEST_P(DockerContainer, IsFromInsideWhatItsSpecSays) {
  auto spec = Spec("report", {"report"});
  spec.binds = {{dir_.path(), "/data", false}, {dir_.path(), "/readonly", true}};
  spec.tmpfs = {{"/tmp", "rw,nosuid,nodev,exec,mode=1777,size=1048576"}};
  spec.capabilities = {"KILL", "CHOWN"};
  spec.memory_bytes = 64 << 20;
  spec.cpu_millis = 64'000;  // More than the machine has: no limit that binds, and no refusal either.
  spec.max_pids = 77;
  const std::string report = RunReport(spec);
  EXPECT_THAT(report, HasSubstr("uid 0 pid 1\n"));
  EXPECT_EQ(EffectiveCapabilities(report), (1u << 5) | (1u << 0)) << report;
  EXPECT_THAT(report, HasSubstr("Seccomp:\t0\n"));
  EXPECT_THAT(report, HasSubstr("write /root-file: Read-only file system\n"));
  EXPECT_THAT(report, HasSubstr("write /tmp/file: ok\n"));
  EXPECT_THAT(report, HasSubstr("write /data/file: ok\n"));
  EXPECT_THAT(report, HasSubstr("write /readonly/file: Read-only file system\n"));
  EXPECT_THAT(report, HasSubstr("write /proc/sys/kernel/ns_last_pid: ok\n"));
  EXPECT_THAT(report, HasSubstr("masked no\n"));
  EXPECT_THAT(report, HasSubstr("size=1024k"));
  EXPECT_THAT(report, Not(HasSubstr("noexec")));
  EXPECT_THAT(report, HasSubstr("stdin /dev/null\n"));
  EXPECT_THAT(report, HasSubstr("\n67108864\n"));
  EXPECT_THAT(report, HasSubstr("\n77\n"));
  EXPECT_THAT(report, AnyOf(HasSubstr("\n6400000\n"), HasSubstr("\n6400000 100000\n")));
  struct stat made {};
  EXPECT_EQ(::stat(dir_.File("file").c_str(), &made), 0);
}

TEST_P(DockerContainer, DoesNotUseTheImagesUserCommandOrHealthCheck) {
  auto spec = Spec("plain", {"report"});
  const std::string report = RunReport(spec);
  EXPECT_THAT(report, HasSubstr("uid 0 pid 1\n"));
  EXPECT_EQ(EffectiveCapabilities(report), 0u);
}

TEST_P(DockerContainer, OutOfMemoryIsSeen) {
  // The engine's shim hears of the kill and of the end on two ways, and now and then only of the latter when the process
  // was its container's first: what is asked for here is that its word reaches us, not that it always has one.
  bool seen = false;
  for (int i = 0; i < 10 && !seen; ++i) {
    auto spec = Spec(absl::StrCat("eat", i), {"eat"});
    spec.memory_bytes = 16 << 20;
    const auto id = runtime().Create(spec, Soon());
    ASSERT_TRUE(id.ok()) << id.status();
    ASSERT_TRUE(runtime().Start(*id, Soon()).ok());
    const auto info = AwaitExit(*id);
    EXPECT_EQ(info.exit_code, 137);
    seen = info.oom_killed;
  }
  EXPECT_TRUE(seen);
}

TEST_P(DockerContainer, BindSourceThatIsNotThereIsRefusedAndNotMade) {
  auto spec = Spec("bind", {"sleep"});
  spec.binds = {{dir_.File("missing"), "/data", false}};
  const auto id = runtime().Create(spec, Soon());
  EXPECT_TRUE(absl::IsFailedPrecondition(id.status())) << id.status();
  EXPECT_THAT(std::string(id.status().message()), HasSubstr("does not exist"));
  struct stat made {};
  EXPECT_NE(::stat(dir_.File("missing").c_str(), &made), 0);
}

TEST_P(DockerContainer, CommandThatIsNotThereIsAFailedPreconditionOfTheStart) {
  auto spec = Spec("nothing", {});
  spec.command = {"/nothing"};
  const auto id = runtime().Create(spec, Soon());
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_TRUE(absl::IsFailedPrecondition(runtime().Start(*id, Soon())));
}

// Where this machine can start privileged containers it is privileged that is chosen, elsewhere checkpoint with the
// engine's words; both are the probe's promise.
TEST_P(DockerContainer, ProbeChoosesAProfileThatStarts) {
  const bool had_image = runtime().InspectImage("thaw-probe:1", Soon()).ok();
  const std::string tools = dir_.File("tools");
  ASSERT_EQ(::system(absl::StrCat("mkdir ", tools, " && cp ", THAW_TEST_PAYLOAD, " ", tools, "/init").c_str()), 0);
  for (const bool own_image : {true, false}) {
    agent::ProfileProbe probe(runtime(), {Name("node"), tools, own_image ? "" : image_.id});
    const auto checkpoint = probe.Choose(agent::ProfileRequest::kAuto, Soon());
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    EXPECT_EQ(checkpoint->name(), "checkpoint");
    EXPECT_GE(checkpoint->capabilities.size(), agent::RequiredCapabilities().size());
    const auto privileged = probe.Choose(agent::ProfileRequest::kPrivileged, Soon());
    ASSERT_TRUE(privileged.ok()) << privileged.status();
    if (privileged->name() == "checkpoint") {
      EXPECT_THAT(privileged->note, HasSubstr("privileged: can't start"));
    }
    std::printf("auto: %s (%s)\nprivileged: %s (%s)\n", std::string(checkpoint->name()).c_str(),
                checkpoint->note.c_str(), std::string(privileged->name()).c_str(), privileged->note.c_str());
  }
  if (!had_image) {
    EXPECT_TRUE(runtime().RemoveImage("thaw-probe:1", Soon()).ok());
  }
  const auto left = runtime().List({{agent::kNodeLabel, Name("node")}}, Soon());
  ASSERT_TRUE(left.ok()) << left.status();
  EXPECT_TRUE(left->empty());
}

TEST_P(DockerContainer, SlotSpecStartsWithTheChosenProfile) {
  const agent::Paths paths(dir_.File("data"));
  const std::string slot = run_;
  ASSERT_EQ(::system(absl::StrCat("mkdir -p ", paths.Ctl(slot), " ", paths.Iofs(slot), " ", paths.Cracdata("v"), " ",
                                  paths.Tools("t"), " && cp ", THAW_TEST_PAYLOAD, " ", paths.Tools("t"), "/init")
                         .c_str()),
            0);
  agent::ProfileProbe probe(runtime(), {Name("node"), paths.Tools("t"), image_.id});
  const auto profile = probe.Choose(agent::ProfileRequest::kCheckpoint, Soon());
  ASSERT_TRUE(profile.ok()) << profile.status();
  agent::SlotRequest request;
  request.node_id = Name("node");
  request.slot_id = slot;
  request.tools = "t";
  request.version_id = "v";
  request.function_id = "f";
  request.image_id = image_.id;
  request.memory_mib = 128;
  request.cpu_millis = 500;
  request.network = "none";
  auto spec = agent::MakeSlotSpec(request, *profile, paths);
  spec.labels["thaw.test.run"] = run_;
  const auto id = runtime().Create(spec, Soon());
  ASSERT_TRUE(id.ok()) << id.status();
  const absl::Time before = absl::Now();
  const absl::Status started = runtime().Start(*id, Soon());
  ASSERT_TRUE(started.ok()) << started;
  std::printf("start of a slot: %.0f ms\n", absl::ToDoubleMilliseconds(absl::Now() - before));
  const auto info = runtime().Inspect(*id, Soon());
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_TRUE(info->running);
  EXPECT_EQ(info->labels.at(agent::kRoleLabel), agent::kSlotRole);
  EXPECT_EQ(info->labels.at(agent::kSlotLabel), slot);
  ASSERT_TRUE(runtime().Remove(*id, Soon()).ok());
}

}  // namespace
}  // namespace thaw::testing
