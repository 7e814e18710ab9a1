#ifndef THAW_AGENT_INSTANCE_UNIX_SLOT_INIT_H_
#define THAW_AGENT_INSTANCE_UNIX_SLOT_INIT_H_

#include <memory>

#include "agent/instance/slot_init.h"

namespace thaw::agent {

// Talks to thaw-init over its unix socket. One thread reads for all connections that a connector made; the connector
// must outlive them.
class UnixSlotInitConnector final : public SlotInitConnector {
 public:
  UnixSlotInitConnector();
  ~UnixSlotInitConnector() override;

  absl::StatusOr<std::unique_ptr<SlotInit>> Connect(const std::string& ctl_dir, absl::Time deadline) override;

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_INSTANCE_UNIX_SLOT_INIT_H_
