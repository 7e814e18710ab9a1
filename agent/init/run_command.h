#ifndef THAW_AGENT_INIT_RUN_COMMAND_H_
#define THAW_AGENT_INIT_RUN_COMMAND_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace thaw::init {

// `/thaw/init -- CMD ARGS…`: runs the command as uid/gid with the function's restrictions (those that this
// container allows), with stdin, stdout, stderr and environment inherited, forwards signals to it, reaps
// orphans, and returns the exit status for main(): the command's, 128+n when signal n ended it, 127 when it
// does not exist, 126 when it can't be executed.
int RunCommand(const std::vector<std::string>& argv, uid_t uid, gid_t gid);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_RUN_COMMAND_H_
