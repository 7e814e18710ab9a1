#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agent/cpu/cpu_limits.h"
#include "agent/cpu/node_cpu.h"
#include "common/cpu/features.h"
#include "common/cpu/fit.h"
#include "common/status/reasons.h"

namespace thaw::agent {
namespace {

// A Zen 4 as the kernel lists it, with much that is no program's business.
constexpr char kZen4[] =
    "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 9R14\nflags\t\t: fpu vme de pse tsc msr cx8 apic cmov mmx "
    "fxsr sse sse2 ht syscall nx mmxext rdtscp lm constant_tsc pni pclmulqdq ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes "
    "xsave avx f16c rdrand hypervisor lahf_lm abm sse4a bmi1 avx2 smep bmi2 erms avx512f avx512dq adx avx512ifma avx512cd "
    "sha_ni avx512bw avx512vl xsaveopt xsavec avx512vbmi vaes\nbugs\t\t: spectre_v1\n\nprocessor\t: 1\nmodel name\t: AMD EPYC 9R14\n";

HostCpu Zen4() { return ParseCpuInfo(kZen4, "x86_64"); }
bool Has(const CpuFeatures& features, const std::string& feature) {
  return std::find(features.begin(), features.end(), feature) != features.end();
}
NodeCpu Node(absl::string_view told = "") {
  const auto cpu = MakeNodeCpu(Zen4(), told);
  EXPECT_TRUE(cpu.ok()) << cpu.status();
  return cpu.value_or(NodeCpu());
}
common::v1::SnapshotInfo SnapshotWith(const CpuFeatures& features) {
  common::v1::SnapshotInfo snapshot;
  snapshot.set_id("4f2a91c0");
  snapshot.set_architecture("x86_64");
  for (const auto& feature : features) snapshot.add_cpu_features(feature);
  return snapshot;
}

TEST(CpuInfoTest, OfAnX86HostOnlyWhatProgramsAskForIsKept) {
  const HostCpu cpu = Zen4();
  EXPECT_EQ(cpu.model, "AMD EPYC 9R14");
  EXPECT_TRUE(std::is_sorted(cpu.features.begin(), cpu.features.end()));
  EXPECT_TRUE(Has(cpu.features, "avx512vl"));
  EXPECT_TRUE(Has(cpu.features, "pclmulqdq"));
  for (const char* kernels : {"hypervisor", "constant_tsc", "smep", "erms", "nx"}) EXPECT_FALSE(Has(cpu.features, kernels)) << kernels;
}

TEST(CpuInfoTest, OfAnotherArchitectureAllIsKept) {
  const HostCpu cpu = ParseCpuInfo("processor\t: 0\nFeatures\t: fp asimd evtstrm aes sve\nCPU part\t: 0xd40\n", "aarch64");
  EXPECT_EQ(absl::StrJoin(cpu.features, " "), "aes asimd evtstrm fp sve");
}

TEST(CpuInfoTest, ThisHostHasTheFeaturesOfItsLevel) {
  const HostCpu cpu = ReadHostCpu();
  ASSERT_FALSE(cpu.features.empty());
  if (cpu.architecture == "x86_64") {
    EXPECT_TRUE(MissingFeatures(FeaturesOfLevel(LevelOf(cpu.features)), cpu.features).empty());
  }
}

TEST(CpuLevelTest, EachLevelHasThoseBelowIt) {
  for (const auto& [lower, higher] : {std::pair{CpuLevel::kV1, CpuLevel::kV2}, std::pair{CpuLevel::kV2, CpuLevel::kV3},
                                      std::pair{CpuLevel::kV3, CpuLevel::kV4}}) {
    EXPECT_TRUE(MissingFeatures(FeaturesOfLevel(lower), FeaturesOfLevel(higher)).empty());
    EXPECT_GT(FeaturesOfLevel(higher).size(), FeaturesOfLevel(lower).size());
    EXPECT_EQ(LevelOf(FeaturesOfLevel(higher)), higher);
  }
}

TEST(CpuLevelTest, NamesAreReadBackAndOthersRefused) {
  for (const CpuLevel level : {CpuLevel::kV1, CpuLevel::kV2, CpuLevel::kV3, CpuLevel::kV4, CpuLevel::kNative}) {
    CpuLevel read = CpuLevel::kV1;
    EXPECT_TRUE(ParseCpuLevel(CpuLevelName(level), read));
    EXPECT_EQ(read, level);
  }
  CpuLevel read = CpuLevel::kV1;
  EXPECT_TRUE(ParseCpuLevel("", read));
  EXPECT_EQ(read, CpuLevel::kNative);
  EXPECT_FALSE(ParseCpuLevel("x86-64-v5", read));
  EXPECT_FALSE(ParseCpuLevel("v3", read));
}

TEST(NodeCpuTest, WithoutAWordItReportsWhatTheHostHas) {
  const NodeCpu cpu = Node();
  EXPECT_EQ(cpu.reported, cpu.host.features);
  EXPECT_EQ(cpu.limit, CpuLevel::kNative);
}

TEST(NodeCpuTest, ToldALevelItReportsThatAndHoldsItsFunctionsToIt) {
  const NodeCpu cpu = Node("x86-64-v2");
  EXPECT_EQ(cpu.reported, FeaturesOfLevel(CpuLevel::kV2));
  EXPECT_EQ(EffectiveLevel(cpu, ""), CpuLevel::kV2);
  EXPECT_EQ(EffectiveLevel(cpu, "x86-64-v4"), CpuLevel::kV2);
  EXPECT_EQ(EffectiveLevel(cpu, "x86-64-v1"), CpuLevel::kV1);
}

TEST(NodeCpuTest, ToldFeaturesItHoldsItsFunctionsToTheLevelWithinThem) {
  const std::string words = absl::StrJoin(FeaturesOfLevel(CpuLevel::kV3), ",") + ",aes,pclmulqdq";
  const NodeCpu cpu = Node(words);
  EXPECT_TRUE(Has(cpu.reported, "aes"));
  EXPECT_EQ(cpu.limit, CpuLevel::kV3);
}

TEST(NodeCpuTest, WhatTheHostLacksCantBeClaimed) {
  const auto cpu = MakeNodeCpu(Zen4(), "x86-64-v2,amx_tile");
  ASSERT_EQ(cpu.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(cpu.status().message(), "amx_tile")) << cpu.status();
  EXPECT_EQ(MakeNodeCpu(ParseCpuInfo("Features : fp asimd\n", "aarch64"), "x86-64-v2").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(NodeCpuTest, OnAnotherArchitectureABaselineChangesNothing) {
  const auto cpu = MakeNodeCpu(ParseCpuInfo("Features : fp asimd\n", "aarch64"), "");
  ASSERT_TRUE(cpu.ok());
  EXPECT_EQ(EffectiveLevel(*cpu, "x86-64-v2"), CpuLevel::kNative);
  EXPECT_EQ(FrozenFeatures(*cpu, CpuLevel::kNative, {}), cpu->host.features);
}

TEST(FrozenFeaturesTest, AreTheHostsCutDownToTheLevel) {
  const NodeCpu cpu = Node();
  EXPECT_EQ(FrozenFeatures(cpu, CpuLevel::kNative, {"/app"}), cpu.host.features);
  EXPECT_EQ(FrozenFeatures(cpu, CpuLevel::kV2, {"/app"}), FeaturesOfLevel(CpuLevel::kV2));
  EXPECT_FALSE(Has(FrozenFeatures(cpu, CpuLevel::kV3, {"/app"}), "aes"));
}

TEST(FrozenFeaturesTest, KeepWhatNoSettingTakesFromTheRuntime) {
  const NodeCpu cpu = Node();
  EXPECT_TRUE(Has(FrozenFeatures(cpu, CpuLevel::kV2, {"/usr/local/bin/node", "func.js"}), "pclmulqdq"));
  HostCpu newer = Zen4();
  newer.features.insert(std::upper_bound(newer.features.begin(), newer.features.end(), "serialize"), "serialize");
  EXPECT_TRUE(Has(FrozenFeatures(*MakeNodeCpu(newer, ""), CpuLevel::kV2, {"java", "-cp"}), "serialize"));
  EXPECT_FALSE(Has(FrozenFeatures(*MakeNodeCpu(newer, ""), CpuLevel::kV2, {"/app"}), "serialize"));
}

TEST(CpuFitTest, ASnapshotFitsWhoHasAllOfItsFeatures) {
  const auto snapshot = SnapshotWith(FeaturesOfLevel(CpuLevel::kV2));
  EXPECT_TRUE(CheckCpuFits(snapshot, Node().AsNode("a")).ok());
  EXPECT_TRUE(CheckCpuFits(snapshot, Node("x86-64-v2").AsNode("a")).ok());
}

TEST(CpuFitTest, WhoLacksSomeIsToldWhichAndTheRemedy) {
  const absl::Status fits = CheckCpuFits(SnapshotWith(FeaturesOfLevel(CpuLevel::kV3)), Node("x86-64-v2").AsNode("old"));
  EXPECT_EQ(fits.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(fits), reason::kCpuUnfit);
  EXPECT_EQ(fits.message(),
            "snapshot 4f2a91c0 relies on CPU features that node old lacks: abm, avx, avx2, bmi1, bmi2, f16c and 3 more; set the "
            "function's --cpu-baseline to x86-64-v2 to get one that fits (docs/cpu.md)");
}

TEST(CpuFitTest, OfOlderAgentsOnlyTheArchitectureCounts) {
  EXPECT_TRUE(CheckCpuFits(SnapshotWith({}), Node("x86-64-v1").AsNode("a")).ok());
  common::v1::Node silent;
  silent.set_architecture("x86_64");
  EXPECT_TRUE(CheckCpuFits(SnapshotWith(FeaturesOfLevel(CpuLevel::kV4)), silent).ok());
  silent.set_architecture("aarch64");
  EXPECT_EQ(CheckCpuFits(SnapshotWith({}), silent).code(), absl::StatusCode::kFailedPrecondition);
}

// ---------------------------------------------------------------- each baseline's settings

class SettingsTest : public ::testing::TestWithParam<CpuLevel> {};
INSTANTIATE_TEST_SUITE_P(Levels, SettingsTest, ::testing::Values(CpuLevel::kV1, CpuLevel::kV2, CpuLevel::kV3, CpuLevel::kV4),
                         [](const auto& info) { return "V" + std::to_string(static_cast<int>(info.param)); });

bool TurnsOff(const std::string& list, const std::string& word) {
  const std::vector<std::string> words = absl::StrSplit(list, ',');
  return std::find(words.begin(), words.end(), word) != words.end();
}

TEST_P(SettingsTest, GlibcIsToldOfAllAboveTheLevelAndOfNothingWithin) {
  const std::string hwcaps = SettingsOf(GetParam()).glibc_hwcaps;
  EXPECT_EQ(TurnsOff(hwcaps, "-SSE4_2"), GetParam() < CpuLevel::kV2);
  EXPECT_EQ(TurnsOff(hwcaps, "-XSAVE"), GetParam() < CpuLevel::kV3);
  EXPECT_EQ(TurnsOff(hwcaps, "-AVX2"), GetParam() < CpuLevel::kV3);
  EXPECT_EQ(TurnsOff(hwcaps, "-AVX512VL"), GetParam() < CpuLevel::kV4);
  EXPECT_TRUE(TurnsOff(hwcaps, "-XSAVEC"));
}

TEST_P(SettingsTest, GoIsToldOfAllAboveTheLevelAndOfNothingWithin) {
  const std::string go = SettingsOf(GetParam()).go;
  EXPECT_EQ(TurnsOff(go, "cpu.sse42=off"), GetParam() < CpuLevel::kV2);
  EXPECT_EQ(TurnsOff(go, "cpu.avx2=off"), GetParam() < CpuLevel::kV3);
  EXPECT_TRUE(TurnsOff(go, "cpu.avx512f=off"));
  EXPECT_TRUE(TurnsOff(go, "cpu.aes=off"));
}

TEST_P(SettingsTest, OpensslIsToldOfAllAboveTheLevelAndOfNothingWithin) {
  const auto clear = SettingsOf(GetParam()).openssl_clear;
  const auto cleared = [&clear](int vector, int bit) { return (clear[vector] >> bit & 1) != 0; };
  EXPECT_EQ(cleared(0, 32 + 20), GetParam() < CpuLevel::kV2) << "SSE4.2";
  EXPECT_EQ(cleared(0, 60), GetParam() < CpuLevel::kV3) << "AVX";
  EXPECT_EQ(cleared(0, 59), GetParam() < CpuLevel::kV3) << "OSXSAVE";
  EXPECT_EQ(cleared(1, 5), GetParam() < CpuLevel::kV3) << "AVX2";
  EXPECT_EQ(cleared(1, 16), GetParam() < CpuLevel::kV4) << "AVX512F";
  EXPECT_TRUE(cleared(0, 57)) << "AES";
  EXPECT_TRUE(cleared(0, 33)) << "PCLMULQDQ";
  EXPECT_TRUE(cleared(1, 29)) << "SHA";
  EXPECT_TRUE(cleared(1, 41)) << "VAES";
  EXPECT_EQ(clear[0] & 0xffffffff, 0u) << "CPUID.1 EDX is of level 1";
}

TEST_P(SettingsTest, HotspotIsToldOfAllAboveTheLevel) {
  const std::vector<std::string> flags = absl::StrSplit(SettingsOf(GetParam()).hotspot, ' ');
  const auto has = [&flags](const char* flag) { return std::find(flags.begin(), flags.end(), flag) != flags.end(); };
  EXPECT_EQ(has("-XX:UseSSE=2"), GetParam() < CpuLevel::kV2);
  EXPECT_EQ(has("-XX:UseAVX=0"), GetParam() < CpuLevel::kV3);
  EXPECT_EQ(has("-XX:UseAVX=2"), GetParam() >= CpuLevel::kV3);
  EXPECT_EQ(has("-XX:-UseFMA"), GetParam() < CpuLevel::kV3);
  EXPECT_TRUE(has("-XX:-UseAES"));
  EXPECT_TRUE(has("-XX:-UseSHA"));
}

TEST_P(SettingsTest, V8IsToldOnItsCommandLine) {
  std::map<std::string, std::string> env;
  std::vector<std::string> argv = {"/usr/local/bin/node", "func.js"};
  LimitCpu(GetParam(), "criu", env, argv);
  EXPECT_EQ(argv.front(), "/usr/local/bin/node");
  EXPECT_EQ(argv.back(), "func.js");
  EXPECT_EQ(Has(argv, "--no-enable-avx"), GetParam() < CpuLevel::kV3);
  EXPECT_EQ(Has(argv, "--no-enable-sse4-2"), GetParam() < CpuLevel::kV2);
}

TEST(LimitCpuTest, NativeSetsNothing) {
  std::map<std::string, std::string> env = {{"A", "b"}};
  std::vector<std::string> argv = {"node", "func.js"};
  LimitCpu(CpuLevel::kNative, "criu", env, argv);
  EXPECT_EQ(env, (std::map<std::string, std::string>{{"A", "b"}}));
  EXPECT_EQ(argv.size(), 2u);
}

TEST(LimitCpuTest, WhatImageAndUserHaveSetStays) {
  std::map<std::string, std::string> env = {{"GLIBC_TUNABLES", "glibc.malloc.arena_max=1:glibc.cpu.hwcaps=-ERMS:glibc.rtld.nns=4"},
                                            {"GODEBUG", "madvdontneed=1"},
                                            {"JAVA_TOOL_OPTIONS", "-Xint"}};
  std::vector<std::string> argv = {"/app"};
  LimitCpu(CpuLevel::kV4, "criu", env, argv);
  EXPECT_TRUE(absl::StartsWith(env["GLIBC_TUNABLES"], "glibc.malloc.arena_max=1:glibc.cpu.hwcaps=-ERMS,-XSAVEC,"));
  EXPECT_TRUE(absl::EndsWith(env["GLIBC_TUNABLES"], ":glibc.rtld.nns=4"));
  EXPECT_TRUE(absl::StartsWith(env["GODEBUG"], "madvdontneed=1,cpu."));
  EXPECT_TRUE(absl::StartsWith(env["JAVA_TOOL_OPTIONS"], "-Xint -XX:"));
  EXPECT_EQ(argv, (std::vector<std::string>{"/app"}));
}

TEST(LimitCpuTest, AnOpensslMaskThatIsSetIsCutFurther) {
  const std::uint64_t ours = SettingsOf(CpuLevel::kV3).openssl_clear[1];
  const auto masked = [](const std::string& before) {
    std::map<std::string, std::string> env = {{"OPENSSL_ia32cap", before}};
    std::vector<std::string> argv;
    LimitCpu(CpuLevel::kV3, "criu", env, argv);
    return std::vector<std::string>(absl::StrSplit(env["OPENSSL_ia32cap"], ':'));
  };
  EXPECT_EQ(masked("").size(), 4u);
  EXPECT_EQ(masked("")[1], absl::StrFormat("~0x%x", ours));
  EXPECT_EQ(masked(":~0x20")[1], absl::StrFormat("~0x%x", ours | 0x20));
  EXPECT_EQ(masked(":0xffffffffffffffff")[1], absl::StrFormat("0x%x", ~ours));
  EXPECT_EQ(masked(":0")[1], "0x0");
  EXPECT_EQ(masked("::::~0x1")[4], "~0x1");
}

TEST(LimitCpuTest, ACracJdkIsToldInItsOwnWordsToo) {
  std::map<std::string, std::string> env;
  std::vector<std::string> argv = {"java"};
  LimitCpu(CpuLevel::kV3, "crac", env, argv);
  EXPECT_TRUE(absl::StrContains(env["JAVA_TOOL_OPTIONS"], "-XX:CPUFeatures=generic"));
}

}  // namespace
}  // namespace thaw::agent
