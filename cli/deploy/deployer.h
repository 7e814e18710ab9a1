#ifndef THAW_CLI_DEPLOY_DEPLOYER_H_
#define THAW_CLI_DEPLOY_DEPLOYER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/deploy/docker.h"
#include "cli/deploy/image_builder.h"
#include "cli/gateway/client.h"
#include "cli/output/progress.h"

namespace thaw::cli {

struct DeployRequest {
  std::string directory = ".";
  std::string app;
  // Empty: the func file's, or the folder's.
  std::string name;
  bool create_app = true;
  bool no_cache = false;
  // What is set here wins over the func file.
  std::map<std::string, std::string> config;
  std::optional<std::uint32_t> memory_mib;
  std::optional<std::uint32_t> timeout_s;
  std::optional<std::uint32_t> idle_timeout_s;
  std::optional<commonpb::CheckpointPolicy> checkpoint;
};

struct DeployResult {
  enum class Outcome { kCreated, kUpdated, kUnchanged };
  Outcome outcome = Outcome::kUnchanged;
  commonpb::App app;
  bool app_created = false;
  commonpb::Function function;
  // Whether an image was built; false when one made from the same sources was there.
  bool built = false;
  std::uint64_t pushed_bytes = 0;
  std::string pushed_to;
  // What the user should know and is no error.
  std::vector<std::string> notes;
};

// From a folder of sources to a function that can be called. One thread at a time.
class Deployer {
 public:
  // All must outlive it.
  Deployer(GatewayClient& client, Docker& docker, ImageBuilder& builder, Progress& progress)
      : client_(client), docker_(docker), builder_(builder), progress_(progress) {}

  // Builds the image unless one of the same sources is there, brings it to the cluster unless a node has it,
  // and makes or updates the function unless it is as wanted. Config merges: keys that only the cluster has
  // stay.
  //
  //   INVALID_ARGUMENT  the func file or the sources are wrong (file, line, what to write)
  //   NOT_FOUND         no func file; or no such app and create_app is false
  //   local reasons     docker or the build failed
  //   the gateway's     as they come
  absl::StatusOr<DeployResult> Deploy(const DeployRequest& request);

 private:
  GatewayClient& client_;
  Docker& docker_;
  ImageBuilder& builder_;
  Progress& progress_;
};

}  // namespace thaw::cli

#endif  // THAW_CLI_DEPLOY_DEPLOYER_H_
