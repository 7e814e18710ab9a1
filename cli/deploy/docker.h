#ifndef THAW_CLI_DEPLOY_DOCKER_H_
#define THAW_CLI_DEPLOY_DOCKER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/process/runner.h"

namespace thaw::cli {

struct LocalImage {
  // `sha256:…`
  std::string id;
  std::uint64_t size_bytes = 0;
};

// The `docker` program on this machine, one method per act, each with a time limit. Every error has a local
// reason (cli/exit_code.h): no such program, no daemon, or what docker said. Threads: any.
class Docker {
 public:
  // `runner` must outlive it.
  explicit Docker(ProcessRunner& runner) : runner_(runner) {}

  // Whether there is a docker program and a daemon behind it.
  absl::Status CheckDaemon();

  // The image that a name or id stands for here, if any.
  absl::StatusOr<std::optional<LocalImage>> InspectImage(const std::string& reference);
  // What a container of the image runs: its ENTRYPOINT and then its CMD.
  absl::StatusOr<std::vector<std::string>> InspectCommand(const std::string& reference);
  absl::Status PullImage(const std::string& reference, const std::function<void(absl::string_view)>& on_line);
  absl::Status TagImage(const std::string& image_id, const std::string& reference);
  absl::Status RemoveImage(const std::string& reference);
  // The names (with tags) of the local images that match a pattern such as `thaw.local/demo/*`.
  absl::StatusOr<std::vector<std::string>> ListImages(const std::string& pattern);
  // The image's archive, to `sink`.
  absl::Status SaveImage(const std::string& reference,
                         const std::function<absl::Status(absl::string_view)>& sink);

  struct Build {
    std::string tag;
    std::string context;
    std::string dockerfile;
    bool no_cache = false;
    // With the classic builder, which takes its base from the local images and asks no registry; else with
    // the engine's own choice.
    bool classic = false;
    std::vector<std::pair<std::string, std::string>> arguments;
  };
  absl::Status BuildImage(const Build& build, const std::function<void(absl::string_view)>& on_line);

  // A stopped container. `arguments` are docker's, then the image and its command.
  absl::Status CreateContainer(const std::vector<std::string>& arguments);
  // Runs it to its end. The result's exit code is the container's.
  absl::StatusOr<ProcessResult> StartAttached(const std::string& container, absl::Duration timeout,
                                              const std::function<void(absl::string_view)>& on_line);
  absl::Status CopyInto(const std::string& source, const std::string& container, const std::string& target);
  // With `follow_links`, what a symbolic link `source` leads to.
  absl::Status CopyOut(const std::string& container, const std::string& source, const std::string& target,
                       bool follow_links = false);
  absl::Status RemoveContainers(const std::vector<std::string>& containers);
  absl::Status KillContainer(const std::string& container);
  absl::Status StartContainer(const std::string& container);
  // Ids of the containers, running or not, that have all of these labels (`name=value`).
  absl::StatusOr<std::vector<std::string>> FindContainers(const std::vector<std::string>& labels);

 private:
  // Runs docker; an exit code other than 0 is an error with docker's last words.
  absl::StatusOr<ProcessResult> Run(std::vector<std::string> arguments, absl::Duration timeout,
                                    absl::string_view act,
                                    const std::function<void(absl::string_view)>& on_line = nullptr,
                                    std::vector<std::pair<std::string, std::string>> env = {});
  absl::StatusOr<ProcessResult> Run(ProcessSpec spec, absl::string_view act);

  ProcessRunner& runner_;
};

}  // namespace thaw::cli

#endif  // THAW_CLI_DEPLOY_DOCKER_H_
