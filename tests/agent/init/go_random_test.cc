#include "agent/init/go_random.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <memory>

namespace thaw::init {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

std::array<uint64_t, 4> Seed() {
  std::array<uint64_t, 4> seed;
  std::memcpy(seed.data(), "ABCDEFGHIJKLMNOPQRSTUVWXYZ123456", sizeof seed);
  return seed;
}

GoRandomState State(uint32_t counter) {
  GoRandomState state{};
  state.seed = Seed();
  state.counter = counter;
  state.numbers = GoChaCha8Block(state.seed, counter);
  state.end = counter == 12 ? 28 : 32;
  state.next = 7;
  return state;
}

std::vector<std::byte> Memory(size_t size, size_t at, const GoRandomState& state) {
  std::vector<std::byte> memory(size);
  std::memcpy(&memory[at], &state, kGoStateBytes);
  return memory;
}

TEST(GoRandomTest, TheBlockIsTheOneOfGosOwnTest) {
  const std::array<uint64_t, 32> block = GoChaCha8Block(Seed(), 0);
  EXPECT_EQ(block[0], 0xb773b6063d4616a5u);
  EXPECT_EQ(block[1], 0x1160af22a66abc3cu);
  EXPECT_EQ(block[4], 0xcfaa9ee02d1c16adu);
}

TEST(GoRandomTest, AStateIsFoundAtEachStageOfItsSeed) {
  for (uint32_t counter : {0u, 4u, 8u, 12u}) {
    EXPECT_THAT(FindGoStates(Memory(4096, 1000, State(counter))), ElementsAre(1000u)) << counter;
  }
}

TEST(GoRandomTest, AStateAtTheVeryEndIsFound) {
  EXPECT_THAT(FindGoStates(Memory(1000 + kGoStateBytes, 1000, State(4))), ElementsAre(1000u));
}

TEST(GoRandomTest, NumbersThatDoNotFollowFromTheSeedAreNoState) {
  GoRandomState state = State(4);
  state.numbers[31] ^= 1;
  EXPECT_THAT(FindGoStates(Memory(4096, 1000, state)), IsEmpty());
  state = State(4);
  state.counter = 8;
  EXPECT_THAT(FindGoStates(Memory(4096, 1000, state)), IsEmpty());
}

TEST(GoRandomTest, EmptyMemoryHasNone) {
  EXPECT_THAT(FindGoStates(std::vector<std::byte>(8192)), IsEmpty());
  EXPECT_THAT(FindGoStates({}), IsEmpty());
}

TEST(GoRandomTest, AStateOfAProcessIsFoundAndSeededAnew) {
  const auto state = std::make_unique<GoRandomState>(State(8));
  const auto address = reinterpret_cast<uint64_t>(state.get());
  std::vector<uint64_t> found;
  ASSERT_TRUE(FindGoStatesOf(::getpid(), &found).ok());
  EXPECT_THAT(found, Contains(address));

  ASSERT_TRUE(ReseedGoState(::getpid(), address).ok());
  EXPECT_NE(state->seed, Seed());
  EXPECT_NE(state->numbers, GoChaCha8Block(Seed(), 8));
  EXPECT_EQ(state->counter, 8u);
  EXPECT_EQ(state->next, 7u);
  found.clear();
  ASSERT_TRUE(FindGoStatesOf(::getpid(), &found).ok());
  EXPECT_THAT(found, testing::Not(Contains(address)));
}

TEST(GoRandomTest, AProcessThatIsGoneIsAnError) {
  std::vector<uint64_t> found;
  EXPECT_FALSE(FindGoStatesOf(4'000'000, &found).ok());
  EXPECT_FALSE(ReseedGoState(4'000'000, 4096).ok());
}

}  // namespace
}  // namespace thaw::init
