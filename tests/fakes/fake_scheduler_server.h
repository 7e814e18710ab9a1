#ifndef THAW_TESTS_FAKES_FAKE_SCHEDULER_SERVER_H_
#define THAW_TESTS_FAKES_FAKE_SCHEDULER_SERVER_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tests/fakes/fake_endpoint.h"
#include "thaw/scheduler/v1/scheduler.grpc.pb.h"

namespace thaw::testing {

// A scheduler on a real port, with all in memory: leases by the first node that fits, the catalogue of what the test
// adds. It asks for the cluster token as the real one does. Threads: any.
class FakeSchedulerServer {
 public:
  explicit FakeSchedulerServer(std::string token);
  ~FakeSchedulerServer();

  // Listens, at the second time on the same port again. Leases are forgotten, as by a scheduler that restarts.
  void Start();
  // As if it was killed.
  void Stop();
  std::string address() const { return endpoint_.address(); }

  void AddNode(const std::string& id, const std::string& address) ABSL_LOCKS_EXCLUDED(mu_);
  // The node is lost: its leases end, and watchers are told.
  void LoseNode(const std::string& id) ABSL_LOCKS_EXCLUDED(mu_);
  void AddFunction(const std::string& id, const std::string& app, const std::string& name,
                   absl::Duration timeout = absl::Seconds(30)) ABSL_LOCKS_EXCLUDED(mu_);
  // Another version; watchers are told if `tell`.
  void ChangeFunction(const std::string& id, bool tell = true) ABSL_LOCKS_EXCLUDED(mu_);
  void set_time_to_live(absl::Duration time_to_live) ABSL_LOCKS_EXCLUDED(mu_);
  void set_concurrency(int concurrency) ABSL_LOCKS_EXCLUDED(mu_);

  // Calls of that method of the catalogue ("GetFunction", "ListNodes") wait until they are cancelled, or Release().
  void Hold(const std::string& method) ABSL_LOCKS_EXCLUDED(mu_);
  void Release() ABSL_LOCKS_EXCLUDED(mu_) { Hold(""); }
  // Waits, for 10 s at most, until so many calls have been held; until so many of them were cancelled.
  bool AwaitHeld(int calls) ABSL_LOCKS_EXCLUDED(mu_);
  bool AwaitHeldCancelled(int calls) ABSL_LOCKS_EXCLUDED(mu_);

  int acquired() const ABSL_LOCKS_EXCLUDED(mu_);
  int renewals() const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<std::string> released() const ABSL_LOCKS_EXCLUDED(mu_);
  int watchers() const ABSL_LOCKS_EXCLUDED(mu_);
  // Calls without the right token.
  int refused() const { return endpoint_.refused(); }
  // Waits, for 10 s at most, until a gateway watches; false when none came.
  bool AwaitWatcher() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Leases;
  class Catalogue;
  struct Watcher {
    std::vector<scheduler::v1::LeaseEvents> queue;
  };

  // Returns when the call is to be answered.
  void WaitIfHeld(grpc::ServerContext* context, const std::string& method) ABSL_LOCKS_EXCLUDED(mu_);
  void Tell(const scheduler::v1::LeaseEvents& events) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  FakeEndpoint endpoint_;
  std::unique_ptr<Leases> leases_service_;
  std::unique_ptr<Catalogue> catalogue_service_;

  mutable absl::Mutex mu_;
  std::map<std::string, ::thaw::common::v1::Node> nodes_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, ::thaw::common::v1::Function> functions_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, scheduler::v1::Lease> held_ ABSL_GUARDED_BY(mu_);
  std::set<Watcher*> watchers_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> released_ ABSL_GUARDED_BY(mu_);
  absl::Duration time_to_live_ ABSL_GUARDED_BY(mu_) = absl::Seconds(30);
  int concurrency_ ABSL_GUARDED_BY(mu_) = 4;
  int next_lease_ ABSL_GUARDED_BY(mu_) = 1;
  int next_version_ ABSL_GUARDED_BY(mu_) = 1;
  int acquired_ ABSL_GUARDED_BY(mu_) = 0;
  int renewals_ ABSL_GUARDED_BY(mu_) = 0;
  std::string held_method_ ABSL_GUARDED_BY(mu_);
  int held_calls_ ABSL_GUARDED_BY(mu_) = 0;
  int held_cancelled_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_FAKES_FAKE_SCHEDULER_SERVER_H_
