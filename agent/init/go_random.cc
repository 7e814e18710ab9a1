#include "agent/init/go_random.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <string>

#include "agent/init/unique_fd.h"

namespace thaw::init {
namespace {

constexpr size_t kLanes = 4;
constexpr uint32_t kBlockEnd = 32;
// A state keeps its last four numbers back as its next seed.
constexpr uint32_t kLastBlockEnd = 28;
constexpr uint32_t kCounterStep = 4;
constexpr uint32_t kCounterEnd = 16;
constexpr size_t kIndicesOffset = 32 * 8 + 4 * 8;
constexpr size_t kChunkBytes = 4 << 20;

void QuarterRound(uint32_t& a, uint32_t& b, uint32_t& c, uint32_t& d) {
  a += b;
  d = std::rotl(d ^ a, 16);
  c += d;
  b = std::rotl(b ^ c, 12);
  a += b;
  d = std::rotl(d ^ a, 8);
  c += d;
  b = std::rotl(b ^ c, 7);
}

bool IsGoState(const std::byte* at) {
  GoRandomState state;
  std::memcpy(&state, at, kGoStateBytes);
  return GoChaCha8Block(state.seed, state.counter) == state.numbers;
}

// What can be told without computing anything; wrong for one place in 2^80 of random memory, and for all zeros.
bool LooksLikeGoState(const std::byte* at) {
  uint32_t indices[3];
  std::memcpy(indices, at + kIndicesOffset, sizeof indices);
  const auto [next, end, counter] = indices;
  const bool last = counter == kCounterEnd - kCounterStep;
  return end == (last ? kLastBlockEnd : kBlockEnd) && next <= end && counter % kCounterStep == 0 && counter < kCounterEnd;
}

}  // namespace

std::array<uint64_t, 32> GoChaCha8Block(const std::array<uint64_t, 4>& seed, uint32_t counter) {
  // Four ChaCha8 blocks side by side: word w of block l is at [w][l].
  uint32_t words[16][kLanes];
  constexpr uint32_t kConstants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  uint32_t key[8];
  for (size_t i = 0; i < 4; ++i) {
    key[2 * i] = static_cast<uint32_t>(seed[i]);
    key[2 * i + 1] = static_cast<uint32_t>(seed[i] >> 32);
  }
  for (size_t lane = 0; lane < kLanes; ++lane) {
    uint32_t x[16] = {};
    std::copy(std::begin(kConstants), std::end(kConstants), x);
    std::copy(std::begin(key), std::end(key), x + 4);
    x[12] = counter + static_cast<uint32_t>(lane);
    for (int round = 0; round < 4; ++round) {
      for (size_t i = 0; i < 4; ++i) QuarterRound(x[i], x[4 + i], x[8 + i], x[12 + i]);
      for (size_t i = 0; i < 4; ++i) QuarterRound(x[i], x[4 + (i + 1) % 4], x[8 + (i + 2) % 4], x[12 + (i + 3) % 4]);
    }
    // Go adds only the key back.
    for (size_t i = 0; i < 8; ++i) x[4 + i] += key[i];
    for (size_t i = 0; i < 16; ++i) words[i][lane] = x[i];
  }
  std::array<uint64_t, 32> numbers;
  static_assert(sizeof numbers == sizeof words && std::endian::native == std::endian::little);
  std::memcpy(numbers.data(), words, sizeof words);
  return numbers;
}

std::vector<size_t> FindGoStates(std::span<const std::byte> memory) {
  std::vector<size_t> offsets;
  for (size_t at = 0; at + kGoStateBytes <= memory.size(); at += 8) {
    if (LooksLikeGoState(&memory[at]) && IsGoState(&memory[at])) offsets.push_back(at);
  }
  return offsets;
}

Outcome FindGoStatesOf(pid_t pid, std::vector<uint64_t>* addresses) {
  const std::string proc = "/proc/" + std::to_string(pid);
  FILE* maps = ::fopen((proc + "/maps").c_str(), "re");
  UniqueFd memory(::open((proc + "/mem").c_str(), O_RDONLY | O_CLOEXEC));
  if (maps == nullptr || !memory) {
    const int error = errno;
    if (maps != nullptr) ::fclose(maps);
    return ErrnoOutcome(error, "cannot read the memory of process " + std::to_string(pid));
  }
  std::vector<std::byte> buffer(kChunkBytes);
  char line[4096];
  while (::fgets(line, sizeof line, maps) != nullptr) {
    uint64_t start = 0;
    uint64_t end = 0;
    char mode[5] = "";
    if (std::sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &start, &end, mode) != 3) continue;
    if (std::string_view(mode) != "rw-p" || std::strstr(line, "[stack") != nullptr) continue;
    // Chunks overlap, so that a state across a border is seen whole.
    for (uint64_t at = start; at < end; at += kChunkBytes - 512) {
      const size_t wanted = std::min<uint64_t>(buffer.size(), end - at);
      const ssize_t got = ::pread(memory.get(), buffer.data(), wanted, static_cast<off_t>(at));
      if (got <= 0) break;  // Reserved, and never touched.
      for (size_t offset : FindGoStates(std::span(buffer).first(static_cast<size_t>(got)))) {
        if (addresses->empty() || addresses->back() < at + offset) addresses->push_back(at + offset);
      }
      if (end - at <= buffer.size()) break;
    }
  }
  ::fclose(maps);
  return {};
}

Outcome ReseedGoState(pid_t pid, uint64_t address) {
  const std::string what = "the Go generator of process " + std::to_string(pid);
  std::array<std::byte, kIndicesOffset> fresh;
  size_t have = 0;
  while (have < fresh.size()) {
    const ssize_t got = ::getrandom(fresh.data() + have, fresh.size() - have, 0);
    if (got <= 0) return ErrnoOutcome(errno, "cannot draw random numbers for " + what);
    have += static_cast<size_t>(got);
  }
  UniqueFd memory(::open(("/proc/" + std::to_string(pid) + "/mem").c_str(), O_WRONLY | O_CLOEXEC));
  if (!memory || ::pwrite(memory.get(), fresh.data(), fresh.size(), static_cast<off_t>(address)) !=
                     static_cast<ssize_t>(fresh.size())) {
    return ErrnoOutcome(errno, "cannot seed " + what);
  }
  return {};
}

}  // namespace thaw::init
