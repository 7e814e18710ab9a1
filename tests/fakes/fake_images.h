#ifndef THAW_TESTS_FAKES_FAKE_IMAGES_H_
#define THAW_TESTS_FAKES_FAKE_IMAGES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/container/runtime.h"
#include "agent/start/sources.h"

namespace thaw::testing {

// One image for all versions, of a Java function with our FDK unless the test changes it. One thread.
class FakeImages final : public agent::ImageSource {
 public:
  FakeImages() {
    image.id = "sha256:aa";
    image.entrypoint = {"/thaw/init", "--", "java", "-cp", "x"};
    image.cmd = {"com.example.fn.HelloFunction::handleRequest"};
    image.env = {"JAVA_HOME=/j", "GREETING=image"};
    image.working_dir = "/function";
    image.labels = {{"io.thaw.fdk", "java/0.1.0"}};
  }
  absl::StatusOr<agent::ImageInfo> Ensure(const agent::VersionState&, absl::Time) override {
    ++ensured;
    if (!result.ok()) return result;
    return image;
  }
  void Forget(const std::string& image_id) override { forgotten.push_back(image_id); }
  absl::Status result;
  agent::ImageInfo image;
  int ensured = 0;
  std::vector<std::string> forgotten;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_FAKES_FAKE_IMAGES_H_
