// The main() of test binaries that are one ctest entry each (SERIAL in cmake/thaw_targets.cmake).
#include <gtest/gtest.h>

#include <iostream>

namespace {
// What ctest takes for a skip: SKIP_RETURN_CODE.
constexpr int kSkipped = 77;
}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const int result = RUN_ALL_TESTS();
  const auto& all = *::testing::UnitTest::GetInstance();
  // GoogleTest ends with 0 when every test was skipped, and ctest would say that they passed. A search for its words would
  // not do: ctest prefers a skip that it reads to a failure that it is told.
  if (result != 0 || all.skipped_test_count() == 0 || all.successful_test_count() > 0) return result;
  std::cout << "none of the " << all.skipped_test_count() << " tests could run here" << std::endl;
  return kSkipped;
}
