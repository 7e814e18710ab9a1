// What a function's process is left with when init has started it, whatever init itself has: in the profile `privileged`
// that is all that there is. This machine's engine may not be able to start such a container; a process of root with all
// of the host's capabilities is the same to DropPrivileges().
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "agent/init/privileges.h"
#include "tests/functions/native/privilege_probe.h"

namespace thaw::init {
namespace {

std::string InChild(std::string (*act)()) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string text = act();
    (void)!::write(ends[1], text.data(), text.size());
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string text;
  char buffer[4096];
  ssize_t count = 0;
  while ((count = ::read(ends[0], buffer, sizeof buffer)) > 0) text.append(buffer, static_cast<std::size_t>(count));
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return text;
}

TEST(PrivilegesHostTest, WhateverInitHasTheFunctionHasNothing) {
  if (::geteuid() != 0) {
    if (std::getenv("THAW_REQUIRE_HOST") != nullptr) FAIL() << "this host test needs root";
    GTEST_SKIP() << "this host test needs root";
  }
  const std::string before = InChild([] { return privilege_probe::Status(); });
  EXPECT_EQ(before.find("CapEff:\t0000000000000000"), std::string::npos) << "there must be something to drop: " << before;
  const std::string after = InChild([]() -> std::string {
    const Outcome dropped = DropPrivileges(1000, 1000, DropMode::kStrict);
    return dropped.ok() ? privilege_probe::Status() : dropped.message();
  });
  EXPECT_EQ(after,
            "Uid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\nGroups:\t \nCapInh:\t0000000000000000\n"
            "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n"
            "NoNewPrivs:\t1\nSeccomp:\t2\n");
}

}  // namespace
}  // namespace thaw::init
