#ifndef THAW_AGENT_POOL_SLOT_H_
#define THAW_AGENT_POOL_SLOT_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/instance/slot_init.h"
#include "agent/pool/version_state.h"

namespace thaw::agent {

// A started container with its thaw-init: the place of at most one instance. Made for one version, as its limits, its
// image and its CRaC volume are the container's.
class Slot {
 public:
  Slot(std::string id, std::string container_id, std::string version_id, std::string iofs_dir, std::string ctl_dir,
       std::unique_ptr<SlotInit> init)
      : id_(std::move(id)),
        container_id_(std::move(container_id)),
        version_id_(std::move(version_id)),
        iofs_dir_(std::move(iofs_dir)),
        ctl_dir_(std::move(ctl_dir)),
        init_(std::move(init)) {}

  const std::string& id() const { return id_; }
  const std::string& container_id() const { return container_id_; }
  const std::string& version_id() const { return version_id_; }
  // On the host.
  const std::string& iofs_dir() const { return iofs_dir_; }
  const std::string& ctl_dir() const { return ctl_dir_; }
  SlotInit& init() { return *init_; }
  // For who may still be talking to it when the slot is given away.
  std::shared_ptr<SlotInit> shared_init() const { return init_; }

 private:
  const std::string id_, container_id_, version_id_, iofs_dir_, ctl_dir_;
  const std::shared_ptr<SlotInit> init_;
};

// Makes and removes slots. Threads: any; both methods block on the container engine.
class SlotFactory {
 public:
  virtual ~SlotFactory() = default;
  // Has the image brought here if need be, makes the container, and waits for its init. Errors are ContainerRuntime's;
  // FAILED_PRECONDITION with reason IMAGE_UNAVAILABLE when nobody has the image. Nothing is left behind on error.
  virtual absl::StatusOr<std::unique_ptr<Slot>> Create(const VersionState& version, absl::Time deadline) = 0;
  // Removes container and directories. A failure is logged; recovery removes what it left.
  virtual void Destroy(std::unique_ptr<Slot> slot) = 0;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_POOL_SLOT_H_
