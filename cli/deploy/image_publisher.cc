#include "cli/deploy/image_publisher.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/output/format.h"
#include "common/status/status_macros.h"

namespace thaw::cli {

absl::StatusOr<PublishedImage> PublishImage(GatewayClient& client, Docker& docker, Progress& progress,
                                            const std::string& reference, const LocalImage& image) {
  PublishedImage published;
  ASSIGN_OR_RETURN(const std::vector<std::string> holders, client.FindImage(image.id));
  if (!holders.empty()) return published;
  progress.Start("sending the image to the cluster");
  gatewaypb::PushImageRequest::Header header;
  header.set_image(reference);
  header.set_image_id(image.id);
  // No size is announced: the archive's is known when its last byte is out, and the gateway holds a sender to
  // its word.
  const auto pushed = client.PushImage(header, [&](ChunkSink sink) {
    return docker.SaveImage(reference, [&](absl::string_view data) {
      RETURN_IF_ERROR(sink(data));
      published.pushed_bytes += data.size();
      // The archive is a little larger than its layers.
      progress.Amount(published.pushed_bytes, std::max(published.pushed_bytes, image.size_bytes));
      return absl::OkStatus();
    });
  });
  if (!pushed.ok()) {
    progress.Failed("");
    return pushed.status();
  }
  if (pushed->image_id() != image.id) {
    progress.Failed("");
    return absl::InternalError(absl::StrCat("node ", pushed->node_id(), " made ", pushed->image_id(),
                                            " of the image ", image.id,
                                            "; both engines must keep images in the same form"));
  }
  published.pushed_to = pushed->node_id();
  progress.Done(absl::StrCat(FormatBytes(published.pushed_bytes), " to node ", published.pushed_to));
  return published;
}

}  // namespace thaw::cli
