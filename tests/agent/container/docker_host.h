#ifndef THAW_TESTS_AGENT_CONTAINER_DOCKER_HOST_H_
#define THAW_TESTS_AGENT_CONTAINER_DOCKER_HOST_H_

#include <memory>
#include <string>

#include "agent/container/docker_runtime.h"
#include "tests/contract/container_runtime_contract.h"

namespace thaw::testing {

// DOCKER_HOST where it names a unix socket, else the usual one.
std::string DockerSocket();

// The Docker Engine of this machine, with the real payload.
class DockerUnderTest final : public RuntimeUnderTest {
 public:
  DockerUnderTest() : docker_(DockerSocket()) {}
  std::string Missing() override;
  agent::ContainerRuntime& runtime() override { return docker_; }
  std::string Payload() override;

 private:
  agent::DockerRuntime docker_;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_AGENT_CONTAINER_DOCKER_HOST_H_
