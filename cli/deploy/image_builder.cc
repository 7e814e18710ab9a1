#include "cli/deploy/image_builder.h"

#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/deploy/maven.h"
#include "cli/deploy/source_digest.h"
#include "cli/exit_code.h"
#include "common/crypto/sha256.h"
#include "common/ids/ids.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace fs = std::filesystem;
namespace {

constexpr absl::Duration kBuildStep = absl::Minutes(10);
constexpr absl::Duration kMaven = absl::Minutes(15);
// Where the build container has the sources, the CA bundle and Maven's settings.
constexpr char kSourceDirectory[] = "/function/src";
constexpr char kCaInContainer[] = "/tmp/thaw-ca.crt";
constexpr char kSettingsInContainer[] = "/tmp/thaw-settings.xml";

// A scratch folder that goes away with its owner.
class ScratchDirectory {
 public:
  static absl::StatusOr<ScratchDirectory> Make(const std::string& parent) {
    std::string path = absl::StrCat(parent, "/thaw-build-XXXXXX");
    if (mkdtemp(path.data()) == nullptr) {
      return LocalError(
          absl::FailedPreconditionError(absl::StrCat("can't make a scratch folder in ", parent, ": ",
                                                     strerror(errno), "; set TMPDIR to another one")),
          local_reason::kFile);
    }
    return ScratchDirectory(path);
  }
  ScratchDirectory(ScratchDirectory&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  ScratchDirectory& operator=(ScratchDirectory&&) = delete;
  ~ScratchDirectory() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  explicit ScratchDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

bool Exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::string ExecForm(const std::vector<std::string>& words) { return nlohmann::json(words).dump(); }

// Jars that are by-products, not the function.
bool IsByProduct(absl::string_view name) {
  return absl::StartsWith(name, "original-") || absl::EndsWith(name, "-sources.jar") ||
         absl::EndsWith(name, "-javadoc.jar") || absl::EndsWith(name, "-tests.jar");
}

// The function's folder without what an earlier build left in it, whose stale jars would go into the image.
absl::Status CopySources(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::create_directory(to, error);
  for (fs::directory_iterator it(from, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name == ".git" || name == "target") continue;
    fs::copy(it->path(), fs::path(to) / name, fs::copy_options::recursive | fs::copy_options::copy_symlinks,
             error);
    if (error) break;
  }
  if (!error) return absl::OkStatus();
  return LocalError(
      absl::FailedPreconditionError(absl::StrCat("can't copy ", from, " for the build: ", error.message())),
      local_reason::kFile);
}

}  // namespace

std::string ImageNamePart(absl::string_view text) {
  std::string part;
  for (const char c : text) {
    const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
    if (absl::ascii_isalnum(static_cast<unsigned char>(lower))) {
      part += lower;
    } else if (!part.empty() && part.back() != '-') {
      part += '-';
    }
  }
  while (!part.empty() && part.back() == '-') part.pop_back();
  return part.empty() ? "x" : part;
}

absl::Status ImageBuilder::RunBuildSteps(const std::string& directory, const FuncFile& file) {
  for (const std::string& step : file.build) {
    progress_.Start(absl::StrCat("build step `", step, "`"));
    ProcessSpec spec;
    spec.argv = {"/bin/sh", "-c", step};
    spec.working_directory = directory;
    spec.timeout = kBuildStep;
    spec.on_line = [this](absl::string_view line) { progress_.Detail(line); };
    const auto result = runner_.Run(spec);
    if (result.ok() && result->exit_code == 0) {
      progress_.Done("");
      continue;
    }
    progress_.Failed("");
    if (result.status().code() == absl::StatusCode::kCancelled) return result.status();
    return LocalError(
        absl::FailedPreconditionError(absl::StrCat(
            file.file_name, ": the build step `", step, "` failed: ",
            result.ok()
                ? absl::StrCat("exit code ", result->exit_code, "\n",
                               LastLines(absl::StrCat(result->output, "\n", result->error_output), 15))
                : std::string(result.status().message()))),
        local_reason::kBuildFailed);
  }
  return absl::OkStatus();
}

absl::StatusOr<LocalImage> ImageBuilder::NeedImage(const std::string& reference, absl::string_view key,
                                                   const FuncFile& file) {
  ASSIGN_OR_RETURN(std::optional<LocalImage> image, docker_.InspectImage(reference));
  if (image.has_value()) return *image;
  progress_.Start(absl::StrCat("pulling ", reference));
  const absl::Status pulled =
      docker_.PullImage(reference, [this](absl::string_view line) { progress_.Detail(line); });
  if (pulled.ok()) {
    progress_.Done("");
    ASSIGN_OR_RETURN(image, docker_.InspectImage(reference));
    if (image.has_value()) return *image;
  } else {
    progress_.Failed("");
    if (pulled.code() == absl::StatusCode::kCancelled) return pulled;
  }
  return LocalError(
      absl::NotFoundError(absl::StrCat(file.file_name, ": there is no local image `", reference, "`, which ",
                                       key, " names, and it can't be pulled: ", pulled.message())),
      local_reason::kLocalImageMissing);
}

absl::StatusOr<BuildPlan> ImageBuilder::Plan(const std::string& directory, const FuncFile& file,
                                             const std::string& app, const std::string& name) {
  BuildPlan plan;
  plan.directory = directory;
  Sha256 digest;
  if (Exists(fs::path(directory) / "Dockerfile")) {
    plan.kind = BuildPlan::Kind::kDockerfile;
    ASSIGN_OR_RETURN(const std::string sources, SourceDigest(directory, {}));
    digest.Update(absl::StrCat("dockerfile:", sources));
  } else {
    const auto bad = [&file](absl::string_view what) {
      return absl::InvalidArgumentError(absl::StrCat(file.file_name, ": ", what));
    };
    if (file.runtime.empty())
      return bad("`runtime` is missing; write `runtime: java`, or put a Dockerfile beside it");
    if (!absl::StartsWith(file.runtime, "java")) {
      return bad(absl::StrCat(
          "Thaw builds runtime java by itself; for runtime `", file.runtime,
          "` put a Dockerfile beside it, whose image serves Fn's http-stream contract (each of Fn's "
          "FDKs does)"));
    }
    if (!Exists(fs::path(directory) / "pom.xml")) {
      return bad(
          "runtime java needs a pom.xml beside it (or a Dockerfile, which may build any way it likes)");
    }
    if (file.cmd.empty())
      return bad("`cmd` is missing; write for example `cmd: com.example.fn.Hello::handleRequest`");
    if (file.build_image.empty())
      return bad("`build_image` is missing; write `build_image: thaw/java-build`");
    if (file.run_image.empty()) return bad("`run_image` is missing; write `run_image: thaw/java-runtime`");
    plan.kind = BuildPlan::Kind::kMaven;
    plan.build_image = file.build_image;
    plan.run_image = file.run_image;
    plan.cmd = file.cmd;
    plan.entrypoint = file.entrypoint;
    ASSIGN_OR_RETURN(const LocalImage build_image, NeedImage(file.build_image, "build_image", file));
    ASSIGN_OR_RETURN(const LocalImage run_image, NeedImage(file.run_image, "run_image", file));
    // The func file's limits and config are not in the image; its words that are, are added by themselves.
    ASSIGN_OR_RETURN(const std::string sources,
                     SourceDigest(directory, {"target", "func.yaml", "func.yml", "func.json"}));
    digest.Update(absl::StrCat("maven:", sources, "\n", build_image.id, "\n", run_image.id, "\n",
                               ExecForm(plan.cmd), "\n", ExecForm(plan.entrypoint)));
  }
  // Docker allows 128 characters in a tag, of [A-Za-z0-9_.-].
  std::string version = file.version.empty() ? "0.0.0" : file.version.substr(0, 64);
  for (char& c : version) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '_' && c != '-') c = '-';
  }
  if (version[0] == '.' || version[0] == '-') version[0] = '_';
  plan.tag = absl::StrCat("thaw.local/", ImageNamePart(app), "/", ImageNamePart(name), ":", version, "-",
                          digest.FinishHex().substr(0, 12));
  return plan;
}

absl::StatusOr<ImageBuilder::Built> ImageBuilder::Build(const BuildPlan& plan, bool no_cache) {
  ASSIGN_OR_RETURN(std::optional<LocalImage> before, docker_.InspectImage(plan.tag));
  // A Dockerfile's base images may have changed unseen by the digest; Docker's own cache makes a rebuild
  // quick.
  if (before.has_value() && !no_cache && plan.kind == BuildPlan::Kind::kMaven) return Built{*before, false};
  absl::Status built;
  if (plan.kind == BuildPlan::Kind::kMaven) {
    built = BuildWithMaven(plan, no_cache);
  } else {
    progress_.Start("building the image with its Dockerfile");
    built = docker_.BuildImage({.tag = plan.tag,
                                .context = plan.directory,
                                .dockerfile = plan.directory + "/Dockerfile",
                                .no_cache = no_cache,
                                .classic = false,
                                .arguments = options_.proxies},
                               [this](absl::string_view line) { progress_.Detail(line); });
  }
  if (!built.ok()) {
    progress_.Failed("");
    return built;
  }
  ASSIGN_OR_RETURN(const std::optional<LocalImage> image, docker_.InspectImage(plan.tag));
  if (!image.has_value()) {
    progress_.Failed("");
    return LocalError(
        absl::InternalError(absl::StrCat("docker built ", plan.tag, ", but does not have it now")),
        local_reason::kBuildFailed);
  }
  progress_.Done(plan.tag);
  return Built{*image, !before.has_value() || before->id != image->id};
}

absl::Status ImageBuilder::BuildWithMaven(const BuildPlan& plan, bool no_cache) {
  ASSIGN_OR_RETURN(const ScratchDirectory scratch, ScratchDirectory::Make(options_.temp_directory));
  const fs::path context = fs::path(scratch.path()) / "context";
  const fs::path jars = context / "jars";
  std::error_code error;
  fs::create_directories(jars, error);

  progress_.Start(absl::StrCat("building the jars with ", plan.build_image));
  const std::string sources = scratch.path() + "/src";
  RETURN_IF_ERROR(CopySources(plan.directory, sources));
  const std::string all = scratch.path() + "/target";
  ASSIGN_OR_RETURN(ProcessResult maven, RunMaven(plan, sources, /*offline=*/true, all));
  const std::string offline_words = absl::StrCat(maven.output, "\n", maven.error_output);
  if (maven.exit_code != 0 && absl::StrContains(offline_words, "offline")) {
    // Something is not in the build image's own Maven repository: then with the network.
    progress_.Detail("fetching what the build image does not have");
    ASSIGN_OR_RETURN(maven, RunMaven(plan, sources, /*offline=*/false, all));
  }
  if (maven.exit_code != 0) {
    std::string words = absl::StrCat(maven.output, "\n", maven.error_output);
    // What follows is advice for people who call Maven themselves.
    words.resize(std::min(words.size(), words.find("-> [Help")));
    return LocalError(absl::FailedPreconditionError(absl::StrCat("the Maven build in ", plan.build_image,
                                                                 " failed (exit code ", maven.exit_code,
                                                                 "):\n", LastLines(words, 25))),
                      local_reason::kBuildFailed);
  }
  int count = 0;
  for (fs::directory_iterator it(all, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!absl::EndsWith(name, ".jar") || IsByProduct(name)) continue;
    fs::rename(it->path(), jars / name, error);
    ++count;
  }
  if (error || count == 0) {
    return LocalError(
        absl::FailedPreconditionError(
            error ? absl::StrCat("can't collect the jars in ", all, ": ", error.message())
                  : "the Maven build made no jar in target/; set <packaging>jar</packaging> in pom.xml"),
        local_reason::kBuildFailed);
  }

  progress_.Detail("laying them onto the run image");
  std::string dockerfile = absl::StrCat("FROM ", plan.run_image, "\nCOPY jars/ /function/app/\n");
  if (!plan.entrypoint.empty()) absl::StrAppend(&dockerfile, "ENTRYPOINT ", ExecForm(plan.entrypoint), "\n");
  absl::StrAppend(&dockerfile, "CMD ", ExecForm(plan.cmd), "\n");
  const std::string dockerfile_path = scratch.path() + "/Dockerfile";
  std::ofstream file(dockerfile_path);
  file << dockerfile;
  file.close();
  // Outside the context, where a function's file of that name could not be meant.
  if (!file) {
    return LocalError(
        absl::FailedPreconditionError(absl::StrCat("can't write ", dockerfile_path, ": is the disk full?")),
        local_reason::kFile);
  }
  return docker_.BuildImage({.tag = plan.tag,
                             .context = context.string(),
                             .dockerfile = dockerfile_path,
                             .no_cache = no_cache,
                             .classic = true,
                             .arguments = {}},
                            [this](absl::string_view line) { progress_.Detail(line); });
}

absl::StatusOr<ProcessResult> ImageBuilder::RunMaven(const BuildPlan& plan, const std::string& sources,
                                                     bool offline, const std::string& jars) {
  // The sources are copied into a container of their own instead of being mounted: Maven's target/ then never
  // lies in the user's folder as root's, and a Docker on another host or beside this process's own container
  // does as well.
  // Named here, so that it can be removed also when the answer to its creation never comes.
  const std::string container = absl::StrCat("thaw-build-", NewHexId());
  std::vector<std::string> create = {"--name",    container,        "--network",     "host",
                                     "--workdir", kSourceDirectory, plan.build_image};
  // Only the run that may need the network is given what that takes.
  const std::string settings = offline ? "" : MavenSettings(options_.proxies);
  const bool with_ca = !offline && !options_.ca_bundle.empty();
  std::vector<std::string> command = MavenBuildCommand(offline, settings.empty() ? "" : kSettingsInContainer);
  if (with_ca) command = WithTrustStore(kCaInContainer, std::move(command));
  create.insert(create.end(), command.begin(), command.end());
  const auto remove =
      absl::MakeCleanup([this, container] { docker_.RemoveContainers({container}).IgnoreError(); });
  RETURN_IF_ERROR(docker_.CreateContainer(create));
  RETURN_IF_ERROR(docker_.CopyInto(sources + "/.", container, kSourceDirectory));
  if (with_ca) RETURN_IF_ERROR(docker_.CopyInto(options_.ca_bundle, container, kCaInContainer));
  if (!settings.empty()) {
    const std::string file = jars + ".settings.xml";
    std::ofstream(file) << settings;
    RETURN_IF_ERROR(docker_.CopyInto(file, container, kSettingsInContainer));
  }
  ASSIGN_OR_RETURN(
      ProcessResult result,
      docker_.StartAttached(container, kMaven, [this](absl::string_view line) { progress_.Detail(line); }));
  if (result.exit_code == 0) {
    RETURN_IF_ERROR(docker_.CopyOut(container, absl::StrCat(kSourceDirectory, "/target"), jars));
  }
  return result;
}

}  // namespace thaw::cli
