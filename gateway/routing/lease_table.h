#ifndef THAW_GATEWAY_ROUTING_LEASE_TABLE_H_
#define THAW_GATEWAY_ROUTING_LEASE_TABLE_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/executor/executor.h"
#include "gateway/metrics.h"
#include "gateway/routing/choice.h"
#include "gateway/routing/lease.h"
#include "gateway/routing/scheduler_client.h"
#include "spdlog/logger.h"

namespace thaw::gateway {

// What one gateway does on one node for one version: shared by the lease, the calls on it, and the lease that
// takes its place. Threads: any.
struct NodeLoad {
  std::atomic<int> outstanding{0};
  // Unix nanoseconds until which an instance is likely to be there.
  std::atomic<std::int64_t> warm_until{0};
};

// Moving averages of one function's costs. Threads: any; a lost update does no harm.
struct FunctionTimes {
  std::atomic<std::int64_t> start_nanos{1'000'000'000};
  std::atomic<std::int64_t> answer_nanos{10'000'000};
};

// A call's place on a lease, from the choice to its destruction. It counts as one outstanding call there.
class Route {
 public:
  Route(Lease lease, std::shared_ptr<NodeLoad> load, std::shared_ptr<FunctionTimes> times);
  Route(Route&&) noexcept = default;
  Route& operator=(Route&&) noexcept = delete;
  ~Route();

  const Lease& lease() const { return lease_; }
  // Teaches the table what this call has shown: that the node is warm, and what a start and an answer cost.
  void Answered(absl::Time now, const Start& start);

 private:
  Lease lease_;
  std::shared_ptr<NodeLoad> load_;
  std::shared_ptr<FunctionTimes> times_;
};

// The leases this gateway holds, by function.
//
// A lease's life: acquired when a call finds none; shared by all calls of its function; renewed at half of its time,
// all that are due in one RPC; joined by one more, on another node and in the background, when a call finds that
// every lease of the function has as many calls as its node runs at once; dropped when the scheduler says that it has ended, when the
// function changes, when its node fails a call, or after a while without calls.
//
// A lease does not end by time alone: while no scheduler answers, all leases stay in use. One that the scheduler does
// not know any more although no event told of its end (a scheduler that restarted) stays in use while a
// replacement is asked for, for Options::doubt_limit at most.
//
// Threads: any. Callbacks run on the caller's thread or on one of the scheduler client's or the timers', never under
// the lock.
class LeaseTable : public std::enable_shared_from_this<LeaseTable> {
 public:
  struct Options {
    // Of one AcquireLease, RenewLeases or ReleaseLeases.
    absl::Duration rpc_limit = absl::Seconds(5);
    // How long a function's first calls wait for room or for a node when the scheduler says that there is none.
    absl::Duration acquire_patience = absl::Seconds(5);
    absl::Duration acquire_backoff_min = absl::Milliseconds(100);
    absl::Duration acquire_backoff_max = absl::Seconds(1);
    // Calls that wait for one acquisition.
    std::size_t max_waiting = 5000;
    // A lease without calls for so long is given back.
    absl::Duration unused_limit = absl::Seconds(60);
    absl::Duration tick = absl::Seconds(1);
    // Between requests for one more lease that the scheduler refused.
    absl::Duration growth_backoff_min = absl::Seconds(1);
    absl::Duration growth_backoff_max = absl::Seconds(30);
    absl::Duration watch_backoff_min = absl::Milliseconds(100);
    absl::Duration watch_backoff_max = absl::Seconds(2);
    absl::Duration doubt_limit = absl::Seconds(30);
  };
  // All must outlive the table.
  struct Deps {
    SchedulerClient* scheduler;
    const Clock* clock;
    Timers* timers;
    GatewayMetrics* metrics;
    std::shared_ptr<spdlog::logger> log;
  };
  struct Request {
    FunctionName function;
    // Empty for any.
    std::string pinned_node;
    // Nodes that failed this call.
    std::vector<std::string> excluded_nodes;
    // When to give up waiting for a lease.
    absl::Time deadline = absl::InfiniteFuture();
    // Whether to wait Options::acquire_patience when no node has room or is ready.
    bool patient = true;
  };
  using RouteCallback = absl::AnyInvocable<void(absl::StatusOr<Route>)>;
  // Names one Find(); later ones have greater numbers, and none is 0.
  using Ticket = std::uint64_t;

  static std::shared_ptr<LeaseTable> Create(const Options& options, Deps deps);
  ~LeaseTable();
  LeaseTable(const LeaseTable&) = delete;
  LeaseTable& operator=(const LeaseTable&) = delete;

  // Subscribes to lease events and begins the upkeep. Once.
  void Start() ABSL_LOCKS_EXCLUDED(mu_);

  // Chooses a lease for one call: at once (on the caller's thread) when one is there, otherwise when the scheduler has
  // answered. `done` comes once, unless Cancel() comes before it.
  //
  //   NOT_FOUND, FAILED_PRECONDITION, RESOURCE_EXHAUSTED, UNAVAILABLE   as SchedulerClient::AcquireLease
  //   RESOURCE_EXHAUSTED (QUEUE_FULL)   too many calls wait already
  //   DEADLINE_EXCEEDED                 no lease by `request.deadline`
  Ticket Find(Request request, RouteCallback done) ABSL_LOCKS_EXCLUDED(mu_);
  // The call is given up: its place among the waiting ones is free, and its `done` is destroyed on this thread
  // without being called. False when it does not wait: `done` has come, or is about to.
  bool Cancel(Ticket ticket) ABSL_LOCKS_EXCLUDED(mu_);

  // The node could not take this lease's call: the lease is given back.
  void DropLease(const Lease& lease) ABSL_LOCKS_EXCLUDED(mu_);
  // The node can't be reached: all leases on it are given back.
  void DropNode(const std::string& node_id) ABSL_LOCKS_EXCLUDED(mu_);
  // The function has another version, or is gone: later calls run what the scheduler then says.
  void FunctionChanged(const std::string& function_id) ABSL_LOCKS_EXCLUDED(mu_);
  // The same for all functions of an app.
  void AppChanged(const std::string& app_id) ABSL_LOCKS_EXCLUDED(mu_);

  // Whether the scheduler has confirmed a subscription, ever and now.
  bool ever_connected() const { return ever_connected_.load(std::memory_order_relaxed); }
  bool connected() const { return connected_.load(std::memory_order_relaxed); }
  std::size_t lease_count() const ABSL_LOCKS_EXCLUDED(mu_);

  // Fails waiting calls with UNAVAILABLE, and gives all leases back; `released` comes when the scheduler has answered
  // or its time limit is over. Later calls fail at once.
  void Shutdown(absl::Duration limit, absl::AnyInvocable<void()> released) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct HeldLease {
    Lease lease;
    std::shared_ptr<NodeLoad> load;
    absl::Time renew_at;
    absl::Time last_used;
    bool renewing = false;
    // Since when the scheduler does not know it any more; infinite future while it does.
    absl::Time doubtful_since = absl::InfiniteFuture();

    bool doubtful() const { return doubtful_since != absl::InfiniteFuture(); }
  };
  struct Function {
    std::vector<HeldLease> leases;
    std::shared_ptr<FunctionTimes> times = std::make_shared<FunctionTimes>();
    std::string path;
    // One more lease, or a replacement, is being asked for.
    bool growing = false;
    absl::Time grow_not_before = absl::InfinitePast();
    absl::Duration growth_backoff = absl::ZeroDuration();
  };
  struct Waiter {
    Ticket ticket;
    Request request;
    RouteCallback done;
    Timers::Id timer;
  };
  // One AcquireLease for the first lease of a function, and who waits for it.
  struct Acquisition {
    SchedulerClient::AcquireRequest request;
    std::vector<Waiter> waiters;
    absl::Time patience_until;
    absl::Duration backoff;
    // The change counter when the RPC was sent: what changed since may have missed it.
    std::uint64_t sent_at_change;
  };
  // Work that is done after the lock is released.
  using Actions = std::vector<absl::AnyInvocable<void()>>;

  LeaseTable(const Options& options, Deps deps) : options_(options), deps_(std::move(deps)) {}

  void FindLocked(Ticket ticket, Request request, RouteCallback done, Actions& actions)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Takes a waiter out of its acquisition; nothing when it does not wait.
  std::optional<Waiter> TakeWaiter(Ticket ticket) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The function's best lease for the request, or null.
  HeldLease* Choose(Function& function, const Request& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Function* Resolve(const FunctionName& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Asks for one more lease if all of the function's are full.
  void MaybeGrow(const std::string& function_id, Function& function, Actions& actions)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Grow(const std::string& function_id, Function& function, std::vector<std::string> excluded, Actions& actions)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnGrown(const std::string& function_id, std::uint64_t sent_at_change, absl::StatusOr<Lease> lease)
      ABSL_LOCKS_EXCLUDED(mu_);

  void SendAcquisition(const std::string& key) ABSL_LOCKS_EXCLUDED(mu_);
  void OnAcquired(const std::string& key, absl::StatusOr<Lease> lease) ABSL_LOCKS_EXCLUDED(mu_);
  void OnWaiterTimeout(Ticket ticket) ABSL_LOCKS_EXCLUDED(mu_);
  // Takes a lease in. False when its function changed since `sent_at_change`: it was given back.
  bool Insert(const Lease& lease, std::uint64_t sent_at_change, Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Drops the leases for which `predicate(lease)` holds, and functions that then have none.
  template <typename Predicate>
  void DropWhere(Predicate predicate, bool give_back, Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ForgetPath(const std::string& function_id, const std::string& path) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void NoteChange(const std::string& function_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Release(std::vector<std::string> lease_ids, Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void UpdateGauge() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void ScheduleTick();
  void Tick() ABSL_LOCKS_EXCLUDED(mu_);
  // `all`: those that are not due, too.
  void Renew(bool all, Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnRenewed(const std::vector<std::string>& asked, absl::StatusOr<SchedulerClient::Renewal> renewal)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Watch();
  void OnEvents(SchedulerClient::Events events) ABSL_LOCKS_EXCLUDED(mu_);
  void OnWatchEnd(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  static void Run(Actions& actions);

  const Options options_;
  const Deps deps_;
  std::atomic<bool> ever_connected_{false};
  std::atomic<bool> connected_{false};

  mutable absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  // By function id.
  absl::flat_hash_map<std::string, std::unique_ptr<Function>> functions_ ABSL_GUARDED_BY(mu_);
  // `app/function` to function id, of those in functions_.
  absl::flat_hash_map<std::string, std::string> paths_ ABSL_GUARDED_BY(mu_);
  // By function, pinned node and excluded nodes.
  std::map<std::string, Acquisition> acquisitions_ ABSL_GUARDED_BY(mu_);
  Ticket next_ticket_ ABSL_GUARDED_BY(mu_) = 1;
  // Who waits, and for which acquisition.
  absl::flat_hash_map<Ticket, std::string> waiting_ ABSL_GUARDED_BY(mu_);
  // Counts changes of functions; `changes_` says when each changed, while a request for a lease is under way.
  std::uint64_t change_counter_ ABSL_GUARDED_BY(mu_) = 0;
  int requests_under_way_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<std::string, std::uint64_t> changes_ ABSL_GUARDED_BY(mu_);
  absl::Duration watch_backoff_ ABSL_GUARDED_BY(mu_) = absl::ZeroDuration();
  Timers::Id tick_timer_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_ROUTING_LEASE_TABLE_H_
