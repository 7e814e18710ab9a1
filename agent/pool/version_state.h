#ifndef THAW_AGENT_POOL_VERSION_STATE_H_
#define THAW_AGENT_POOL_VERSION_STATE_H_

#include "thaw/scheduler/v1/scheduler.pb.h"

namespace thaw::agent {

// What the scheduler says of one version (proto/thaw/scheduler/v1/scheduler.proto has the contract).
using VersionState = thaw::scheduler::v1::VersionState;

}  // namespace thaw::agent

#endif  // THAW_AGENT_POOL_VERSION_STATE_H_
