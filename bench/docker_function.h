#ifndef THAW_BENCH_DOCKER_FUNCTION_H_
#define THAW_BENCH_DOCKER_FUNCTION_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/function_socket.h"
#include "tests/support/cluster.h"
#include "thaw/agent/v1/manifest.pb.h"

namespace thaw::bench {

// A function's container made with the docker client, without Thaw's services. Labelled `thaw.node=bench-<pid>`, and
// removed with its directory at the end.
class DockerFunction {
 public:
  DockerFunction();
  ~DockerFunction();
  DockerFunction(const DockerFunction&) = delete;
  DockerFunction& operator=(const DockerFunction&) = delete;

  // `docker run` of the image with its own ENTRYPOINT, a bind mount for its socket, and the same memory limit as Thaw's.
  absl::Status Run(const std::string& image, std::uint32_t memory_mib);
  // A container of the image in which nothing but a shell sleeps, with what `criu restore` needs: the capabilities,
  // `cracdata` at /cracdata, and at /thaw the agent's `tools`, of which the frozen process has the shim mapped.
  absl::Status RunIdle(const std::string& image, std::uint32_t memory_mib, const std::string& cracdata,
                       const std::string& tools);
  // In the idle container: lays down the snapshot's files, restores it with `criu restore`, wakes it.
  absl::Status RestoreByHand(const thaw::agent::v1::Manifest& manifest);

  // The first answer of the function that runs here, from a new connection.
  absl::Status AwaitFirstAnswer(const std::string& body);
  FunctionSocket& socket() { return *socket_; }

 private:
  const std::string name_;
  std::string dir_;
  std::unique_ptr<FunctionSocket> socket_;
};

// The label's value of all containers made here by this process.
std::string BenchNode();
// A cluster that is noted in the file $THAW_BENCH_CLUSTERS, a line `DIRECTORY NODE…` each, so that bench/run can take it away
// when this process is killed.
absl::StatusOr<std::unique_ptr<testing::Cluster>> StartCluster(const testing::Cluster::Options& options);
// The manifest of a snapshot that a node of the cluster holds.
absl::StatusOr<thaw::agent::v1::Manifest> ManifestOf(testing::Cluster& cluster, const std::string& node,
                                                     const std::string& snapshot_id);
// The directory that a node's agent mounts at /thaw in every container.
absl::StatusOr<std::string> ToolsOf(const testing::Cluster& cluster, const std::string& node);

}  // namespace thaw::bench

#endif  // THAW_BENCH_DOCKER_FUNCTION_H_
