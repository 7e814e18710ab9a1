#ifndef THAW_AGENT_POOL_POOL_H_
#define THAW_AGENT_POOL_POOL_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "agent/pool/version_pool.h"

namespace thaw::agent {

// All versions on this node. Threads: any.
class Pool {
 public:
  Pool(const PoolOptions& options, const PoolDeps& deps) : options_(options), deps_(deps) {}

  // The scheduler's word on a version: known from now on.
  std::shared_ptr<VersionPool> Apply(const VersionState& state) ABSL_LOCKS_EXCLUDED(mu_);
  // Null when the version is not known (any more).
  std::shared_ptr<VersionPool> Find(const std::string& version_id) const ABSL_LOCKS_EXCLUDED(mu_);
  // Whether the version is known, or something of it is still running here after its removal.
  bool Has(const std::string& version_id) const ABSL_LOCKS_EXCLUDED(mu_);
  // The version is called no more; `drained` is called when nothing of it is left. It is dropped where there
  // is more to wait for: the version has come back meanwhile, or was removed more than once. Then the last
  // one's is called.
  void Remove(const std::string& version_id, absl::AnyInvocable<void()> drained) ABSL_LOCKS_EXCLUDED(mu_);

  // VersionPool::ForgetCheckpointRequest() of each.
  void ForgetCheckpointRequests() ABSL_LOCKS_EXCLUDED(mu_);

  // Stops idle instances of other versions, the longest idle first. False when there is none.
  bool MakeRoom(const std::string& for_version_id) ABSL_LOCKS_EXCLUDED(mu_);

  std::vector<std::pair<std::string, VersionLoad>> Loads() const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<VersionState> States() const ABSL_LOCKS_EXCLUDED(mu_);
  // Control directories of the slots of all versions of a function.
  std::vector<std::string> ControlDirs(const std::string& function_id) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  std::vector<std::shared_ptr<VersionPool>> All() const ABSL_LOCKS_EXCLUDED(mu_);

  const PoolOptions options_;
  const PoolDeps deps_;
  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, std::shared_ptr<VersionPool>> pools_ ABSL_GUARDED_BY(mu_);
  // How many pools of a version have been removed and still have something running. More than one where it
  // came back between.
  absl::flat_hash_map<std::string, int> draining_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_POOL_POOL_H_
