#include "agent/options.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/state/paths.h"
#include "common/ids/ids.h"

namespace thaw::agent {

absl::Status Options::Validate() const {
  if (!IsSafeName(node_id)) {
    return absl::InvalidArgumentError("--node-id must be 1 to 128 letters, digits, `_`, `.` or `-`, unique in the cluster");
  }
  if (scheduler.empty()) return absl::InvalidArgumentError("--scheduler must name the scheduler as host:port");
  if (!absl::StartsWith(data_dir, "/")) return absl::InvalidArgumentError("--data-dir must be an absolute path");
  if (data_dir.size() > Paths::kMaxDataDirLength) {
    return absl::InvalidArgumentError(absl::StrCat("--data-dir is longer than ", Paths::kMaxDataDirLength,
                                                   " bytes: the unix sockets below it would not fit into their 108"));
  }
  if (init_binary.empty()) return absl::InvalidArgumentError("--init-binary must name the static thaw-init to use");
  if (max_waiting_calls == 0) return absl::InvalidArgumentError("--max-waiting-calls must be at least 1");
  if (unused_image_time < absl::ZeroDuration()) {
    return absl::InvalidArgumentError("--unused-image-time must not be negative; `inf` keeps all images");
  }
  return absl::OkStatus();
}

}  // namespace thaw::agent
