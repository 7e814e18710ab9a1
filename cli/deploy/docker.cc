#include "cli/deploy/docker.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cli/exit_code.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace {

constexpr absl::Duration kQuick = absl::Seconds(30);
constexpr absl::Duration kCopy = absl::Minutes(5);
constexpr absl::Duration kPull = absl::Minutes(10);
constexpr absl::Duration kBuild = absl::Minutes(20);
constexpr absl::Duration kSave = absl::Minutes(20);

bool SaysNoDaemon(absl::string_view text) {
  return absl::StrContains(text, "Cannot connect to the Docker daemon") ||
         absl::StrContains(text, "permission denied while trying to connect") ||
         absl::StrContains(text, "error during connect");
}

bool SaysNoSuch(absl::string_view text) {
  const std::string lower = absl::AsciiStrToLower(text);
  return absl::StrContains(lower, "no such") || absl::StrContains(lower, "not found");
}

absl::Status NoDocker() {
  return LocalError(
      absl::FailedPreconditionError("there is no `docker` program in PATH, and images are built and "
                                    "read with it"),
      local_reason::kDockerMissing);
}

absl::Status NoDaemon(absl::string_view words) {
  return LocalError(
      absl::FailedPreconditionError(absl::StrCat("docker can't reach its daemon: ", LastLines(words, 1))),
      local_reason::kDockerDaemon);
}

}  // namespace

absl::StatusOr<ProcessResult> Docker::Run(std::vector<std::string> arguments, absl::Duration timeout,
                                          absl::string_view act,
                                          const std::function<void(absl::string_view)>& on_line,
                                          std::vector<std::pair<std::string, std::string>> env) {
  ProcessSpec spec;
  spec.argv = std::move(arguments);
  spec.argv.insert(spec.argv.begin(), "docker");
  spec.env = std::move(env);
  spec.timeout = timeout;
  spec.on_line = on_line;
  return Run(std::move(spec), act);
}

absl::StatusOr<ProcessResult> Docker::Run(ProcessSpec spec, absl::string_view act) {
  auto result = runner_.Run(spec);
  if (!result.ok()) {
    if (result.status().code() == absl::StatusCode::kNotFound) return NoDocker();
    if (result.status().code() == absl::StatusCode::kCancelled) return result.status();
    return LocalError(
        absl::Status(result.status().code(), absl::StrCat("can't ", act, ": ", result.status().message())),
        local_reason::kToolFailed);
  }
  if (result->exit_code != 0) {
    const std::string& words = result->error_output.empty() ? result->output : result->error_output;
    if (SaysNoDaemon(words)) return NoDaemon(words);
    return LocalError(
        absl::Status(SaysNoSuch(words) ? absl::StatusCode::kNotFound : absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("can't ", act, ": ", LastLines(words, 8))),
        local_reason::kToolFailed);
  }
  return result;
}

absl::Status Docker::CheckDaemon() {
  return Run({"version", "--format", "{{.Server.Version}}"}, kQuick, "ask docker for its version").status();
}

absl::StatusOr<std::optional<LocalImage>> Docker::InspectImage(const std::string& reference) {
  const auto result = Run({"image", "inspect", "--format", "{{.Id}} {{.Size}}", reference}, kQuick,
                          absl::StrCat("inspect the image ", reference));
  if (result.status().code() == absl::StatusCode::kNotFound) return std::nullopt;
  RETURN_IF_ERROR(result.status());
  const std::vector<std::string> fields =
      absl::StrSplit(absl::StripAsciiWhitespace(result->output), ' ', absl::SkipEmpty());
  LocalImage image;
  if (fields.size() != 2 || !absl::StartsWith(fields[0], "sha256:") ||
      !absl::SimpleAtoi(fields[1], &image.size_bytes)) {
    return LocalError(absl::InternalError(absl::StrCat("docker described the image ", reference, " as `",
                                                       LastLines(result->output, 1), "`")),
                      local_reason::kToolFailed);
  }
  image.id = fields[0];
  return image;
}

absl::StatusOr<std::vector<std::string>> Docker::InspectCommand(const std::string& reference) {
  // One word a line; a word with a line break in it is no program's name.
  ASSIGN_OR_RETURN(const ProcessResult result,
                   Run({"image", "inspect", "--format",
                        "{{range .Config.Entrypoint}}{{println .}}{{end}}{{range .Config.Cmd}}{{println .}}{{end}}", reference},
                       kQuick, absl::StrCat("inspect the image ", reference)));
  return std::vector<std::string>(absl::StrSplit(result.output, '\n', absl::SkipEmpty()));
}

absl::Status Docker::PullImage(const std::string& reference,
                               const std::function<void(absl::string_view)>& on_line) {
  return Run({"pull", reference}, kPull, absl::StrCat("pull the image ", reference), on_line).status();
}

absl::Status Docker::TagImage(const std::string& image_id, const std::string& reference) {
  return Run({"tag", image_id, reference}, kQuick, absl::StrCat("tag the image ", reference)).status();
}

absl::Status Docker::RemoveImage(const std::string& reference) {
  return Run({"rmi", reference}, absl::Minutes(1), absl::StrCat("remove the image ", reference)).status();
}

absl::StatusOr<std::vector<std::string>> Docker::ListImages(const std::string& pattern) {
  ASSIGN_OR_RETURN(const ProcessResult result,
                   Run({"image", "ls", "--filter", absl::StrCat("reference=", pattern), "--format",
                        "{{.Repository}}:{{.Tag}}"},
                       kQuick, "list images"));
  return std::vector<std::string>(absl::StrSplit(result.output, absl::ByAnyChar(" \r\n"), absl::SkipEmpty()));
}

absl::Status Docker::SaveImage(const std::string& reference,
                               const std::function<absl::Status(absl::string_view)>& sink) {
  ProcessSpec spec;
  spec.argv = {"docker", "save", reference};
  spec.timeout = kSave;
  spec.on_output = sink;
  const auto result = runner_.Run(spec);
  if (result.status().code() == absl::StatusCode::kNotFound) return NoDocker();
  RETURN_IF_ERROR(result.status());
  if (result->exit_code == 0) return absl::OkStatus();
  if (SaysNoDaemon(result->error_output)) return NoDaemon(result->error_output);
  return LocalError(
      absl::FailedPreconditionError(absl::StrCat("can't read the image ", reference,
                                                 " out of docker: ", LastLines(result->error_output, 3))),
      local_reason::kToolFailed);
}

absl::Status Docker::BuildImage(const Build& build, const std::function<void(absl::string_view)>& on_line) {
  std::vector<std::string> arguments = {"build",   "--force-rm", "--tag",
                                        build.tag, "--file",     build.dockerfile};
  if (build.no_cache) arguments.push_back("--no-cache");
  for (const auto& [name, value] : build.arguments) {
    arguments.push_back("--build-arg");
    arguments.push_back(absl::StrCat(name, "=", value));
  }
  arguments.push_back(build.context);
  std::vector<std::pair<std::string, std::string>> env;
  if (build.classic) env.emplace_back("DOCKER_BUILDKIT", "0");
  const auto result =
      Run(std::move(arguments), kBuild, absl::StrCat("build the image ", build.tag), on_line, std::move(env));
  if (ReasonOf(result.status()) == local_reason::kToolFailed) {
    return LocalError(result.status(), local_reason::kBuildFailed);
  }
  return result.status();
}

absl::Status Docker::CreateContainer(const std::vector<std::string>& arguments) {
  std::vector<std::string> all = {"create"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return Run(std::move(all), absl::Minutes(2), "create a build container").status();
}

absl::StatusOr<ProcessResult> Docker::StartAttached(const std::string& container, absl::Duration timeout,
                                                    const std::function<void(absl::string_view)>& on_line) {
  ProcessSpec spec;
  spec.argv = {"docker", "start", "--attach", container};
  spec.timeout = timeout;
  spec.on_line = on_line;
  auto result = runner_.Run(spec);
  if (result.status().code() == absl::StatusCode::kNotFound) return NoDocker();
  if (result.ok() && result->exit_code != 0 && SaysNoDaemon(result->error_output))
    return NoDaemon(result->error_output);
  return result;
}

absl::Status Docker::CopyInto(const std::string& source, const std::string& container,
                              const std::string& target) {
  return Run({"cp", source, absl::StrCat(container, ":", target)}, kCopy,
             absl::StrCat("copy ", source, " into the build container"))
      .status();
}

absl::Status Docker::CopyOut(const std::string& container, const std::string& source,
                             const std::string& target, bool follow_links) {
  std::vector<std::string> arguments = {"cp"};
  if (follow_links) arguments.push_back("--follow-link");
  arguments.insert(arguments.end(), {absl::StrCat(container, ":", source), target});
  return Run(std::move(arguments), kCopy, absl::StrCat("copy ", source, " out of the container")).status();
}

absl::Status Docker::RemoveContainers(const std::vector<std::string>& containers) {
  if (containers.empty()) return absl::OkStatus();
  ProcessSpec spec;
  spec.argv = {"docker", "rm", "--force", "--volumes"};
  spec.argv.insert(spec.argv.end(), containers.begin(), containers.end());
  spec.timeout = absl::Minutes(2);
  spec.cleanup = true;
  return Run(std::move(spec), "remove containers").status();
}

absl::Status Docker::KillContainer(const std::string& container) {
  return Run({"kill", container}, kQuick, absl::StrCat("kill the container ", container)).status();
}

absl::Status Docker::StartContainer(const std::string& container) {
  return Run({"start", container}, absl::Minutes(1), absl::StrCat("start the container ", container))
      .status();
}

absl::StatusOr<std::vector<std::string>> Docker::FindContainers(const std::vector<std::string>& labels) {
  std::vector<std::string> arguments = {"ps", "--all", "--quiet", "--no-trunc"};
  for (const std::string& label : labels) {
    arguments.push_back("--filter");
    arguments.push_back(absl::StrCat("label=", label));
  }
  ASSIGN_OR_RETURN(const ProcessResult result, Run(std::move(arguments), kQuick, "list containers"));
  return std::vector<std::string>(absl::StrSplit(result.output, absl::ByAnyChar(" \r\n"), absl::SkipEmpty()));
}

}  // namespace thaw::cli
