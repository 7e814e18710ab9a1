// The generators of Go's runtime, which math/rand and maps draw from: where they are in a process's memory.
//
// No code of ours can be loaded into a static program, but the generators can be recognised: each keeps its seed beside
// the block of numbers that it has made from it, so a place in memory is one if and only if the one follows from the
// other. That needs no symbols and no knowledge of the runtime's own types.
#ifndef THAW_AGENT_INIT_GO_RANDOM_H_
#define THAW_AGENT_INIT_GO_RANDOM_H_

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "agent/init/outcome.h"

namespace thaw::init {

// internal/chacha8rand.State, since Go 1.22.
struct GoRandomState {
  std::array<uint64_t, 32> numbers;
  std::array<uint64_t, 4> seed;
  uint32_t next;
  uint32_t end;
  uint32_t counter;
};
// Without what the compiler pads it with.
inline constexpr size_t kGoStateBytes = 32 * 8 + 4 * 8 + 3 * 4;

// The block of numbers that a state has for its seed and counter.
std::array<uint64_t, 32> GoChaCha8Block(const std::array<uint64_t, 4>& seed, uint32_t counter);

// Offsets of all such states in `memory`, which begins at an address divisible by 8.
std::vector<size_t> FindGoStates(std::span<const std::byte> memory);

// Addresses of all such states in the private writable memory of a process. Errors: INTERNAL when its memory can't be read.
Outcome FindGoStatesOf(pid_t pid, std::vector<uint64_t>* addresses);

// Gives the state numbers and a seed straight from the kernel. The process must be stopped.
Outcome ReseedGoState(pid_t pid, uint64_t address);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_GO_RANDOM_H_
