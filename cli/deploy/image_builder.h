#ifndef THAW_CLI_DEPLOY_IMAGE_BUILDER_H_
#define THAW_CLI_DEPLOY_IMAGE_BUILDER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/deploy/docker.h"
#include "cli/deploy/func_file.h"
#include "cli/output/progress.h"
#include "cli/process/runner.h"

namespace thaw::cli {

// How a function's image is going to be made.
struct BuildPlan {
  enum class Kind {
    // With the folder's own Dockerfile.
    kDockerfile,
    // With Maven in `build_image`; the jars are laid onto `run_image`.
    kMaven,
  };
  Kind kind = Kind::kDockerfile;
  std::string directory;
  // thaw.local/<app>/<name>:<version>-<digest of all that the image is made from>
  std::string tag;
  std::string build_image;
  std::string run_image;
  std::vector<std::string> cmd;
  std::vector<std::string> entrypoint;
};

// Makes function images with the local Docker. One thread at a time. What it is given must outlive it.
class ImageBuilder {
 public:
  // `ca_bundle` is a PEM file that build containers shall trust (SSL_CERT_FILE), or "". `proxies` are build
  // arguments for Dockerfiles (HTTP_PROXY and its kin).
  struct Options {
    std::string ca_bundle;
    std::vector<std::pair<std::string, std::string>> proxies;
    std::string temp_directory = "/tmp";
  };
  ImageBuilder(Docker& docker, ProcessRunner& runner, Progress& progress, Options options)
      : docker_(docker), runner_(runner), progress_(progress), options_(std::move(options)) {}

  // Runs the func file's `build` lines, in the function's folder.
  absl::Status RunBuildSteps(const std::string& directory, const FuncFile& file);

  // Says how the image is made. INVALID_ARGUMENT (with the func file's name) when it can't be: an unknown
  // runtime without a Dockerfile, no pom.xml, no cmd, no run_image. Images that are named and not there are
  // pulled.
  absl::StatusOr<BuildPlan> Plan(const std::string& directory, const FuncFile& file, const std::string& app,
                                 const std::string& name);

  struct Built {
    LocalImage image;
    // False when an image made from the same sources was there.
    bool fresh = false;
  };
  absl::StatusOr<Built> Build(const BuildPlan& plan, bool no_cache);

 private:
  absl::StatusOr<LocalImage> NeedImage(const std::string& reference, absl::string_view key,
                                       const FuncFile& file);
  absl::Status BuildWithMaven(const BuildPlan& plan, bool no_cache);
  // Runs Maven once over `sources`, in a new container. Where it succeeds, target/ is then in `jars`.
  absl::StatusOr<ProcessResult> RunMaven(const BuildPlan& plan, const std::string& sources, bool offline,
                                         const std::string& jars);

  Docker& docker_;
  ProcessRunner& runner_;
  Progress& progress_;
  const Options options_;
};

// `text` as a part of an image name: lower case, and `-` for what may not stand there.
std::string ImageNamePart(absl::string_view text);

}  // namespace thaw::cli

#endif  // THAW_CLI_DEPLOY_IMAGE_BUILDER_H_
