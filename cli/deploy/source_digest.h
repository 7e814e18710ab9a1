#ifndef THAW_CLI_DEPLOY_SOURCE_DIGEST_H_
#define THAW_CLI_DEPLOY_SOURCE_DIGEST_H_

#include <set>
#include <string>

#include "absl/status/statusor.h"

namespace thaw::cli {

// A SHA-256 over a folder's files: names, executable bits, contents and links, in a fixed order; not times or
// owners. `skipped` names entries directly in the folder that are left out; `.git` always is. 64 hex digits.
absl::StatusOr<std::string> SourceDigest(const std::string& directory, const std::set<std::string>& skipped);

}  // namespace thaw::cli

#endif  // THAW_CLI_DEPLOY_SOURCE_DIGEST_H_
