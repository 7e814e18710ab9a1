#ifndef THAW_GATEWAY_SERVICE_CALLS_UNDER_WAY_H_
#define THAW_GATEWAY_SERVICE_CALLS_UNDER_WAY_H_

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace grpc {
class ClientContext;
}

namespace thaw::gateway {

// The outbound RPCs of one client object, so that it can end them and wait for their callbacks. Threads: any.
class CallsUnderWay {
 public:
  // False when the object stops: the RPC must not be started.
  bool Enter(grpc::ClientContext* context) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (stopping_) return false;
    contexts_.insert(context);
    return true;
  }
  // The callback has run; the context may go.
  void Leave(grpc::ClientContext* context) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    contexts_.erase(context);
  }
  // Calls `cancel` for each RPC, lets none in after it, and returns when all have left.
  template <typename Cancel>
  void Stop(Cancel cancel) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    for (grpc::ClientContext* context : contexts_) cancel(context);
    mu_.Await(absl::Condition(
        +[](absl::flat_hash_set<grpc::ClientContext*>* contexts) { return contexts->empty(); }, &contexts_));
  }

 private:
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_set<grpc::ClientContext*> contexts_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_CALLS_UNDER_WAY_H_
