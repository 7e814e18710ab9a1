#ifndef THAW_AGENT_CPU_CPU_LIMITS_H_
#define THAW_AGENT_CPU_CPU_LIMITS_H_

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/cpu/features.h"

namespace thaw::agent {

// How a process is held to a CPU level: those who choose their code by the CPU they find are told, through the
// environment and the command, to find less. Told are glibc (GLIBC_TUNABLES), OpenSSL (OPENSSL_ia32cap), Go (GODEBUG),
// HotSpot (JAVA_TOOL_OPTIONS), simdutf and simdjson (as in Node), and V8 (Node's command line). A program that asks CPUID
// itself is not held: docs/cpu.md has the list.

// The settings of one level, each as its reader takes it.
struct CpuSettings {
  // For glibc.cpu.hwcaps: `-AVX2,-BMI2`.
  std::string glibc_hwcaps;
  // What OPENSSL_ia32cap has to clear in its vectors: CPUID.1's EDX (low half) and ECX, CPUID.7.0's EBX and ECX, CPUID.7.0's
  // EDX and CPUID.7.1's EAX, CPUID.7.1's EDX and EBX.
  std::array<std::uint64_t, 4> openssl_clear = {};
  // For GODEBUG: `cpu.avx2=off,cpu.bmi2=off`.
  std::string go;
  // HotSpot's flags.
  std::string hotspot;
  // V8's flags, behind `node`.
  std::vector<std::string> v8;
  // simdutf's implementation.
  std::string simdutf;
};

// Empty settings for kNative. For kV4, HotSpot, Go and V8 are held to AVX2: each would use more of AVX-512 than the level
// has, with no setting for less.
CpuSettings SettingsOf(CpuLevel level);

// Holds a function's process to `level`. Adds to what image and user have set (theirs stays, ours comes behind and wins
// where both speak of one feature). `engine` is the version's: a CRaC JDK of the engine `crac` gets -XX:CPUFeatures too.
void LimitCpu(CpuLevel level, const std::string& engine, std::map<std::string, std::string>& env,
              std::vector<std::string>& argv);

// What the command's runtime may use at any level if the host has it, for want of a setting: of HotSpot `serialize`, of
// Node `pclmulqdq` (its zlib).
CpuFeatures UnlimitedFeatures(const std::vector<std::string>& argv);

}  // namespace thaw::agent

#endif  // THAW_AGENT_CPU_CPU_LIMITS_H_
