// That a baseline's settings arrive in the process of a function, and what glibc, OpenSSL, HotSpot and Go make of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/cpu/cpu_limits.h"
#include "agent/cpu/node_cpu.h"
#include "common/cpu/features.h"
#include "tests/agent/init/slot_container.h"

namespace thaw::agent {
namespace {

using init::CracVolume;
using init::Shell;
using init::SlotContainer;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Image() {
  const char* given = getenv("THAW_JAVA_RUNTIME_IMAGE");
  return given != nullptr ? given : "thaw/java-runtime:latest";
}

std::string Missing() {
  if (geteuid() != 0) return "root";
  if (Shell("docker image inspect " + Image()).status != 0) return "a Docker Engine with the image " + Image();
  if (ReadHostCpu().architecture != "x86_64") return "an x86_64 host: elsewhere there are no levels";
  return "";
}

class CpuHostTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string missing = Missing();
    if (!missing.empty()) {
      if (getenv("THAW_REQUIRE_HOST") != nullptr) FAIL() << "this host test needs " << missing;
      GTEST_SKIP() << "this host test needs " << missing;
    }
    slot_ = std::make_unique<SlotContainer>(SlotContainer::Options{.image = Image(), .crac_dir = volume_.host_dir(), .more_arguments = "-v " + programs_.host_dir() + ":/programs:ro"});
    ASSERT_EQ(slot_->error(), "");
  }

  // Runs the command as the agent starts a function of that baseline, to its end; what it printed.
  std::string Run(CpuLevel level, std::vector<std::string> argv) {
    std::map<std::string, std::string> env = {{"PATH", "/usr/local/bin:/usr/bin:/bin"}};
    LimitCpu(level, "criu", env, argv);
    const std::string instance = "i-" + std::to_string(++runs_);
    const auto started = slot_->Order({{"op", "start"}, {"argv", argv}, {"env", env}, {"cwd", "/"}, {"uid", 1000}, {"gid", 1000},
                                       {"instance", instance}, {"meta", "m"}});
    EXPECT_TRUE(started.value("ok", false)) << started;
    if (!started.value("ok", false)) return "";
    const auto exited = slot_->WaitEvent("exit", 60);
    EXPECT_EQ(exited.is_null() ? -1 : exited.value("code", -1), 0) << exited << slot_->Log();
    const std::string log = slot_->Log();
    const std::size_t from = log.find(instance + " ");
    return from == std::string::npos ? "" : log.substr(from);
  }

  CracVolume volume_;
  // A directory like any other: what a test has built for itself to run.
  CracVolume programs_;
  std::unique_ptr<SlotContainer> slot_;
  int runs_ = 0;
};

TEST_F(CpuHostTest, TheSettingsArriveInTheProcess) {
  const CpuSettings settings = SettingsOf(CpuLevel::kV2);
  const std::string seen = Run(CpuLevel::kV2, {"/bin/sh", "-c", "tr '\\000' '\\n' </proc/self/environ"});
  EXPECT_THAT(seen, HasSubstr("GLIBC_TUNABLES=glibc.cpu.hwcaps=" + settings.glibc_hwcaps));
  EXPECT_THAT(seen, HasSubstr("GODEBUG=" + settings.go));
  EXPECT_THAT(seen, HasSubstr("JAVA_TOOL_OPTIONS=" + settings.hotspot));
  EXPECT_THAT(seen, HasSubstr("OPENSSL_ia32cap=~0x"));
  EXPECT_THAT(Run(CpuLevel::kNative, {"/bin/sh", "-c", "tr '\\000' '\\n' </proc/self/environ"}), Not(HasSubstr("GLIBC_TUNABLES")));
}

TEST_F(CpuHostTest, GlibcSeesNoMoreThanTheLevel) {
  constexpr char kLoader[] = "/lib64/ld-linux-x86-64.so.2";
  const CpuLevel host = LevelOf(ReadHostCpu().features);
  for (const CpuLevel level : {CpuLevel::kV2, CpuLevel::kV3, CpuLevel::kV4, CpuLevel::kNative}) {
    const std::string help = Run(level, {kLoader, "--help"});
    for (const CpuLevel searched : {CpuLevel::kV2, CpuLevel::kV3, CpuLevel::kV4}) {
      const std::string words = std::string(CpuLevelName(searched)) + " (supported, searched)";
      EXPECT_EQ(help.find(words) != std::string::npos, searched <= std::min(level, host))
          << "held to " << CpuLevelName(level) << ", glibc's " << CpuLevelName(searched);
    }
  }
  EXPECT_THAT(Run(CpuLevel::kV2, {kLoader, "--list-diagnostics"}), HasSubstr("x86.cpu_features.xsave_state_size=0x0\n"));
}

TEST_F(CpuHostTest, HotspotSeesNoMoreThanTheLevel) {
  const std::vector<std::string> flags = {"java", "-XX:+PrintFlagsFinal", "-version"};
  const std::string v2 = Run(CpuLevel::kV2, flags);
  EXPECT_THAT(v2, ContainsRegex(" UseAVX +=  *0"));
  EXPECT_THAT(v2, ContainsRegex(" UseSSE +=  *4"));
  for (const char* flag : {"UseAES", "UseSHA", "UseFMA", "UseCLMUL", "UseBMI1Instructions", "UseBMI2Instructions",
                           "UseCountLeadingZerosInstruction"}) {
    EXPECT_THAT(v2, ContainsRegex(" " + std::string(flag) + " +=  *false"));
  }
  EXPECT_THAT(v2, Not(HasSubstr("warning"))) << "HotSpot finds nothing odd about the flags";
  const std::string v3 = Run(CpuLevel::kV3, flags);
  if (LevelOf(ReadHostCpu().features) >= CpuLevel::kV3) {
    EXPECT_THAT(v3, ContainsRegex(" UseAVX +=  *2"));
    EXPECT_THAT(v3, ContainsRegex(" UseFMA +=  *true"));
  }
  EXPECT_THAT(v3, ContainsRegex(" UseAES +=  *false"));
}

TEST_F(CpuHostTest, OpensslSeesNoMoreThanTheLevel) {
  ASSERT_EQ(slot_->Exec("command -v openssl").status, 0) << "the runtime image has lost its openssl program";
  const auto vectors = [](const std::string& text) {
    std::vector<std::uint64_t> found;
    const std::size_t at = text.find("OPENSSL_ia32cap=");
    const char* rest = at == std::string::npos ? "" : text.c_str() + at + sizeof("OPENSSL_ia32cap=") - 1;
    while (*rest == '0' || *rest == ':') {
      char* end = nullptr;
      found.push_back(strtoull(rest + (*rest == ':'), &end, 16));
      rest = end;
    }
    return found;
  };
  const auto native = vectors(Run(CpuLevel::kNative, {"/usr/bin/openssl", "info", "-cpusettings"}));
  ASSERT_GE(native.size(), 2u);
  for (const CpuLevel level : {CpuLevel::kV2, CpuLevel::kV3}) {
    const auto limited = vectors(Run(level, {"/usr/bin/openssl", "info", "-cpusettings"}));
    ASSERT_EQ(limited.size(), native.size());
    const auto clear = SettingsOf(level).openssl_clear;
    for (std::size_t i = 0; i < std::min(limited.size(), clear.size()); ++i) {
      EXPECT_EQ(limited[i], native[i] & ~clear[i]) << "vector " << i << " at " << CpuLevelName(level);
    }
  }
}

TEST_F(CpuHostTest, GoSeesNoMoreThanTheLevel) {
  // In a container: a machine need not have Go, and Debian 12's is older than the probe can read.
  const std::string tools = "thaw-test/language-tools-go:latest";
  ASSERT_EQ(Shell("docker image inspect " + tools).status, 0) << "no image " << tools << "; tests/functions/languages/build makes it";
  const auto build = Shell("docker run --rm --init --network none -v " THAW_GO_PROBE ":/src:ro -v " + programs_.host_dir() +
                           ":/out -e GOCACHE=/tmp/cache -e GOTOOLCHAIN=local -e CGO_ENABLED=0 -w /src " + tools +
                           " go build -buildvcs=false -o /out/go_probe . && chmod -R 755 " + programs_.host_dir());
  ASSERT_EQ(build.status, 0) << build.output;
  const std::string built = "/programs/go_probe";
  const std::string native = Run(CpuLevel::kNative, {built});
  ASSERT_THAT(native, HasSubstr("HasSSE42=true")) << "the probe can tell a feature that is there";
  const std::string v2 = Run(CpuLevel::kV2, {built});
  for (const char* feature : {"HasAVX", "HasAVX2", "HasBMI1", "HasBMI2", "HasFMA", "HasAES", "HasSHA", "HasADX", "HasPCLMULQDQ",
                              "HasAVX512F"}) {
    EXPECT_THAT(v2, HasSubstr(std::string(feature) + "=false"));
  }
  EXPECT_THAT(v2, HasSubstr("HasSSE42=true"));
  // What this Go has no name for (Go 1.26 has), it says so of and does without anyway; it must know all others.
  for (const char* feature : {"aes", "avx", "avx2", "avx512f", "avx512bw", "avx512vl", "bmi1", "bmi2", "fma", "sha", "adx", "pclmulqdq"}) {
    EXPECT_THAT(v2, Not(HasSubstr(absl::StrCat("unknown cpu feature \"", feature, "\""))));
  }
}

}  // namespace
}  // namespace thaw::agent
