#ifndef THAW_AGENT_START_GIVEN_H_
#define THAW_AGENT_START_GIVEN_H_

#include "absl/status/status.h"
#include "agent/instance/slot_init.h"
#include "agent/pool/version_state.h"

namespace thaw::agent {

// What an instance of the version is told of config and secrets. With `after_restore`, secrets that are for after the
// restore only are among it; it is sealed when there are any, and whoever has been given it is never frozen.
Given MakeGiven(const VersionState& version, bool after_restore);

// Whether the version has secrets for after the restore only.
bool HasLateSecrets(const VersionState& version);

// Whether instances would be told the same by both.
bool GivesTheSame(const VersionState& a, const VersionState& b);

// FAILED_PRECONDITION (SECRET_MISSING) when a secret that the version names has no value here: none was set, or this
// agent was started without the scheduler's word (values are not kept on a node's disk).
absl::Status CheckSecrets(const VersionState& version);

}  // namespace thaw::agent

#endif  // THAW_AGENT_START_GIVEN_H_
