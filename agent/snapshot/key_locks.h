#ifndef THAW_AGENT_SNAPSHOT_KEY_LOCKS_H_
#define THAW_AGENT_SNAPSHOT_KEY_LOCKS_H_

#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"

namespace thaw::agent {

// One lock per name, for work on a named thing that takes long: who holds a name may do I/O. Threads: any.
class KeyLocks {
 public:
  class Held {
   public:
    Held(KeyLocks* locks, std::string key) : locks_(locks), key_(std::move(key)) {
      absl::MutexLock lock(&locks_->mu_);
      auto free = [this] { return !locks_->held_.contains(key_); };
      locks_->mu_.Await(absl::Condition(&free));
      locks_->held_.insert(key_);
    }
    ~Held() {
      absl::MutexLock lock(&locks_->mu_);
      locks_->held_.erase(key_);
    }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;

   private:
    KeyLocks* const locks_;
    const std::string key_;
  };

 private:
  absl::Mutex mu_;
  absl::flat_hash_set<std::string> held_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_SNAPSHOT_KEY_LOCKS_H_
