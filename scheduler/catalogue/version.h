#ifndef THAW_SCHEDULER_CATALOGUE_VERSION_H_
#define THAW_SCHEDULER_CATALOGUE_VERSION_H_

#include <map>
#include <optional>
#include <string>

#include "thaw/common/v1/catalogue.pb.h"

namespace thaw::scheduler {

// What agents need to run `function` as it is now, or nothing while its image is not known.
//
// The version's id is the start of a SHA-256 over all that a snapshot depends on: app and function id, image id, the
// merged config, memory, CPU limit, engine, and of the freeze settings the rules, the restore-time keys, the secrets'
// names and times, the cures left out and the CPU baseline. Left out is what a frozen process never sees: names, the image's
// reference (the id says what runs), timeouts (they are the platform's), and the checkpoint policy (it says when to
// freeze, not what; the priming and canary requests and `accept_uncured` belong to it), and the values of restore-time
// config. So a changed timeout keeps the snapshot, and a changed config never restores an old one.
std::optional<common::v1::VersionSpec> MakeVersion(const common::v1::App& app, const common::v1::Function& function);

// What `function` has now for the keys that it declares as restore-time; keys without a value are left out.
std::map<std::string, std::string> RestoreTimeConfig(const common::v1::App& app, const common::v1::Function& function);

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_CATALOGUE_VERSION_H_
