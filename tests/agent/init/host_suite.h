#ifndef THAW_TESTS_AGENT_INIT_HOST_SUITE_H_
#define THAW_TESTS_AGENT_INIT_HOST_SUITE_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "tests/agent/init/slot_container.h"

namespace thaw::init {

// Slots from the Java runtime image (THAW_JAVA_RUNTIME_IMAGE names another than deploy's), which has CRIU.
class SlotSuite : public testing::Test {
 protected:
  static std::string Image() {
    const char* given = std::getenv("THAW_JAVA_RUNTIME_IMAGE");
    return given != nullptr ? given : "thaw/java-runtime:latest";
  }

  void SetUp() override {
    std::string missing;
    if (::geteuid() != 0) missing = "root";
    if (missing.empty() && Shell("docker info").status != 0) missing = "a Docker Engine";
    if (missing.empty() && Shell("docker image inspect " + Image()).status != 0) missing = "the image " + Image();
    if (missing.empty()) return;
    const char* required = std::getenv("THAW_REQUIRE_HOST");
    if (required != nullptr && std::string(required) == "1") FAIL() << "this host test needs " << missing;
    GTEST_SKIP() << "this host test needs " << missing;
  }

  std::unique_ptr<SlotContainer> MakeSlot(long boot_shift_seconds = 0, const std::string& more = "") {
    auto slot = std::make_unique<SlotContainer>(SlotContainer::Options{.image = Image(),
                                                                       .crac_dir = volume_.host_dir(),
                                                                       .more_arguments = more,
                                                                       .boot_shift_seconds = boot_shift_seconds});
    EXPECT_EQ(slot->error(), "");
    return slot;
  }

  static nlohmann::json Dump(SlotContainer& slot, const std::string& dir, bool leave_running) {
    return slot.Order({{"op", "dump"}, {"dir", dir}, {"leave_running", leave_running}, {"timeout_ms", 20000}});
  }

  static nlohmann::json RestoreOrder(const std::string& dir, const nlohmann::json& dumped, const std::string& instance) {
    return {{"op", "restore"},
            {"dir", dir},
            {"stdout_pipe", dumped.value("stdout_pipe", "")},
            {"stderr_pipe", dumped.value("stderr_pipe", "")},
            {"resume", dumped.value("resume", "")},
            {"uid", 1000},
            {"gid", 1000},
            {"instance", instance},
            {"meta", "m"},
            {"timeout_ms", 20000}};
  }

  CracVolume volume_;
};

}  // namespace thaw::init

#endif  // THAW_TESTS_AGENT_INIT_HOST_SUITE_H_
