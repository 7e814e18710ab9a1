#ifndef THAW_AGENT_START_START_KIND_H_
#define THAW_AGENT_START_START_KIND_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace thaw::agent {

// How the instance that answers a call came to be.
enum class StartKind {
  kWarm,            // it was running
  kRestored,        // from a snapshot that lay here
  kRestoredRemote,  // from a snapshot that was taken from another node first
  kCold,            // from its image
};

// `warm`, `restored`, `restored-remote`, `cold`
absl::string_view StartKindName(StartKind kind);

// Where the time of a call went; what did not happen is zero.
struct StartPhases {
  absl::Duration queue;
  absl::Duration container;
  absl::Duration fetch;
  absl::Duration restore;
  absl::Duration function;
};

struct StartRecord {
  StartKind kind = StartKind::kWarm;
  StartPhases phases;
  // Why a snapshot was there but not used.
  std::string fallback_reason;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_START_START_KIND_H_
