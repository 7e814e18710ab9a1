#ifndef THAW_CLI_DEPLOY_IMAGE_PUBLISHER_H_
#define THAW_CLI_DEPLOY_IMAGE_PUBLISHER_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "cli/deploy/docker.h"
#include "cli/gateway/client.h"
#include "cli/output/progress.h"

namespace thaw::cli {

struct PublishedImage {
  // 0 when a node had it already.
  std::uint64_t pushed_bytes = 0;
  // The node that took it; empty when none had to.
  std::string pushed_to;
};

// Sees to it that at least one node of the cluster has a local image; the others take it from there.
absl::StatusOr<PublishedImage> PublishImage(GatewayClient& client, Docker& docker, Progress& progress,
                                            const std::string& reference, const LocalImage& image);

}  // namespace thaw::cli

#endif  // THAW_CLI_DEPLOY_IMAGE_PUBLISHER_H_
