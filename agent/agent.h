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

  // Saves the versions, tells the scheduler, lets calls under way end (at most Options::stop_grace), closes
  // the services, then stops the workers: what they have queued is dropped. Containers stay as they are: the
  // next start adopts them.
  //
  // False when something still runs after twice that time and a little (the engine may not answer, a dump may
  // take its time): it is left running with all that it uses, and the process must end by std::_Exit(), as it
  // could be in the middle of anything. The next start recovers from that as from a crash.
  [[nodiscard]] bool Stop();

 private:
  class Parts;
  explicit Agent(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_AGENT_H_
