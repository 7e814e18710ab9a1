#ifndef THAW_SCHEDULER_LEASE_LEASE_ID_H_
#define THAW_SCHEDULER_LEASE_LEASE_ID_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace thaw::scheduler {

// What a lease's id says, so that a scheduler that was restarted, and knows none of the leases given before, can take
// them over: `L.<version>.<node>.<epoch>-<number>`. Opaque to everyone else.
struct LeaseId {
  std::string version_id;
  std::string node_id;
  // The scheduler process that gave it.
  std::string epoch;
  // Random; unique within the epoch.
  std::string number;

  std::string Encode() const;
  // Nothing for text that Encode() did not make.
  static std::optional<LeaseId> Parse(absl::string_view text);
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_LEASE_LEASE_ID_H_
