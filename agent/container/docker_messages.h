#ifndef THAW_AGENT_CONTAINER_DOCKER_MESSAGES_H_
#define THAW_AGENT_CONTAINER_DOCKER_MESSAGES_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "agent/container/runtime.h"

// The JSON of the Docker Engine API, as plain functions. What can't be understood is INTERNAL.
namespace thaw::agent::docker {

struct ApiVersions {
  std::string newest;
  std::string oldest;
};

// The body of POST /containers/create.
std::string CreateBody(const ContainerSpec& spec);
// The `filters` value for labels, not yet URL-encoded.
std::string LabelFilter(const std::map<std::string, std::string>& labels);

absl::StatusOr<ApiVersions> ParseVersion(absl::string_view json);
// The version to speak: 1.41, or what the engine's range offers nearest to it. FAILED_PRECONDITION for an engine
// older than 1.41.
absl::StatusOr<std::string> ChooseVersion(const ApiVersions& versions);
absl::StatusOr<EngineInfo> ParseInfo(absl::string_view json);
absl::StatusOr<std::string> ParseCreatedId(absl::string_view json);
absl::StatusOr<ContainerInfo> ParseContainer(absl::string_view json);
// Without exit_code and oom_killed, which the engine's list does not have.
absl::StatusOr<std::vector<ContainerInfo>> ParseContainerList(absl::string_view json);
absl::StatusOr<ImageInfo> ParseImage(absl::string_view json);
absl::StatusOr<std::vector<std::string>> ParseImageIds(absl::string_view json);

// The engine's words in an error's body.
std::string ErrorMessage(absl::string_view body);

// What the error of an act means. `act` names the object and the act ("start container x").
absl::Status ErrorStatus(int http_status, absl::string_view message, absl::string_view act);

// The output of a container without a terminal, taken out of its frames.
std::string DemultiplexLog(absl::string_view frames);

// The stream of JSON objects by which the engine tells how a pull or a load goes. Memory is bounded.
class ProgressStream {
 public:
  void Feed(absl::string_view part);
  // The message of the first error object, or "".
  const std::string& error() const { return error_; }

 private:
  void TakeLine();

  std::string line_;
  bool overlong_ = false;
  std::string error_;
};

}  // namespace thaw::agent::docker

#endif  // THAW_AGENT_CONTAINER_DOCKER_MESSAGES_H_
