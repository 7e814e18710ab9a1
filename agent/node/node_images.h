#ifndef THAW_AGENT_NODE_NODE_IMAGES_H_
#define THAW_AGENT_NODE_NODE_IMAGES_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
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

  // Called, on the thread of Ensure(), when the engine has said that a version's image is here; `brought`: it was
  // not, before. May block.
  using OnHere = std::function<void(const std::string& image_id, const std::string& reference, bool brought)>;

  NodeImages(ImageFetcher& fetcher, const Clock& clock, std::string node_id, OnHere on_here = nullptr)
      : fetcher_(fetcher), clock_(clock), node_id_(std::move(node_id)), on_here_(std::move(on_here)) {}

  absl::StatusOr<ImageInfo> Ensure(const VersionState& version, absl::Time deadline) override ABSL_LOCKS_EXCLUDED(mu_);

  void Forget(const std::string& image_id) override ABSL_LOCKS_EXCLUDED(mu_);

  // Whether the engine said less than kTrust ago that it is here.
  bool IsTrusted(const std::string& image_id) const ABSL_LOCKS_EXCLUDED(mu_);
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
  const OnHere on_here_;
  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, Entry> known_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_NODE_NODE_IMAGES_H_
