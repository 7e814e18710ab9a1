// The writable files of a function: how they get into a snapshot, out of it, and out of a used slot.
#ifndef THAW_AGENT_INIT_SNAPSHOT_FILES_H_
#define THAW_AGENT_INIT_SNAPSHOT_FILES_H_

#include <string>

#include "agent/init/outcome.h"

namespace thaw::init {

// Copies /tmp (without iofs) and /dev/shm to `files_dir`/tmp and /shm, and the symbolic links of /tmp/iofs to
// /iofs. To be called while the function is frozen. `files_dir` is made.
Outcome SaveFiles(const std::string& files_dir);

// The other way round, into an emptied slot. The links of iofs are left to LayDownSocketLinks().
Outcome LayDownFiles(const std::string& files_dir);

// Makes the links of /tmp/iofs again, so that `lsnr.sock` of a function without a Thaw FDK leads to the
// socket that CRIU has bound again. To be called after the restore: the name must not appear before the
// socket can be connected to.
Outcome LayDownSocketLinks(const std::string& files_dir);

// Removes what a function can leave behind in a container besides processes: everything in /tmp, /tmp/iofs,
// /dev/shm and /dev/mqueue, System V IPC objects, resume markers, the files of given_files.h, CRIU's work files.
Outcome CleanSlot();

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_SNAPSHOT_FILES_H_
