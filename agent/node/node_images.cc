#include "agent/node/node_images.h"

#include <utility>

namespace thaw::agent {

absl::StatusOr<ImageInfo> NodeImages::Ensure(const VersionState& version, absl::Time deadline) {
  const std::string& image_id = version.spec().image_id();
  {
    absl::MutexLock lock(&mu_);
    const auto it = known_.find(image_id);
    if (it != known_.end() && clock_.Now() < it->second.trusted_until) return it->second.image;
  }
  std::vector<Holder> holders;
  for (const auto& holder : version.image_holders()) {
    if (holder.node_id() != node_id_) holders.push_back({holder.node_id(), holder.address()});
  }
  absl::StatusOr<ImageFetcher::Result> result =
      fetcher_.EnsureImage(image_id, version.spec().image(), holders, deadline);
  if (result.ok() && on_here_) {
    on_here_(image_id, version.spec().image(), result->from != ImageFetcher::Result::From::kHere);
  }
  absl::MutexLock lock(&mu_);
  if (!result.ok()) {
    known_.erase(image_id);
    return result.status();
  }
  known_[image_id] = Entry{result->image, clock_.Now() + kTrust};
  return std::move(result->image);
}

void NodeImages::Forget(const std::string& image_id) {
  absl::MutexLock lock(&mu_);
  known_.erase(image_id);
}

bool NodeImages::IsTrusted(const std::string& image_id) const {
  absl::MutexLock lock(&mu_);
  const auto it = known_.find(image_id);
  return it != known_.end() && clock_.Now() < it->second.trusted_until;
}

bool NodeImages::IsKnown(const std::string& image_id) const {
  absl::MutexLock lock(&mu_);
  return known_.contains(image_id);
}

std::vector<std::string> NodeImages::Known() const {
  absl::MutexLock lock(&mu_);
  std::vector<std::string> ids;
  ids.reserve(known_.size());
  for (const auto& [id, entry] : known_) ids.push_back(id);
  return ids;
}

void NodeImages::AddKnown(const std::vector<std::string>& image_ids) {
  absl::MutexLock lock(&mu_);
  for (const std::string& id : image_ids) known_.try_emplace(id);
}

}  // namespace thaw::agent
