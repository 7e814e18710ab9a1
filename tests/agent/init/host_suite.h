#ifndef THAW_TESTS_AGENT_INIT_HOST_SUITE_H_
#define THAW_TESTS_AGENT_INIT_HOST_SUITE_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "tests/agent/init/slot_container.h"

namespace thaw::init {

// THAW_JAVA_RUNTIME_IMAGE names another one than deploy's.
inline std::string JavaRuntimeImage() {
  const char* given = std::getenv("THAW_JAVA_RUNTIME_IMAGE");
  return given != nullptr ? given : "thaw/java-runtime:latest";
}

inline bool HasImage(const std::string& image) { return Shell("docker image inspect " + image).status == 0; }

// What this machine lacks for tests with containers of `image`; empty for nothing.
inline std::string MissingFor(const std::string& image) {
  if (::geteuid() != 0) return "root";
  if (Shell("docker info").status != 0) return "a Docker Engine";
  return HasImage(image) ? "" : "the image " + image;
}

// For the end of a SetUp(): where something is missing, the test is skipped, or fails when THAW_REQUIRE_HOST=1.
inline void FailOrSkipWithout(const std::string& missing) {
  if (missing.empty()) return;
  const char* required = std::getenv("THAW_REQUIRE_HOST");
  if (required != nullptr && std::string(required) == "1") FAIL() << "this host test needs " << missing;
  GTEST_SKIP() << "this host test needs " << missing;
}

// Slots from the Java runtime image, which has CRIU.
class SlotSuite : public testing::Test {
 protected:
  static std::string Image() { return JavaRuntimeImage(); }

  void SetUp() override { FailOrSkipWithout(MissingFor(Image())); }

  std::unique_ptr<SlotContainer> MakeSlot(long boot_shift_seconds = 0, const std::string& more = "") {
    auto slot = std::make_unique<SlotContainer>(SlotContainer::Options{.image = Image(),
                                                                       .crac_dir = volume_.host_dir(),
                                                                       .more_arguments = more,
                                                                       .boot_shift_seconds = boot_shift_seconds});
    EXPECT_EQ(slot->error(), "");
    return slot;
  }

  CracVolume volume_;
};

}  // namespace thaw::init

#endif  // THAW_TESTS_AGENT_INIT_HOST_SUITE_H_
