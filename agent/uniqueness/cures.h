#ifndef THAW_AGENT_UNIQUENESS_CURES_H_
#define THAW_AGENT_UNIQUENESS_CURES_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "agent/uniqueness/process_randomness.h"
#include "thaw/common/v1/freezing.pb.h"

namespace thaw::agent {

// The names of the cures, as FreezeSettings.without_cures has them. docs/uniqueness.md says what each does.
namespace cure {
inline constexpr char kOpenssl[] = "openssl";
inline constexpr char kPythonRandom[] = "python-random";
inline constexpr char kNodeMathRandom[] = "node-math-random";
inline constexpr char kJavaRandom[] = "java-random";
inline constexpr char kGoRandom[] = "go-random";
inline constexpr char kDroppablePages[] = "droppable-pages";
}  // namespace cure

// Which of a function's random numbers two restores of one snapshot would share.
struct CureReport {
  // Cures in place, sorted.
  std::vector<std::string> cures;
  // What is not cured and why, for people: `openssl: /app/native has OpenSSL inside …`.
  std::vector<std::string> uncured;
  // Cures that the function's settings do without although it has what they cure; not in `uncured`.
  std::vector<std::string> switched_off;
};

// Of functions with engine crac: no cure of the agent's reaches them (docs/uniqueness.md says why, and what to do).
inline constexpr char kUncuredByCrac[] =
    "engine crac: after its restore only what our FDK and the JDK reach is seeded anew; seed other generators in afterRestore";

// Decides, from what init has seen of the processes, which cures are in place. `has_fdk`: the image's Java FDK is ours,
// which seeds the JDK's generators itself where the shim can't.
CureReport JudgeCures(const std::vector<ProcessRandomness>& processes, const thaw::common::v1::FreezeSettings& settings,
                      bool has_fdk);

// FAILED_PRECONDITION, with the remedy, when something is uncured and the settings do not accept that.
absl::Status MayFreeze(const CureReport& report, const thaw::common::v1::FreezeSettings& settings);

// Writes the report into a diagnosis: its cures, and a finding for each that is lacking.
void TellCures(const CureReport& report, const thaw::common::v1::FreezeSettings& settings,
               thaw::common::v1::Diagnosis& diagnosis);

// Adds to a function's environment what brings the cures into its processes: the shim and Node's hook. What the image
// or the config has there is kept.
void AddCures(const thaw::common::v1::FreezeSettings& settings, std::map<std::string, std::string>& env);

// The cures that init has to leave out of a dump, without the names that it does not know.
std::vector<std::string> WithoutCures(const thaw::common::v1::FreezeSettings& settings);

}  // namespace thaw::agent

#endif  // THAW_AGENT_UNIQUENESS_CURES_H_
