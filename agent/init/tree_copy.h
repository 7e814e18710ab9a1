#ifndef THAW_AGENT_INIT_TREE_COPY_H_
#define THAW_AGENT_INIT_TREE_COPY_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "agent/init/outcome.h"

namespace thaw::init {

struct TreeCopyOptions {
  // Entries directly below the source root that are left out.
  std::vector<std::string> skip;
  // Copies symbolic links only.
  bool only_links = false;
};

struct TreeCopyResult {
  uint64_t entries = 0;
  uint64_t bytes = 0;     // of file contents written
  uint64_t left_out = 0;  // sockets and devices: CRIU re-creates bound sockets by itself
};

// Copies what lies below the directory `from` into the existing directory `to`, which itself keeps its mode and
// owner: directories, regular files (holes stay holes), symbolic links, FIFOs, hard links among
// them; with modes, owners and times. No link is ever followed, so that a tree which a function wrote can't
// lead the copy out of it. Entries that exist in `to` are replaced when they are no directories.
//
//   NotFound           `from` or `to` does not exist.
//   ResourceExhausted  no room in `to`; what was copied so far stays there.
//   Internal           an entry could not be read or made; named in the message.
Outcome CopyTree(const std::string& from, const std::string& to, const TreeCopyOptions& options,
                 TreeCopyResult* result);

// Removes everything below `dir` but not `dir` itself; entries directly below it that are named in `keep` stay.
// A directory that is not there is empty already.
Outcome EmptyDirectory(const std::string& dir, const std::vector<std::string>& keep = {});

// Sum of the sizes of the regular files below `dir`.
uint64_t TreeBytes(const std::string& dir);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_TREE_COPY_H_
