#ifndef THAW_COMMON_FREEZING_SETTINGS_H_
#define THAW_COMMON_FREEZING_SETTINGS_H_

#include <array>

#include "absl/strings/string_view.h"
#include "thaw/common/v1/freezing.pb.h"

// What the scheduler and `thaw` both know of FreezeSettings.
namespace thaw {

// The closed words of `without_cures`, `cpu_baseline` and `engine`. Of the last two the first is the default.
inline constexpr std::array<absl::string_view, 6> kCures = {"openssl",     "python-random", "node-math-random",
                                                            "java-random", "go-random",     "droppable-pages"};
inline constexpr std::array<absl::string_view, 4> kCpuBaselines = {"native", "x86-64-v2", "x86-64-v3", "x86-64-v4"};
inline constexpr std::array<absl::string_view, 2> kEngines = {"criu", "crac"};

// Writes what means the same in one way: defaults become empty, and lists whose order means nothing are sorted. So equal
// wishes make equal versions.
void NormaliseFreezeSettings(common::v1::FreezeSettings& settings);

}  // namespace thaw

#endif  // THAW_COMMON_FREEZING_SETTINGS_H_
