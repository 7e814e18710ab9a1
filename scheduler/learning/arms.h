#ifndef THAW_SCHEDULER_LEARNING_ARMS_H_
#define THAW_SCHEDULER_LEARNING_ARMS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace thaw::scheduler {

// The numbers of answered calls after which candidates are frozen. A JIT's tiers come into play at some hundred and some
// thousand executions of a method, which a call makes many of; beyond a hundred calls few instances live.
inline constexpr std::array<std::uint32_t, 4> kArms = {1, 5, 20, 100};

// The arm that a process with so many answered calls is a candidate for: the largest that it has reached. Nothing
// before the first call.
inline std::optional<std::size_t> ArmOf(std::uint64_t answered) {
  std::optional<std::size_t> arm;
  for (std::size_t i = 0; i < kArms.size() && kArms[i] <= answered; ++i) arm = i;
  return arm;
}

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_LEARNING_ARMS_H_
