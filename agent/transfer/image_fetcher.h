#ifndef THAW_AGENT_TRANSFER_IMAGE_FETCHER_H_
#define THAW_AGENT_TRANSFER_IMAGE_FETCHER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/container/runtime.h"
#include "agent/transfer/metrics.h"
#include "agent/transfer/peer.h"
#include "agent/transfer/single_flight.h"

namespace thaw::agent {

// Has container images at hand: from other agents, so that no registry is needed, and from a registry when the image's
// reference names one and nobody else has it.
//
// Threads: any; EnsureImage blocks. The runtime and the peers must outlive this.
class ImageFetcher {
 public:
  struct Result {
    ImageInfo image;
    enum class From { kHere, kPeer, kRegistry } from = From::kHere;
    // The node that gave it.
    std::string holder;
    std::uint64_t received_bytes = 0;
  };

  ImageFetcher(ContainerRuntime& runtime, Peers& peers, TransferMetrics& metrics)
      : runtime_(runtime), peers_(peers), metrics_(metrics) {}

  // Has the image `image_id` (`sha256:…`) in this node's engine when it returns, tagged with `reference` (unless that is
  // empty). A second call for the same image waits for the first and gets its result. Holders are asked in the order given.
  //
  //   FAILED_PRECONDITION  nobody has it (reason IMAGE_UNAVAILABLE); the message names the image, who was asked, and what
  //                        to do
  //   UNAVAILABLE          the same, but somebody who may have it could not be reached
  //   DEADLINE_EXCEEDED    not in time
  //   others               the engine's own
  absl::StatusOr<Result> EnsureImage(const std::string& image_id, const std::string& reference,
                                     const std::vector<Holder>& holders, absl::Time deadline);

 private:
  absl::StatusOr<Result> EnsureOnce(const std::string& image_id, const std::string& reference,
                                    const std::vector<Holder>& holders, absl::Time deadline);
  // Loads the image as `holder` exports it; nothing is loaded unless all of it is right.
  absl::Status Import(const std::string& image_id, const Holder& holder, absl::Time deadline, std::uint64_t* received);

  ContainerRuntime& runtime_;
  Peers& peers_;
  TransferMetrics& metrics_;
  SingleFlight<Result> flights_;
};

// True when a reference such as `registry.example:5000/team/image:tag` begins with a registry's name.
bool NamesRegistry(absl::string_view reference);

}  // namespace thaw::agent

#endif  // THAW_AGENT_TRANSFER_IMAGE_FETCHER_H_
