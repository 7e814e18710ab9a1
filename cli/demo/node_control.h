#ifndef THAW_CLI_DEMO_NODE_CONTROL_H_
#define THAW_CLI_DEMO_NODE_CONTROL_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/deploy/docker.h"
#include "cli/process/runner.h"

namespace thaw::cli {

// Takes a node away without a word, and brings it back. One thread at a time.
class NodeControl {
 public:
  virtual ~NodeControl() = default;
  // Ends the node's agent and its function containers at once, as a power cut does.
  virtual absl::Status Kill(const std::string& node) = 0;
  virtual absl::Status Start(const std::string& node) = 0;
};

// Nodes of deploy/compose.yaml on the local Docker: the agent has the labels thaw.role=agent and
// thaw.node=ID, the function containers thaw.role=slot and thaw.node=ID.
class DockerNodeControl final : public NodeControl {
 public:
  // `docker` must outlive it.
  explicit DockerNodeControl(Docker& docker) : docker_(docker) {}
  absl::Status Kill(const std::string& node) override;
  absl::Status Start(const std::string& node) override;

 private:
  absl::StatusOr<std::string> FindAgent(const std::string& node);
  Docker& docker_;
};

// Runs the operator's commands with `sh -c`, THAW_NODE set to the node's id, a minute each. An empty command
// falls back to `fallback`. Both must outlive it.
class HookNodeControl final : public NodeControl {
 public:
  HookNodeControl(ProcessRunner& runner, NodeControl& fallback, std::string kill_command,
                  std::string start_command)
      : runner_(runner),
        fallback_(fallback),
        kill_command_(std::move(kill_command)),
        start_command_(std::move(start_command)) {}
  absl::Status Kill(const std::string& node) override;
  absl::Status Start(const std::string& node) override;

 private:
  absl::Status Run(const std::string& command, const std::string& node, const char* option);

  ProcessRunner& runner_;
  NodeControl& fallback_;
  const std::string kill_command_, start_command_;
};

}  // namespace thaw::cli

#endif  // THAW_CLI_DEMO_NODE_CONTROL_H_
