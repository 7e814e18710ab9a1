#ifndef THAW_AGENT_AGENT_H_
#define THAW_AGENT_AGENT_H_

#include <memory>

#include "absl/status/statusor.h"
#include "agent/options.h"
#include "spdlog/logger.h"

namespace thaw::agent {

// One node: its parts built, connected and served.
//
// Start: the snapshot store is opened (it recovers), the engine is asked and the profile probed, what a former self left is
// adopted or removed, then the gRPC services open, then the scheduler is told.
class Agent {
 public:
  // UNAVAILABLE when the container engine does not answer or an address can't be bound; else as Options::Validate(),
  // Security::Load() and DiskSnapshotStore::Open().
  static absl::StatusOr<std::unique_ptr<Agent>> Start(const Options& options, std::shared_ptr<spdlog::logger> log);
  // As Stop().
  ~Agent();

  int port() const;
  int metrics_port() const;

  // Tells the scheduler, lets calls under way end (at most Options::stop_grace), closes the services, then stops the
  // workers. Containers stay as they are: the next start adopts them.
  void Stop();

 private:
  class Parts;
  explicit Agent(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_AGENT_H_
