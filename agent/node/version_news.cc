#include "agent/node/version_news.h"

#include <utility>

namespace thaw::agent {

VersionNews::Question::Question(VersionNews& news, std::string version_id)
    : news_(news), version_id_(std::move(version_id)) {
  absl::MutexLock lock(&news_.mu_);
  Asked& asked = news_.asked_[version_id_];
  ++asked.questions;
  asked_at_ = asked.news;
}

VersionNews::Question::~Question() {
  absl::MutexLock lock(&news_.mu_);
  const auto it = news_.asked_.find(version_id_);
  if (--it->second.questions == 0) news_.asked_.erase(it);
}

bool VersionNews::Question::ApplyAnswer(absl::FunctionRef<void()> apply) {
  absl::MutexLock lock(&news_.mu_);
  if (news_.asked_[version_id_].news != asked_at_) return false;
  apply();
  return true;
}

void VersionNews::Apply(const std::string& version_id, absl::FunctionRef<void()> apply) {
  absl::MutexLock lock(&mu_);
  const auto it = asked_.find(version_id);
  if (it != asked_.end()) ++it->second.news;
  apply();
}

}  // namespace thaw::agent
