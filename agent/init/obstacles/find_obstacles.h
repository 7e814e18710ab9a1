#ifndef THAW_AGENT_INIT_OBSTACLES_FIND_OBSTACLES_H_
#define THAW_AGENT_INIT_OBSTACLES_FIND_OBSTACLES_H_

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "agent/init/obstacles/finding.h"
#include "agent/init/obstacles/system_view.h"

namespace thaw::init {

// Whether the function serves while it is looked at. A serving one has connections of callers on its own socket, which
// are closed before a dump and so are no obstacle; in a dump they would be one.
enum class Serving { kYes, kNo };

// All that would break a dump of these processes, or a restore of it in another container, in the order of processes and
// descriptors. Not in it: what CRIU handles (files of the image, of /tmp and /dev/shm, deleted ones of these up to its
// ghost limit, inner unix sockets, pipes and epolls, memfds, timers, signal and event descriptors).
std::vector<Finding> FindObstacles(const SystemView& view, Serving serving);

// As in the answers of docs/design/init-protocol.md.
nlohmann::json ToJson(const std::vector<Finding>& findings);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_OBSTACLES_FIND_OBSTACLES_H_
