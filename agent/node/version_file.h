#ifndef THAW_AGENT_NODE_VERSION_FILE_H_
#define THAW_AGENT_NODE_VERSION_FILE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/pool/version_state.h"

namespace thaw::agent {

// The versions as the scheduler last told them, for an agent that starts while there is no scheduler to ask. The file is a
// row of length-delimited VersionState messages, without the values of secrets: those never lie on a node's disk.

// Empty when there is no file. A file that can't be understood is set aside as `<path>.damaged` and counts as none: the
// scheduler tells all of it again.
absl::StatusOr<std::vector<VersionState>> LoadVersionFile(const std::string& path);

// Replaces the file as a whole or not at all. Calls must not overlap.
absl::Status SaveVersionFile(const std::string& path, const std::vector<VersionState>& states);

}  // namespace thaw::agent

#endif  // THAW_AGENT_NODE_VERSION_FILE_H_
