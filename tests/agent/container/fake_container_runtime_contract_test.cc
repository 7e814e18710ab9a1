#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/clock/clock.h"
#include "gtest/gtest.h"
#include "tests/contract/container_runtime_contract.h"
#include "tests/fakes/fake_container_runtime.h"

namespace thaw::testing {
namespace {

// The fake with a payload that does at its start all that the real one does in its time.
class FakeUnderTest final : public RuntimeUnderTest {
 public:
  FakeUnderTest() {
    fake_.OnStart([this](const agent::ContainerInfo& info, const agent::ContainerSpec& spec) {
      const std::string& what = spec.command.at(1);
      if (what == "exit") fake_.Exit(info.id, std::atoi(spec.command.at(2).c_str()));
      if (what == "print") {
        for (int i = 1; i <= std::atoi(spec.command.at(2).c_str()); ++i) {
          fake_.AppendLog(info.id, absl::StrCat("line ", i, "\n"));
        }
        fake_.Exit(info.id, 0);
      }
      return absl::OkStatus();
    });
  }

  agent::ContainerRuntime& runtime() override { return fake_; }
  std::string Payload() override { return "what a fake has no use for"; }

 private:
  RealClock clock_;
  FakeContainerRuntime fake_{&clock_};
};

INSTANTIATE_TEST_SUITE_P(Fake, ContainerRuntimeContract,
                         ::testing::Values(RuntimeFactory([] { return std::make_unique<FakeUnderTest>(); })));

}  // namespace
}  // namespace thaw::testing
