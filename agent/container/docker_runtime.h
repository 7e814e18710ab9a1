#ifndef THAW_AGENT_CONTAINER_DOCKER_RUNTIME_H_
#define THAW_AGENT_CONTAINER_DOCKER_RUNTIME_H_

#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "agent/container/engine_http.h"
#include "agent/container/runtime.h"

namespace thaw::agent {

// Containers by a Docker Engine, 20.10 or newer, over the Engine API on its unix socket.
//
// The API version is negotiated at the first call (1.41, or the engine's oldest where that is newer) and again when
// the engine says that it has changed. Containers log to json-file, 1 MiB at most. Holds no connection and nothing
// of the engine's state, so an engine may restart under it. Threads: any.
class DockerRuntime final : public ContainerRuntime {
 public:
  explicit DockerRuntime(std::string socket_path = "/var/run/docker.sock");
  DockerRuntime(const DockerRuntime&) = delete;
  DockerRuntime& operator=(const DockerRuntime&) = delete;

  absl::StatusOr<EngineInfo> GetEngineInfo(absl::Time deadline) override;
  absl::StatusOr<std::string> Create(const ContainerSpec& spec, absl::Time deadline) override;
  absl::Status Start(const std::string& id, absl::Time deadline) override;
  absl::Status Remove(const std::string& id, absl::Time deadline) override;
  absl::StatusOr<ContainerInfo> Inspect(const std::string& id, absl::Time deadline) override;
  absl::StatusOr<std::vector<ContainerInfo>> List(const std::map<std::string, std::string>& labels,
                                                  absl::Time deadline) override;
  absl::StatusOr<std::string> TailLog(const std::string& id, int lines, absl::Time deadline) override;
  absl::StatusOr<ImageInfo> InspectImage(const std::string& image, absl::Time deadline) override;
  absl::StatusOr<std::vector<std::string>> ListImageIds(absl::Time deadline) override;
  absl::Status PullImage(const std::string& reference, absl::Time deadline) override;
  absl::Status ExportImage(const std::string& image, absl::FunctionRef<absl::Status(absl::string_view)> sink,
                           absl::Time deadline) override;
  absl::Status ImportImage(absl::FunctionRef<absl::StatusOr<std::string>()> source, absl::Time deadline) override;
  absl::Status TagImage(const std::string& image, const std::string& tag, absl::Time deadline) override;
  absl::Status RemoveImage(const std::string& image, absl::Time deadline) override;

 private:
  // "/v1.41"
  absl::StatusOr<std::string> ApiPrefix(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mu_);
  // `path` without the version's prefix. Once more after a new negotiation when the engine refuses the version.
  absl::StatusOr<EngineReply> Ask(absl::string_view method, absl::string_view path, const std::string& body,
                                  absl::Time deadline) ABSL_LOCKS_EXCLUDED(mu_);

  const EngineHttp http_;
  absl::Mutex mu_;
  std::string api_prefix_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_CONTAINER_DOCKER_RUNTIME_H_
