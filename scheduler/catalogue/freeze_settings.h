#ifndef THAW_SCHEDULER_CATALOGUE_FREEZE_SETTINGS_H_
#define THAW_SCHEDULER_CATALOGUE_FREEZE_SETTINGS_H_

#include "absl/status/status.h"
#include "thaw/common/v1/freezing.pb.h"

namespace thaw::scheduler {

// The rules for `Function.freeze`: closed words are known ones, lists are bounded and without repetitions. Failures are
// INVALID_ARGUMENT with reason INVALID_FIELD; the field is named from `freeze` on (`freeze.rules[2].action`).
absl::Status CheckFreezeSettings(const common::v1::FreezeSettings& settings);

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_CATALOGUE_FREEZE_SETTINGS_H_
