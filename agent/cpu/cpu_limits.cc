#include "agent/cpu/cpu_limits.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace thaw::agent {
namespace {

// A name that belongs to a level: what is held to a lower one must do without it. kNative: of no level.
struct Named {
  CpuLevel level;
  const char* name;
};

// glibc's words (sysdeps/x86/cpu-tunables.c). Without XSAVE it also takes AVX and all above for missing, and saves no more
// than SSE registers when it binds symbols.
constexpr Named kGlibc[] = {
    {CpuLevel::kV2, "SSSE3"},     {CpuLevel::kV2, "SSE4_1"},      {CpuLevel::kV2, "SSE4_2"},   {CpuLevel::kV2, "POPCNT"},
    {CpuLevel::kV3, "XSAVE"},     {CpuLevel::kV3, "AVX"},         {CpuLevel::kV3, "AVX2"},     {CpuLevel::kV3, "BMI1"},
    {CpuLevel::kV3, "BMI2"},      {CpuLevel::kV3, "FMA"},         {CpuLevel::kV3, "LZCNT"},    {CpuLevel::kV3, "MOVBE"},
    {CpuLevel::kV4, "AVX512F"},   {CpuLevel::kV4, "AVX512BW"},    {CpuLevel::kV4, "AVX512CD"}, {CpuLevel::kV4, "AVX512DQ"},
    {CpuLevel::kV4, "AVX512VL"},  {CpuLevel::kNative, "XSAVEC"},  {CpuLevel::kNative, "RTM"},  {CpuLevel::kNative, "FMA4"},
    {CpuLevel::kNative, "AVX512ER"}, {CpuLevel::kNative, "AVX512PF"}};

// Go's words (internal/cpu). Its AVX-512 code asks for more than the level has and can't be told apart, so all of it is
// off below kNative.
constexpr Named kGo[] = {
    {CpuLevel::kV2, "popcnt"},       {CpuLevel::kV2, "sse3"},         {CpuLevel::kV2, "sse41"},       {CpuLevel::kV2, "sse42"},
    {CpuLevel::kV2, "ssse3"},        {CpuLevel::kV3, "avx"},          {CpuLevel::kV3, "avx2"},        {CpuLevel::kV3, "bmi1"},
    {CpuLevel::kV3, "bmi2"},         {CpuLevel::kV3, "fma"},          {CpuLevel::kNative, "avx512f"}, {CpuLevel::kNative, "avx512bw"},
    {CpuLevel::kNative, "avx512cd"}, {CpuLevel::kNative, "avx512dq"}, {CpuLevel::kNative, "avx512vl"}, {CpuLevel::kNative, "adx"},
    {CpuLevel::kNative, "aes"},      {CpuLevel::kNative, "pclmulqdq"}, {CpuLevel::kNative, "rdtscp"}, {CpuLevel::kNative, "sha"},
    {CpuLevel::kNative, "vpclmulqdq"}};

// A bit of OpenSSL's vectors: 64 of each.
struct VectorBit {
  CpuLevel level;
  int vector;
  int bit;
};
constexpr VectorBit kOpenssl[] = {
    // CPUID.1 ECX: SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT; FMA, MOVBE, XSAVE, OSXSAVE, AVX, F16C; PCLMULQDQ, XOP
    // (put there by OpenSSL), AES, RDRAND.
    {CpuLevel::kV2, 0, 32 + 0}, {CpuLevel::kV2, 0, 32 + 9}, {CpuLevel::kV2, 0, 32 + 13}, {CpuLevel::kV2, 0, 32 + 19},
    {CpuLevel::kV2, 0, 32 + 20}, {CpuLevel::kV2, 0, 32 + 23}, {CpuLevel::kV3, 0, 32 + 12}, {CpuLevel::kV3, 0, 32 + 22},
    {CpuLevel::kV3, 0, 32 + 26}, {CpuLevel::kV3, 0, 32 + 27}, {CpuLevel::kV3, 0, 32 + 28}, {CpuLevel::kV3, 0, 32 + 29},
    {CpuLevel::kNative, 0, 32 + 1}, {CpuLevel::kNative, 0, 32 + 11}, {CpuLevel::kNative, 0, 32 + 25},
    {CpuLevel::kNative, 0, 32 + 30},
    // CPUID.7.0 EBX: BMI1, AVX2, BMI2; AVX-512 F, DQ, CD, BW, VL; RTM, RDSEED, ADX, IFMA, PF, ER, SHA.
    {CpuLevel::kV3, 1, 3}, {CpuLevel::kV3, 1, 5}, {CpuLevel::kV3, 1, 8}, {CpuLevel::kV4, 1, 16}, {CpuLevel::kV4, 1, 17},
    {CpuLevel::kV4, 1, 28}, {CpuLevel::kV4, 1, 30}, {CpuLevel::kV4, 1, 31}, {CpuLevel::kNative, 1, 11},
    {CpuLevel::kNative, 1, 18}, {CpuLevel::kNative, 1, 19}, {CpuLevel::kNative, 1, 21}, {CpuLevel::kNative, 1, 26},
    {CpuLevel::kNative, 1, 27}, {CpuLevel::kNative, 1, 29},
    // CPUID.7.0 ECX: VBMI, VBMI2, GFNI, VAES, VPCLMULQDQ, VNNI, BITALG, VPOPCNTDQ.
    {CpuLevel::kNative, 1, 32 + 1}, {CpuLevel::kNative, 1, 32 + 6}, {CpuLevel::kNative, 1, 32 + 8},
    {CpuLevel::kNative, 1, 32 + 9}, {CpuLevel::kNative, 1, 32 + 10}, {CpuLevel::kNative, 1, 32 + 11},
    {CpuLevel::kNative, 1, 32 + 12}, {CpuLevel::kNative, 1, 32 + 14},
    // CPUID.7.1 EAX: SHA512, SM3, SM4, AVX-VNNI, AVX-IFMA. CPUID.7.1 EDX: AVX10, APX.
    {CpuLevel::kNative, 2, 32 + 0}, {CpuLevel::kNative, 2, 32 + 1}, {CpuLevel::kNative, 2, 32 + 2},
    {CpuLevel::kNative, 2, 32 + 4}, {CpuLevel::kNative, 2, 32 + 23}, {CpuLevel::kNative, 3, 19}, {CpuLevel::kNative, 3, 21}};

// HotSpot's flags, of JDK 17 to 25; a JDK that lacks one ignores it. BMI2 stays off at v3 too: with it come ADCX and ADOX,
// which the level has not and no flag names.
constexpr char kHotspotAlways[] =
    "-XX:+IgnoreUnrecognizedVMOptions -XX:+UnlockDiagnosticVMOptions -XX:-UseAES -XX:-UseSHA -XX:-UseCLMUL "
    "-XX:-UsePoly1305Intrinsics -XX:-UseIntPolyIntrinsics -XX:-UseBMI2Instructions";
constexpr char kHotspotBelow3[] =
    " -XX:UseAVX=0 -XX:-UseFMA -XX:-UseBMI1Instructions -XX:-UseCountLeadingZerosInstruction "
    "-XX:-UseCountTrailingZerosInstruction";
constexpr char kHwcaps[] = "glibc.cpu.hwcaps=";

bool IsOff(CpuLevel named, CpuLevel level) { return named > level; }

std::string Basename(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool IsNode(const std::vector<std::string>& argv) {
  return !argv.empty() && (Basename(argv[0]) == "node" || Basename(argv[0]) == "nodejs");
}

// `addition` behind what is there.
void Append(std::map<std::string, std::string>& env, const std::string& key, absl::string_view separator,
            const std::string& addition) {
  std::string& value = env[key];
  value = value.empty() ? addition : absl::StrCat(value, separator, addition);
}

// glibc takes one value per tunable: ours is added to the hwcaps that are there.
std::string WithHwcaps(const std::string& tunables, const std::string& hwcaps) {
  std::vector<std::string> parts = absl::StrSplit(tunables, ':', absl::SkipEmpty());
  for (std::string& part : parts) {
    if (!absl::StartsWith(part, kHwcaps)) continue;
    absl::StrAppend(&part, ",", hwcaps);
    return absl::StrJoin(parts, ":");
  }
  parts.push_back(absl::StrCat(kHwcaps, hwcaps));
  return absl::StrJoin(parts, ":");
}

// OPENSSL_ia32cap is up to five vectors: `0x…` replaces what was found, `~0x…` clears of it. What can't be read as one is
// the user's mistake and left out.
std::string WithCleared(const std::string& before, const std::array<std::uint64_t, 4>& clear) {
  std::vector<std::string> groups = absl::StrSplit(before, ':');
  groups.resize(std::max(groups.size(), clear.size()));
  for (std::size_t i = 0; i < clear.size(); ++i) {
    absl::string_view text = groups[i];
    const bool clears = absl::ConsumePrefix(&text, "~");
    std::uint64_t value = 0;
    const bool readable = absl::StartsWith(text, "0x") ? absl::SimpleHexAtoi(text, &value) : absl::SimpleAtoi(text, &value);
    groups[i] = readable && !clears ? absl::StrFormat("0x%x", value & ~clear[i])
                                    : absl::StrFormat("~0x%x", (readable ? value : 0) | clear[i]);
  }
  return absl::StrJoin(groups, ":");
}

}  // namespace

CpuSettings SettingsOf(CpuLevel level) {
  CpuSettings settings;
  if (level == CpuLevel::kNative) return settings;
  std::vector<std::string> glibc;
  for (const Named& feature : kGlibc) {
    if (IsOff(feature.level, level)) glibc.push_back(absl::StrCat("-", feature.name));
  }
  settings.glibc_hwcaps = absl::StrJoin(glibc, ",");
  std::vector<std::string> go;
  for (const Named& feature : kGo) {
    if (IsOff(feature.level, level)) go.push_back(absl::StrCat("cpu.", feature.name, "=off"));
  }
  settings.go = absl::StrJoin(go, ",");
  for (const VectorBit& feature : kOpenssl) {
    if (IsOff(feature.level, level)) settings.openssl_clear[feature.vector] |= std::uint64_t{1} << feature.bit;
  }
  settings.hotspot = kHotspotAlways;
  if (level >= CpuLevel::kV3) {
    absl::StrAppend(&settings.hotspot, " -XX:UseAVX=2");
  } else {
    absl::StrAppend(&settings.hotspot, kHotspotBelow3);
    settings.v8 = {"--no-enable-avx", "--no-enable-avx2", "--no-enable-fma3", "--no-enable-bmi1", "--no-enable-bmi2",
                   "--no-enable-lzcnt"};
  }
  if (level == CpuLevel::kV1) {
    absl::StrAppend(&settings.hotspot, " -XX:UseSSE=2 -XX:-UsePopCountInstruction");
    for (const char* flag : {"--no-enable-sse3", "--no-enable-ssse3", "--no-enable-sse4-1", "--no-enable-sse4-2",
                             "--no-enable-popcnt", "--no-enable-sahf"}) {
      settings.v8.emplace_back(flag);
    }
  }
  settings.simdutf = level >= CpuLevel::kV3 ? "haswell" : level == CpuLevel::kV2 ? "westmere" : "fallback";
  return settings;
}

void LimitCpu(CpuLevel level, const std::string& engine, std::map<std::string, std::string>& env,
              std::vector<std::string>& argv) {
  if (level == CpuLevel::kNative) return;
  CpuSettings settings = SettingsOf(level);
  // A CRaC JDK compares by itself what it ran with, and wants to have been told at the start. It has no word for the levels.
  if (engine == "crac") absl::StrAppend(&settings.hotspot, " -XX:CPUFeatures=generic");
  env["GLIBC_TUNABLES"] = WithHwcaps(env["GLIBC_TUNABLES"], settings.glibc_hwcaps);
  env["OPENSSL_ia32cap"] = WithCleared(env["OPENSSL_ia32cap"], settings.openssl_clear);
  Append(env, "GODEBUG", ",", settings.go);
  Append(env, "JAVA_TOOL_OPTIONS", " ", settings.hotspot);
  env["SIMDUTF_FORCE_IMPLEMENTATION"] = settings.simdutf;
  // All others of its implementations use PCLMULQDQ, which no level has.
  env["SIMDJSON_FORCE_IMPLEMENTATION"] = "fallback";
  if (IsNode(argv)) argv.insert(argv.begin() + 1, settings.v8.begin(), settings.v8.end());
}

CpuFeatures UnlimitedFeatures(const std::vector<std::string>& argv) {
  if (IsNode(argv)) return {"pclmulqdq"};
  if (!argv.empty() && Basename(argv[0]) == "java") return {"serialize"};
  return {};
}

}  // namespace thaw::agent
