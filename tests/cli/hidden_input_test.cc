#include "cli/hidden_input.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <thread>

#include "tests/cli/fakes.h"

namespace thaw::cli {
namespace {

class HiddenInputTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_GE(person_, 0);
    ASSERT_EQ(grantpt(person_), 0);
    ASSERT_EQ(unlockpt(person_), 0);
    terminal_ = open(ptsname(person_), O_RDWR | O_NOCTTY | O_CLOEXEC);
    ASSERT_GE(terminal_, 0);
  }
  void TearDown() override {
    close(terminal_);
    close(person_);
  }

  bool Echoes() const {
    termios now{};
    EXPECT_EQ(tcgetattr(terminal_, &now), 0);
    return (now.c_lflag & ECHO) != 0;
  }

  // The keyboard's end of the terminal.
  const int person_ = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  int terminal_ = -1;
  thaw::testing::FakeClock clock_;
  testing::FakeInterrupt interrupt_{clock_};
};

TEST_F(HiddenInputTest, ReadsALineUnseenAndEchoesAgainAfterIt) {
  std::thread typing([this] {
    while (Echoes()) sched_yield();
    EXPECT_EQ(write(person_, "s3cret\nrest\n", 12), 12);
  });
  EXPECT_EQ(AskHidden(terminal_, "value: ", interrupt_), std::optional<std::string>("s3cret"));
  typing.join();
  EXPECT_TRUE(Echoes());
}

TEST_F(HiddenInputTest, WhoWantsOutGetsTheirTerminalBack) {
  interrupt_.interrupted = true;
  EXPECT_EQ(AskHidden(terminal_, "value: ", interrupt_), std::nullopt);
  EXPECT_TRUE(Echoes());
}

}  // namespace
}  // namespace thaw::cli
