#ifndef THAW_AGENT_CONTAINER_TOOLS_H_
#define THAW_AGENT_CONTAINER_TOOLS_H_

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/state/paths.h"

namespace thaw::agent {

// A file or directory of this host that every slot gets as /thaw/<name>.
struct ToolSource {
  std::string path;
  std::string name;
};

// Copies the tools into <data>/bin/<digest>/, whose name is a digest of all that is in it, and returns that name. What was
// installed before is left as it is: containers have it mounted. Appears by a rename, so it is whole or not there; one that
// is there and no longer what its name says is replaced. Blocks, for some 100 ms with a CRIU bundle.
//
//   NOT_FOUND           a source is not there, or can't be read
//   FAILED_PRECONDITION a source has something else than files and directories in it
//   RESOURCE_EXHAUSTED  the disk is full
//   INTERNAL            the data directory can't be written
absl::StatusOr<std::string> InstallTools(const std::vector<ToolSource>& sources, const Paths& paths);

// Removes everything of <data>/bin but the directories of these names.
void RemoveToolsExcept(const std::set<std::string>& names, const Paths& paths);

}  // namespace thaw::agent

#endif  // THAW_AGENT_CONTAINER_TOOLS_H_
