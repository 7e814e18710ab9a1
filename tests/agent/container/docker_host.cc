#include "tests/agent/container/docker_host.h"

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"

namespace thaw::testing {

std::string DockerSocket() {
  const char* const host = std::getenv("DOCKER_HOST");
  absl::string_view path = host == nullptr ? "" : host;
  return absl::ConsumePrefix(&path, "unix://") ? std::string(path) : "/var/run/docker.sock";
}

std::string DockerUnderTest::Missing() {
  const auto info = docker_.GetEngineInfo(absl::Now() + absl::Seconds(20));
  return info.ok() ? "" : absl::StrCat("this test needs a Docker Engine: ", info.status().message());
}

std::string DockerUnderTest::Payload() {
  std::ifstream file(THAW_TEST_PAYLOAD, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace thaw::testing
