#ifndef THAW_COMMON_CPU_FIT_H_
#define THAW_COMMON_CPU_FIT_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "thaw/common/v1/catalogue.pb.h"

namespace thaw {

// Whether a node of this architecture with these CPU features (as Node has them, sorted) can run what `snapshot` holds.
// FAILED_PRECONDITION with reason CPU_UNFIT names what is missing and the remedy. A snapshot that lists no features, and a
// node that reports none, are of older agents: then only the architecture counts. `node_id` is for the message.
absl::Status CheckCpuFits(const common::v1::SnapshotInfo& snapshot, const common::v1::Node& node);

}  // namespace thaw

#endif  // THAW_COMMON_CPU_FIT_H_
