#ifndef THAW_TESTS_CONTRACT_CONTAINER_RUNTIME_CONTRACT_H_
#define THAW_TESTS_CONTRACT_CONTAINER_RUNTIME_CONTRACT_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/container/image_archive.h"
#include "agent/container/runtime.h"
#include "gtest/gtest.h"

namespace thaw::testing {

// One runtime under the suite. The image's `/payload` understands `sleep`, `exit <code>` and `print <lines>` (which
// writes "line 1" … and ends).
class RuntimeUnderTest {
 public:
  virtual ~RuntimeUnderTest() = default;
  // Why the suite can't run here, with the remedy; empty when it can.
  virtual std::string Missing() { return ""; }
  virtual agent::ContainerRuntime& runtime() = 0;
  // What `/payload` is in the image.
  virtual std::string Payload() = 0;
};

using RuntimeFactory = std::function<std::unique_ptr<RuntimeUnderTest>()>;

// What every ContainerRuntime does. A binary that links container_runtime_contract.cc instantiates it:
//
//   INSTANTIATE_TEST_SUITE_P(Fake, ContainerRuntimeContract, ::testing::Values(RuntimeFactory(…)));
//
// A case whose runtime misses something fails where THAW_REQUIRE_HOST=1 and skips, saying what, elsewhere.
class ContainerRuntimeContract : public ::testing::TestWithParam<RuntimeFactory> {
 protected:
  void SetUp() override;
  void TearDown() override;

  agent::ContainerRuntime& runtime() { return under_test_->runtime(); }
  // Unique to this case; so is what is made of it.
  std::string Name(const std::string& what) const;
  agent::ContainerSpec Spec(const std::string& what, std::vector<std::string> command) const;
  // Of the next half minute.
  static absl::Time Soon();
  absl::Status Import(const std::string& tar);
  // Waits until the container has ended.
  agent::ContainerInfo AwaitExit(const std::string& id);

  std::unique_ptr<RuntimeUnderTest> under_test_;
  // Imported before each case.
  agent::ImageArchive image_;
  std::vector<std::string> tags_;
  std::string run_;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_CONTRACT_CONTAINER_RUNTIME_CONTRACT_H_
