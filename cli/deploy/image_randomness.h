#ifndef THAW_CLI_DEPLOY_IMAGE_RANDOMNESS_H_
#define THAW_CLI_DEPLOY_IMAGE_RANDOMNESS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/deploy/docker.h"

namespace thaw::cli {

// What restores of a function of this image would draw twice, as far as the image's program shows it before it has run: see
// docs/uniqueness.md. Empty: nothing is seen; more may be when it runs. The image has to be on this machine. `directory` is
// where the program is copied to for a moment. Errors are Docker's.
absl::StatusOr<std::vector<std::string>> LookForUncured(Docker& docker, const std::string& image_id,
                                                        const std::string& directory);

}  // namespace thaw::cli

#endif  // THAW_CLI_DEPLOY_IMAGE_RANDOMNESS_H_
