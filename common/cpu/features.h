#ifndef THAW_COMMON_CPU_FEATURES_H_
#define THAW_COMMON_CPU_FEATURES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace thaw {

// Names of CPU features, in /proc/cpuinfo's words, sorted and each once.
using CpuFeatures = std::vector<std::string>;

// What a host's CPU is.
struct HostCpu {
  // As uname gives it.
  std::string architecture;
  // Empty where the kernel names none (aarch64).
  std::string model;
  // All that a program's choice of code may rest on. What only the kernel uses or what changes nothing but speed
  // (`erms`, `constant_tsc`) is left out.
  CpuFeatures features;
};

// The levels of the x86-64 psABI, and kNative: whatever there is. In the order of what they allow.
enum class CpuLevel { kV1 = 1, kV2 = 2, kV3 = 3, kV4 = 4, kNative = 5 };

// Reads `cpuinfo` (the text of /proc/cpuinfo) of a host of `architecture`. On x86_64 of what it lists only what matters to
// programs, elsewhere all.
HostCpu ParseCpuInfo(absl::string_view cpuinfo, absl::string_view architecture);
// This host's. Without a readable /proc/cpuinfo it has no features.
HostCpu ReadHostCpu();

// `x86-64-v1` to `x86-64-v4`, `native`.
absl::string_view CpuLevelName(CpuLevel level);
// False for other names; the empty one is kNative.
bool ParseCpuLevel(absl::string_view name, CpuLevel& level);

// All features of a level and those below it; empty for kNative.
const CpuFeatures& FeaturesOfLevel(CpuLevel level);
// The highest level that `features` has whole; kV1 where it is none of them, as there is no x86-64 below.
CpuLevel LevelOf(const CpuFeatures& features);

// Of `wanted`, what `present` lacks. Both sorted.
CpuFeatures MissingFeatures(const CpuFeatures& wanted, const CpuFeatures& present);
// What is in both. Both sorted.
CpuFeatures CommonFeatures(const CpuFeatures& a, const CpuFeatures& b);

}  // namespace thaw

#endif  // THAW_COMMON_CPU_FEATURES_H_
