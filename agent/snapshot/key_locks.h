#ifndef THAW_AGENT_SNAPSHOT_KEY_LOCKS_H_
#define THAW_AGENT_SNAPSHOT_KEY_LOCKS_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

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
    friend class KeyLocks;
    struct Taken {};
    Held(KeyLocks* locks, std::string key, Taken) : locks_(locks), key_(std::move(key)) {}

    KeyLocks* const locks_;
    const std::string key_;
  };

  // Null when the name is still another's after `limit`; a limit of nothing only looks.
  [[nodiscard]] std::unique_ptr<Held> HoldWithin(std::string key, absl::Duration limit)
      ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    auto free = [this, &key] { return !held_.contains(key); };
    if (!mu_.AwaitWithTimeout(absl::Condition(&free), limit)) return nullptr;
    held_.insert(key);
    return std::unique_ptr<Held>(new Held(this, std::move(key), Held::Taken()));
  }

 private:
  absl::Mutex mu_;
  absl::flat_hash_set<std::string> held_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_SNAPSHOT_KEY_LOCKS_H_
