#ifndef THAW_AGENT_POOL_CONTAINER_SLOTS_H_
#define THAW_AGENT_POOL_CONTAINER_SLOTS_H_

#include <memory>
#include <string>

#include "agent/container/profile.h"
#include "agent/container/runtime.h"
#include "agent/pool/slot.h"
#include "agent/start/sources.h"
#include "agent/state/paths.h"
#include "common/clock/clock.h"
#include "spdlog/logger.h"

namespace thaw::agent {

// Slots as containers of the host's engine.
class ContainerSlots final : public SlotFactory {
 public:
  struct Options {
    std::string node_id;
    Profile profile;
    std::string network = "bridge";
    // As InstallTools() names them.
    std::string tools;
    absl::Duration remove_limit = absl::Seconds(30);
  };
  struct Deps {
    ContainerRuntime& runtime;
    SlotInitConnector& connector;
    ImageSource& images;
    const Clock& clock;
    Paths paths;
    std::shared_ptr<spdlog::logger> log;
  };

  ContainerSlots(const Options& options, const Deps& deps) : options_(options), deps_(deps) {}

  absl::StatusOr<std::unique_ptr<Slot>> Create(const VersionState& version, absl::Time deadline) override;
  void Destroy(std::unique_ptr<Slot> slot) override;

 private:
  absl::Status MakeDirectories(const std::string& slot_id, const std::string& version_id);
  void Remove(const std::string& container_id, const std::string& slot_id);

  const Options options_;
  const Deps deps_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_POOL_CONTAINER_SLOTS_H_
