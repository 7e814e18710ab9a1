#ifndef THAW_AGENT_START_SOURCES_H_
#define THAW_AGENT_START_SOURCES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/container/runtime.h"
#include "agent/pool/version_state.h"

namespace thaw::agent {

// Where images come from. Threads: any; blocks.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  // Has the version's image in this node's engine when it returns; FAILED_PRECONDITION with reason IMAGE_UNAVAILABLE when
  // nobody has it.
  virtual absl::StatusOr<ImageInfo> Ensure(const VersionState& version, absl::Time deadline) = 0;
  // The image was removed, or proved not to be there: the next Ensure() asks the engine. Does not block.
  virtual void Forget(const std::string& image_id) = 0;
};

// Where snapshots that are not here come from, and who is told of what is here. Threads: any; Fetch() blocks.
class SnapshotSource {
 public:
  virtual ~SnapshotSource() = default;
  // Has the version's snapshot whole in the store when it returns, taken from its holders.
  virtual absl::Status Fetch(const VersionState& version, absl::Time deadline) = 0;
  // The scheduler's catalogue hears of it.
  virtual void ReportHeld(const thaw::common::v1::SnapshotInfo& snapshot) = 0;
  virtual void ReportGone(const std::string& snapshot_id, const std::string& reason) = 0;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_START_SOURCES_H_
