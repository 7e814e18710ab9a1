#include "cli/demo/node_control.h"

#include "absl/strings/str_cat.h"
#include "cli/exit_code.h"
#include "common/status/status_macros.h"

namespace thaw::cli {

absl::StatusOr<std::string> DockerNodeControl::FindAgent(const std::string& node) {
  ASSIGN_OR_RETURN(const std::vector<std::string> found,
                   docker_.FindContainers({"thaw.role=agent", absl::StrCat("thaw.node=", node)}));
  if (found.size() == 1) return found.front();
  return LocalError(absl::FailedPreconditionError(absl::StrCat(
                        found.empty() ? "no container" : "more than one container",
                        " here has the labels thaw.role=agent and thaw.node=", node,
                        "; say how to stop and start the node with --kill-node and --start-node")),
                    local_reason::kToolFailed);
}

absl::Status DockerNodeControl::Kill(const std::string& node) {
  ASSIGN_OR_RETURN(const std::string agent, FindAgent(node));
  // The agent first: alive, it would replace the containers that go.
  RETURN_IF_ERROR(docker_.KillContainer(agent));
  ASSIGN_OR_RETURN(const std::vector<std::string> slots,
                   docker_.FindContainers({"thaw.role=slot", absl::StrCat("thaw.node=", node)}));
  return docker_.RemoveContainers(slots);
}

absl::Status DockerNodeControl::Start(const std::string& node) {
  ASSIGN_OR_RETURN(const std::string agent, FindAgent(node));
  return docker_.StartContainer(agent);
}

absl::Status HookNodeControl::Kill(const std::string& node) {
  return kill_command_.empty() ? fallback_.Kill(node) : Run(kill_command_, node, "--kill-node");
}

absl::Status HookNodeControl::Start(const std::string& node) {
  return start_command_.empty() ? fallback_.Start(node) : Run(start_command_, node, "--start-node");
}

absl::Status HookNodeControl::Run(const std::string& command, const std::string& node, const char* option) {
  ProcessSpec spec;
  spec.argv = {"sh", "-c", command};
  spec.env = {{"THAW_NODE", node}};
  spec.timeout = absl::Minutes(1);
  const auto result = runner_.Run(spec);
  if (result.status().code() == absl::StatusCode::kCancelled) return result.status();
  if (result.ok() && result->exit_code == 0) return absl::OkStatus();
  return LocalError(
      absl::FailedPreconditionError(absl::StrCat(
          "the command of ", option, " failed for node ", node, ": ",
          result.ok() ? absl::StrCat("exit code ", result->exit_code, " ",
                                     LastLines(absl::StrCat(result->output, "\n", result->error_output), 5))
                      : std::string(result.status().message()))),
      local_reason::kToolFailed);
}

}  // namespace thaw::cli
