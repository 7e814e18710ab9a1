#include "common/cpu/features.h"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"

namespace thaw {
namespace {

// The psABI's words where they are others than the kernel's: SSE3 is pni, LZCNT abm, OSXSAVE xsave, SCE syscall,
// LAHF-SAHF lahf_lm, CMPXCHG16B cx16.
constexpr const char* kLevel1[] = {"cmov", "cx8", "fpu", "fxsr", "mmx", "sse", "sse2", "syscall"};
constexpr const char* kLevel2[] = {"cx16", "lahf_lm", "pni", "popcnt", "sse4_1", "sse4_2", "ssse3"};
constexpr const char* kLevel3[] = {"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"};
constexpr const char* kLevel4[] = {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"};
// Of no level, and asked for by programs that choose their code at run time.
constexpr const char* kBeyond[] = {
    "3dnowprefetch", "adx",          "aes",          "amx_bf16",           "amx_complex",      "amx_fp16",     "amx_int8",
    "amx_tile",      "avx10",        "avx512_4fmaps", "avx512_4vnniw",     "avx512_bf16",      "avx512_bitalg", "avx512_fp16",
    "avx512_vbmi2",  "avx512_vnni",  "avx512_vp2intersect", "avx512_vpopcntdq", "avx512er",    "avx512ifma",   "avx512pf",
    "avx512vbmi",    "avx_ifma",     "avx_ne_convert", "avx_vnni",         "avx_vnni_int16",   "avx_vnni_int8", "cldemote",
    "clflushopt",    "clwb",         "cmpccxadd",    "fma4",               "fsgsbase",         "gfni",         "hle",
    "lwp",           "mmxext",       "movdir64b",    "movdiri",            "ospke",            "pclmulqdq",    "raoint",
    "rdpid",         "rdrand",       "rdseed",       "rdtscp",             "rtm",              "serialize",    "sha512",
    "sha_ni",        "sm3",          "sm4",          "sse4a",              "tbm",              "vaes",         "vpclmulqdq",
    "waitpkg",       "xgetbv1",      "xop",          "xsavec",             "xsaveopt"};

CpuFeatures Sorted(CpuFeatures features) {
  std::sort(features.begin(), features.end());
  features.erase(std::unique(features.begin(), features.end()), features.end());
  return features;
}

std::array<CpuFeatures, 5> MakeLevels() {
  std::array<CpuFeatures, 5> levels;
  CpuFeatures all(std::begin(kLevel1), std::end(kLevel1));
  levels[1] = Sorted(all);
  all.insert(all.end(), std::begin(kLevel2), std::end(kLevel2));
  levels[2] = Sorted(all);
  all.insert(all.end(), std::begin(kLevel3), std::end(kLevel3));
  levels[3] = Sorted(all);
  all.insert(all.end(), std::begin(kLevel4), std::end(kLevel4));
  levels[4] = Sorted(all);
  return levels;
}

bool Contains(const CpuFeatures& sorted, const std::string& feature) {
  return std::binary_search(sorted.begin(), sorted.end(), feature);
}

const CpuFeatures& RelevantOnX86() {
  static const CpuFeatures relevant = [] {
    CpuFeatures all = FeaturesOfLevel(CpuLevel::kV4);
    all.insert(all.end(), std::begin(kBeyond), std::end(kBeyond));
    return Sorted(std::move(all));
  }();
  return relevant;
}

}  // namespace

HostCpu ParseCpuInfo(absl::string_view cpuinfo, absl::string_view architecture) {
  HostCpu cpu;
  cpu.architecture = std::string(architecture);
  bool found = false;
  for (const absl::string_view line : absl::StrSplit(cpuinfo, '\n')) {
    const std::size_t colon = line.find(':');
    if (colon == absl::string_view::npos) continue;
    const absl::string_view key = absl::StripAsciiWhitespace(line.substr(0, colon));
    const absl::string_view value = absl::StripAsciiWhitespace(line.substr(colon + 1));
    if (key == "model name" && cpu.model.empty()) cpu.model = std::string(value);
    if ((key != "flags" && key != "Features") || found) continue;
    found = true;
    for (const absl::string_view word : absl::StrSplit(value, ' ', absl::SkipEmpty())) cpu.features.emplace_back(word);
  }
  cpu.features = Sorted(std::move(cpu.features));
  if (architecture == "x86_64") cpu.features = CommonFeatures(cpu.features, RelevantOnX86());
  return cpu;
}

HostCpu ReadHostCpu() {
  utsname host;
  uname(&host);
  std::ifstream file("/proc/cpuinfo");
  std::ostringstream text;
  text << file.rdbuf();
  return ParseCpuInfo(text.str(), host.machine);
}

absl::string_view CpuLevelName(CpuLevel level) {
  switch (level) {
    case CpuLevel::kV1:
      return "x86-64-v1";
    case CpuLevel::kV2:
      return "x86-64-v2";
    case CpuLevel::kV3:
      return "x86-64-v3";
    case CpuLevel::kV4:
      return "x86-64-v4";
    case CpuLevel::kNative:
      return "native";
  }
  return "native";
}

bool ParseCpuLevel(absl::string_view name, CpuLevel& level) {
  if (name.empty()) {
    level = CpuLevel::kNative;
    return true;
  }
  for (const CpuLevel known : {CpuLevel::kV1, CpuLevel::kV2, CpuLevel::kV3, CpuLevel::kV4, CpuLevel::kNative}) {
    if (name != CpuLevelName(known)) continue;
    level = known;
    return true;
  }
  return false;
}

const CpuFeatures& FeaturesOfLevel(CpuLevel level) {
  static const std::array<CpuFeatures, 5> levels = MakeLevels();
  return level == CpuLevel::kNative ? levels[0] : levels[static_cast<std::size_t>(level)];
}

CpuLevel LevelOf(const CpuFeatures& features) {
  for (const CpuLevel level : {CpuLevel::kV4, CpuLevel::kV3, CpuLevel::kV2}) {
    if (MissingFeatures(FeaturesOfLevel(level), features).empty()) return level;
  }
  return CpuLevel::kV1;
}

CpuFeatures MissingFeatures(const CpuFeatures& wanted, const CpuFeatures& present) {
  CpuFeatures missing;
  for (const std::string& feature : wanted) {
    if (!Contains(present, feature)) missing.push_back(feature);
  }
  return missing;
}

CpuFeatures CommonFeatures(const CpuFeatures& a, const CpuFeatures& b) {
  CpuFeatures common;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(common));
  return common;
}

}  // namespace thaw
