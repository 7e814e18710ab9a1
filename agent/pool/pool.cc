#include "agent/pool/pool.h"

namespace thaw::agent {

std::shared_ptr<VersionPool> Pool::Apply(const VersionState& state) {
  std::shared_ptr<VersionPool> pool;
  {
    absl::MutexLock lock(&mu_);
    auto& known = pools_[state.spec().version_id()];
    if (known == nullptr) known = VersionPool::Create(state, options_, deps_);
    pool = known;
  }
  pool->Update(state);
  return pool;
}

std::shared_ptr<VersionPool> Pool::Find(const std::string& version_id) const {
  absl::MutexLock lock(&mu_);
  const auto it = pools_.find(version_id);
  return it == pools_.end() ? nullptr : it->second;
}

bool Pool::Has(const std::string& version_id) const {
  absl::MutexLock lock(&mu_);
  return pools_.contains(version_id) || draining_.contains(version_id);
}

void Pool::Remove(const std::string& version_id, absl::AnyInvocable<void()> drained) {
  std::shared_ptr<VersionPool> pool;
  {
    absl::MutexLock lock(&mu_);
    const auto it = pools_.find(version_id);
    if (it != pools_.end()) {
      pool = std::move(it->second);
      pools_.erase(it);
      ++draining_[version_id];
    } else if (draining_.contains(version_id)) {
      return;
    }
  }
  if (pool == nullptr) {
    drained();
    return;
  }
  pool->Retire([this, version_id, drained = std::move(drained)]() mutable {
    {
      absl::MutexLock lock(&mu_);
      const auto it = draining_.find(version_id);
      if (--it->second > 0) return;
      draining_.erase(it);
      if (pools_.contains(version_id)) return;
    }
    drained();
  });
}

std::vector<std::shared_ptr<VersionPool>> Pool::All() const {
  absl::MutexLock lock(&mu_);
  std::vector<std::shared_ptr<VersionPool>> all;
  all.reserve(pools_.size());
  for (const auto& [id, pool] : pools_) all.push_back(pool);
  return all;
}

void Pool::ForgetCheckpointRequests() {
  for (const auto& pool : All()) pool->ForgetCheckpointRequest();
}

bool Pool::MakeRoom(const std::string& for_version_id) {
  std::shared_ptr<VersionPool> oldest;
  absl::Time since = absl::InfiniteFuture();
  {
    absl::MutexLock lock(&mu_);
    for (const auto& [id, pool] : pools_) {
      if (id == for_version_id) continue;
      const absl::Time idle = pool->oldest_idle();
      if (idle < since) {
        since = idle;
        oldest = pool;
      }
    }
  }
  return oldest != nullptr && oldest->EvictIdle();
}

std::vector<std::pair<std::string, VersionLoad>> Pool::Loads() const {
  std::vector<std::pair<std::string, VersionLoad>> loads;
  for (const auto& pool : All()) loads.emplace_back(pool->state().spec().version_id(), pool->Load());
  return loads;
}

std::vector<VersionState> Pool::States() const {
  std::vector<VersionState> states;
  for (const auto& pool : All()) states.push_back(pool->state());
  return states;
}

std::vector<std::string> Pool::ControlDirs(const std::string& function_id) const {
  std::vector<std::string> dirs;
  for (const auto& pool : All()) {
    if (pool->state().spec().function_id() != function_id) continue;
    for (std::string& dir : pool->ControlDirs()) dirs.push_back(std::move(dir));
  }
  return dirs;
}

}  // namespace thaw::agent
