#ifndef THAW_SCHEDULER_MEMBERSHIP_FITTING_H_
#define THAW_SCHEDULER_MEMBERSHIP_FITTING_H_

#include "thaw/common/v1/catalogue.pb.h"
#include "thaw/scheduler/v1/scheduler.pb.h"

namespace thaw::scheduler {

// What `node` is told of a version: `state` without the snapshots that rely on CPU features it lacks. Where a candidate is
// left its share is that of the calls that get a snapshot at all; where none is, `unfit_reason` says why.
v1::VersionState StateFitting(const v1::VersionState& state, const common::v1::Node& node);

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_MEMBERSHIP_FITTING_H_
