// The conversation with the shim that is preloaded into functions (agent/preload/unique.c says how it goes).
#ifndef THAW_AGENT_INIT_UNIQUE_SHIM_H_
#define THAW_AGENT_INIT_UNIQUE_SHIM_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/init/outcome.h"

namespace thaw::init {

// The cures for random numbers that restores of one snapshot would share; names as in FreezeSettings.without_cures.
// The first four are the shim's, in the order of its answer's letters.
enum class Cure { kOpenssl, kPythonRandom, kNodeMathRandom, kJavaRandom, kGoRandom, kDroppablePages };
inline constexpr int kShimCures = 4;
const char* CureName(Cure cure);
std::optional<Cure> ParseCure(std::string_view name);

// A set of cures.
class CureSet {
 public:
  void Add(Cure cure) { bits_ |= 1u << static_cast<unsigned>(cure); }
  bool Has(Cure cure) const { return (bits_ >> static_cast<unsigned>(cure) & 1u) != 0; }
  uint32_t bits() const { return bits_; }

 private:
  uint32_t bits_ = 0;
};

enum class ShimRequest { kLook = 0, kPrepare = 1, kReseed = 2 };

// One process's shim.
struct Shim {
  pid_t pid = 0;
  pid_t thread = 0;
  // Its last answer: one of `-` (nothing to cure), `+` (done), `!` (failed) for each of the shim's cures.
  std::string letters = "----";
};

// The number and the letters of a thread's name; nullopt when it is no shim's.
std::optional<std::pair<uint16_t, std::string>> ParseShimName(std::string_view name);

// Those of the processes that have a shim.
std::vector<Shim> FindShims(const std::vector<pid_t>& pids);

// One request to several shims. Polled, because a shim can only be seen to have answered.
class ShimRound {
 public:
  // Sends the request. `without`: what the shims are to leave out.
  ShimRound(std::vector<Shim> shims, ShimRequest request, CureSet without);

  // True when each of them has answered, or is gone.
  bool Done();
  const std::vector<Shim>& shims() const { return shims_; }
  // Processes that have not answered, as text: "10001 (node)".
  std::string Pending() const;

 private:
  std::vector<Shim> shims_;
  std::vector<bool> answered_;
  uint16_t number_;
};

// What a dump leaves for its restores in `files/unique`.
struct UniquePlan {
  CureSet without;
  std::vector<Shim> shims;
  struct GoState {
    pid_t pid = 0;
    uint64_t address = 0;
  };
  std::vector<GoState> go_states;

  std::string ToText() const;
  // INTERNAL when it is no such text.
  static Outcome Parse(std::string_view text, UniquePlan* plan);
};
inline constexpr char kUniquePlanName[] = "unique";

// Whether the answers after a restore are as good as those before the dump; an error names the process and the cure.
Outcome CompareAnswers(const std::vector<Shim>& expected, const std::vector<Shim>& answers);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_UNIQUE_SHIM_H_
