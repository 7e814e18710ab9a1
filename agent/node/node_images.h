#ifndef THAW_AGENT_NODE_NODE_IMAGES_H_
#define THAW_AGENT_NODE_NODE_IMAGES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "agent/start/sources.h"
#include "agent/transfer/image_fetcher.h"
#include "common/clock/clock.h"

namespace thaw::agent {

// The images of this node's engine, asked for at most every kTrust, and brought from other nodes when missing.
// Threads: any.
class NodeImages final : public ImageSource {
 public:
  // How long the engine's word is believed: somebody may remove an image by hand.
  static constexpr absl::Duration kTrust = absl::Seconds(30);

  NodeImages(ImageFetcher& fetcher, const Clock& clock, std::string node_id)
      : fetcher_(fetcher), clock_(clock), node_id_(std::move(node_id)) {}

  absl::StatusOr<ImageInfo> Ensure(const VersionState& version, absl::Time deadline) override ABSL_LOCKS_EXCLUDED(mu_);

  // Whether it was here when last asked; the engine is not asked.
  bool IsKnown(const std::string& image_id) const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<std::string> Known() const ABSL_LOCKS_EXCLUDED(mu_);
  // At the agent's start.
  void AddKnown(const std::vector<std::string>& image_ids) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    ImageInfo image;
    absl::Time trusted_until = absl::InfinitePast();
  };

  ImageFetcher& fetcher_;
  const Clock& clock_;
  const std::string node_id_;
  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, Entry> known_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_NODE_NODE_IMAGES_H_
