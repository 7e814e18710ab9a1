#include "gateway/routing/lease_table.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/reasons.h"
#include "gateway/errors.h"

namespace thaw::gateway {
namespace {

// One in eight: settles within some ten calls, forgets an outlier as fast.
void Average(std::atomic<std::int64_t>& average, absl::Duration sample) {
  const std::int64_t old = average.load(std::memory_order_relaxed);
  average.store(old + (absl::ToInt64Nanoseconds(sample) - old) / 8, std::memory_order_relaxed);
}

bool Contains(const std::vector<std::string>& list, const std::string& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

std::string KeyOf(const SchedulerClient::AcquireRequest& request) {
  return absl::StrCat(request.function.id, "\n", request.function.path, "\n", request.pinned_node, "\n",
                      absl::StrJoin(request.excluded_nodes, "\n"));
}

// Whether the scheduler's answer is one to the request.
bool Fits(const Lease& lease, const SchedulerClient::AcquireRequest& request) {
  if (lease.function_id.empty() || lease.node_id.empty()) return false;
  if (!request.function.id.empty() && lease.function_id != request.function.id) return false;
  if (!request.pinned_node.empty() && lease.node_id != request.pinned_node) return false;
  return !Contains(request.excluded_nodes, lease.node_id);
}

bool SchedulerIsAway(const absl::Status& status) { return ReasonOf(status) == reason::kSchedulerUnavailable; }

absl::Duration NextBackoff(absl::Duration last, absl::Duration least, absl::Duration most) {
  return std::clamp(last * 2, least, most);
}

}  // namespace

Route::Route(Lease lease, std::shared_ptr<NodeLoad> load, std::shared_ptr<FunctionTimes> times)
    : lease_(std::move(lease)), load_(std::move(load)), times_(std::move(times)) {
  load_->outstanding.fetch_add(1, std::memory_order_relaxed);
}

Route::~Route() {
  if (load_ != nullptr) load_->outstanding.fetch_sub(1, std::memory_order_relaxed);
}

void Route::Answered(absl::Time now, const Start& start) {
  load_->warm_until.store(absl::ToUnixNanos(now + lease_.idle_timeout), std::memory_order_relaxed);
  Average(times_->answer_nanos, start.function);
  if (start.kind != StartKind::kWarm) {
    Average(times_->start_nanos, start.container + start.fetch + start.restore);
  }
}

std::shared_ptr<LeaseTable> LeaseTable::Create(const Options& options, Deps deps) {
  return std::shared_ptr<LeaseTable>(new LeaseTable(options, std::move(deps)));
}

LeaseTable::~LeaseTable() = default;

void LeaseTable::Run(Actions& actions) {
  for (auto& action : actions) action();
}

void LeaseTable::Start() {
  Watch();
  ScheduleTick();
}

// ---- Choosing ----

LeaseTable::Ticket LeaseTable::Find(Request request, RouteCallback done) {
  Actions actions;
  Ticket ticket;
  {
    absl::MutexLock lock(&mu_);
    ticket = next_ticket_++;
    FindLocked(ticket, std::move(request), std::move(done), actions);
  }
  Run(actions);
  return ticket;
}

bool LeaseTable::Cancel(Ticket ticket) {
  std::optional<Waiter> waiter;  // Destroyed after the lock: its callback may own anything.
  absl::MutexLock lock(&mu_);
  waiter = TakeWaiter(ticket);
  if (!waiter.has_value()) return false;
  if (waiter->timer != 0) deps_.timers->Cancel(waiter->timer);
  return true;
}

std::optional<LeaseTable::Waiter> LeaseTable::TakeWaiter(Ticket ticket) {
  const auto key = waiting_.find(ticket);
  if (key == waiting_.end()) return std::nullopt;
  auto& waiters = acquisitions_.at(key->second).waiters;
  waiting_.erase(key);
  const auto it = std::find_if(waiters.begin(), waiters.end(),
                               [&](const Waiter& waiter) { return waiter.ticket == ticket; });
  std::optional<Waiter> taken = std::move(*it);
  waiters.erase(it);
  return taken;
}

LeaseTable::Function* LeaseTable::Resolve(const FunctionName& name) {
  const std::string* id = &name.id;
  if (id->empty()) {
    const auto path = paths_.find(name.path);
    if (path == paths_.end()) return nullptr;
    id = &path->second;
  }
  const auto it = functions_.find(*id);
  return it == functions_.end() ? nullptr : it->second.get();
}

LeaseTable::HeldLease* LeaseTable::Choose(Function& function, const Request& request) {
  if (function.leases.size() == 1 && request.pinned_node.empty() && request.excluded_nodes.empty()) {
    return &function.leases.front();
  }
  const std::int64_t now = absl::ToUnixNanos(deps_.clock->Now());
  std::vector<HeldLease*> fitting;
  std::vector<LeaseLoad> loads;
  for (HeldLease& held : function.leases) {
    if (!request.pinned_node.empty() && held.lease.node_id != request.pinned_node) continue;
    if (Contains(request.excluded_nodes, held.lease.node_id)) continue;
    fitting.push_back(&held);
    loads.push_back({.outstanding = held.load->outstanding.load(std::memory_order_relaxed),
                     .concurrency = held.lease.concurrency,
                     .warm = held.load->warm_until.load(std::memory_order_relaxed) > now});
  }
  if (fitting.empty()) return nullptr;
  const FunctionCosts costs = {
      .start = absl::Nanoseconds(function.times->start_nanos.load(std::memory_order_relaxed)),
      .answer = absl::Nanoseconds(function.times->answer_nanos.load(std::memory_order_relaxed))};
  return fitting[ChooseLease(loads, costs)];
}

void LeaseTable::FindLocked(Ticket ticket, Request request, RouteCallback done, Actions& actions) {
  if (stopping_) {
    actions.push_back([done = std::move(done)]() mutable { done(Stopping()); });
    return;
  }
  const absl::Time now = deps_.clock->Now();
  Function* function = Resolve(request.function);
  HeldLease* held = function == nullptr ? nullptr : Choose(*function, request);
  if (held != nullptr) {
    held->last_used = now;
    // Before this call is counted: a caller that comes alone never fills a lease of its own.
    if (request.pinned_node.empty()) MaybeGrow(held->lease.function_id, *function, actions);
    auto route = std::make_unique<Route>(held->lease, held->load, function->times);
    actions.push_back([done = std::move(done), route = std::move(route)]() mutable { done(std::move(*route)); });
    return;
  }
  SchedulerClient::AcquireRequest acquire{.function = request.function,
                                          .excluded_nodes = request.excluded_nodes,
                                          .pinned_node = request.pinned_node};
  std::sort(acquire.excluded_nodes.begin(), acquire.excluded_nodes.end());
  std::string key = KeyOf(acquire);
  auto [it, fresh] = acquisitions_.try_emplace(key);
  Acquisition& acquisition = it->second;
  if (acquisition.waiters.size() >= options_.max_waiting) {
    actions.push_back([done = std::move(done), refusal = TooManyWaiting(request.function.text(), options_.max_waiting)]()
                          mutable { done(std::move(refusal)); });
    return;
  }
  Timers::Id timer = 0;
  if (request.deadline != absl::InfiniteFuture()) {
    timer = deps_.timers->RunAfter(request.deadline - now, [weak = weak_from_this(), ticket] {
      if (auto self = weak.lock()) self->OnWaiterTimeout(ticket);
    });
  }
  const bool patient = request.patient;
  acquisition.waiters.push_back({ticket, std::move(request), std::move(done), timer});
  waiting_[ticket] = key;
  if (fresh) {
    acquisition.request = std::move(acquire);
    acquisition.patience_until = patient ? now + options_.acquire_patience : now;
    acquisition.backoff = absl::ZeroDuration();
    acquisition.sent_at_change = change_counter_;
    actions.push_back([self = shared_from_this(), key = std::move(key)] { self->SendAcquisition(key); });
  }
}

void LeaseTable::OnWaiterTimeout(Ticket ticket) {
  std::optional<Waiter> waiter;
  {
    absl::MutexLock lock(&mu_);
    waiter = TakeWaiter(ticket);
  }
  if (waiter.has_value()) waiter->done(TimedOutWaiting(waiter->request.function.text()));
}

// ---- Acquiring ----

void LeaseTable::SendAcquisition(const std::string& key) {
  SchedulerClient::AcquireRequest request;
  {
    absl::MutexLock lock(&mu_);
    const auto it = acquisitions_.find(key);
    if (it == acquisitions_.end()) return;
    // Nobody waits any more: their time was up, they were given up, or the table stops.
    if (it->second.waiters.empty()) {
      acquisitions_.erase(it);
      return;
    }
    it->second.sent_at_change = change_counter_;
    ++requests_under_way_;
    request = it->second.request;
  }
  deps_.scheduler->AcquireLease(request, options_.rpc_limit,
                                [weak = weak_from_this(), key](absl::StatusOr<Lease> lease) {
                                  if (auto self = weak.lock()) self->OnAcquired(key, std::move(lease));
                                });
}

void LeaseTable::OnAcquired(const std::string& key, absl::StatusOr<Lease> lease) {
  deps_.metrics->Acquired(lease.status());
  Actions actions;
  {
    absl::MutexLock lock(&mu_);
    const auto it = acquisitions_.find(key);
    if (it == acquisitions_.end()) {
      // The table stops; what came is given back.
      if (lease.ok()) Release({lease->id}, actions);
      if (--requests_under_way_ == 0) changes_.clear();
    } else {
      Acquisition& acquisition = it->second;
      const absl::Time now = deps_.clock->Now();
      if (lease.ok() && !Fits(*lease, acquisition.request)) {
        // Not to be followed: the call would find no lease that suits it, and ask again without end.
        Release({lease->id}, actions);
        lease = NoNodeTookIt(acquisition.request.function.text(),
                             absl::StrCat("the scheduler chose function ", lease->function_id, " on node ",
                                          lease->node_id, ", which was not asked for"));
      }
      const bool wait_for_room =
          !lease.ok() && !SchedulerIsAway(lease.status()) &&
          (absl::IsResourceExhausted(lease.status()) || absl::IsUnavailable(lease.status()));
      const absl::Duration backoff =
          NextBackoff(acquisition.backoff, options_.acquire_backoff_min, options_.acquire_backoff_max);
      if (wait_for_room && now + backoff <= acquisition.patience_until) {
        acquisition.backoff = backoff;
        deps_.timers->RunAfter(backoff, [weak = weak_from_this(), key] {
          if (auto self = weak.lock()) self->SendAcquisition(key);
        });
        if (--requests_under_way_ == 0) changes_.clear();
      } else {
        const std::uint64_t sent_at_change = acquisition.sent_at_change;
        const std::string path = acquisition.request.function.path;
        std::vector<Waiter> waiters = std::move(acquisition.waiters);
        acquisitions_.erase(it);
        bool inserted = false;
        if (lease.ok()) {
          // Calls that come by this path find it by this path, whatever the scheduler makes of its letters.
          if (!path.empty()) lease->function_path = path;
          inserted = Insert(*lease, sent_at_change, actions);
        }
        if (--requests_under_way_ == 0) changes_.clear();
        for (Waiter& waiter : waiters) {
          waiting_.erase(waiter.ticket);
          if (waiter.timer != 0) deps_.timers->Cancel(waiter.timer);
          if (lease.ok()) {
            if (inserted) waiter.request.function = {.id = lease->function_id, .path = ""};
            FindLocked(waiter.ticket, std::move(waiter.request), std::move(waiter.done), actions);
          } else {
            actions.push_back([done = std::move(waiter.done), status = lease.status()]() mutable { done(status); });
          }
        }
      }
    }
  }
  Run(actions);
}

bool LeaseTable::Insert(const Lease& lease, std::uint64_t sent_at_change, Actions& actions) {
  const auto changed = changes_.find(lease.function_id);
  if (stopping_ || (changed != changes_.end() && changed->second > sent_at_change)) {
    // The answer may be from before the change; the next request can't be.
    Release({lease.id}, actions);
    return false;
  }
  auto& function = functions_[lease.function_id];
  if (function == nullptr) function = std::make_unique<Function>();
  if (function->path != lease.function_path) {
    ForgetPath(lease.function_id, function->path);
    function->path = lease.function_path;
    if (!lease.function_path.empty()) paths_[lease.function_path] = lease.function_id;
  }
  const absl::Time now = deps_.clock->Now();
  HeldLease held{.lease = lease,
                 .load = std::make_shared<NodeLoad>(),
                 .renew_at = now + lease.time_to_live / 2,
                 .last_used = now};
  held.lease.concurrency = std::max(held.lease.concurrency, 1);
  std::vector<std::string> replaced;
  auto& leases = function->leases;
  for (auto it = leases.begin(); it != leases.end();) {
    const bool same_place = it->lease.node_id == lease.node_id && it->lease.version_id == lease.version_id;
    if (same_place) held.load = it->load;
    if (!same_place && it->lease.version_id == lease.version_id && !it->doubtful()) {
      ++it;
      continue;
    }
    if (it->lease.id != lease.id && !it->doubtful()) replaced.push_back(it->lease.id);
    it = leases.erase(it);
  }
  leases.push_back(std::move(held));
  Release(std::move(replaced), actions);
  UpdateGauge();
  return true;
}

void LeaseTable::MaybeGrow(const std::string& function_id, Function& function, Actions& actions) {
  if (function.growing || deps_.clock->Now() < function.grow_not_before) return;
  std::vector<std::string> nodes;
  for (const HeldLease& held : function.leases) {
    if (held.load->outstanding.load(std::memory_order_relaxed) < held.lease.concurrency) return;
    nodes.push_back(held.lease.node_id);
  }
  Grow(function_id, function, std::move(nodes), actions);
}

void LeaseTable::Grow(const std::string& function_id, Function& function, std::vector<std::string> excluded,
                      Actions& actions) {
  function.growing = true;
  ++requests_under_way_;
  actions.push_back([self = shared_from_this(), function_id, excluded = std::move(excluded),
                     sent_at_change = change_counter_]() mutable {
    self->deps_.scheduler->AcquireLease(
        {.function = {.id = function_id, .path = ""}, .excluded_nodes = std::move(excluded), .pinned_node = ""},
        self->options_.rpc_limit, [weak = self->weak_from_this(), function_id, sent_at_change](absl::StatusOr<Lease> lease) {
          if (auto table = weak.lock()) table->OnGrown(function_id, sent_at_change, std::move(lease));
        });
  });
}

void LeaseTable::OnGrown(const std::string& function_id, std::uint64_t sent_at_change, absl::StatusOr<Lease> lease) {
  deps_.metrics->Acquired(lease.status());
  Actions actions;
  {
    absl::MutexLock lock(&mu_);
    if (lease.ok() && lease->function_id != function_id) {
      Release({lease->id}, actions);
      lease = absl::InternalError("the scheduler answered for another function");
    }
    const absl::Time now = deps_.clock->Now();
    if (const auto it = functions_.find(function_id); it != functions_.end()) {
      Function& function = *it->second;
      function.growing = false;
      if (lease.ok()) {
        function.growth_backoff = absl::ZeroDuration();
        function.grow_not_before = now;
      } else {
        function.growth_backoff =
            NextBackoff(function.growth_backoff, options_.growth_backoff_min, options_.growth_backoff_max);
        function.grow_not_before =
            now + std::max(function.growth_backoff, RetryAfterOf(lease.status()).value_or(absl::ZeroDuration()));
        if (SchedulerIsAway(lease.status())) {
          // It has not said no: the time in which it can't be asked does not count.
          for (HeldLease& held : function.leases) {
            if (held.doubtful()) held.doubtful_since = now;
          }
        } else if (absl::IsNotFound(lease.status())) {
          DropWhere([&](const HeldLease& held) { return held.lease.function_id == function_id; }, true, actions);
        }
      }
      if (lease.ok()) Insert(*lease, sent_at_change, actions);
    } else if (lease.ok()) {
      Release({lease->id}, actions);
    }
    if (--requests_under_way_ == 0) changes_.clear();
  }
  Run(actions);
}

// ---- Dropping ----

template <typename Predicate>
void LeaseTable::DropWhere(Predicate predicate, bool give_back, Actions& actions) {
  std::vector<std::string> dropped;
  for (auto it = functions_.begin(); it != functions_.end();) {
    auto& leases = it->second->leases;
    for (auto held = leases.begin(); held != leases.end();) {
      if (!predicate(*held)) {
        ++held;
        continue;
      }
      if (!held->doubtful()) dropped.push_back(held->lease.id);
      held = leases.erase(held);
    }
    if (leases.empty()) {
      ForgetPath(it->first, it->second->path);
      functions_.erase(it++);
    } else {
      ++it;
    }
  }
  UpdateGauge();
  if (give_back) Release(std::move(dropped), actions);
}

void LeaseTable::ForgetPath(const std::string& function_id, const std::string& path) {
  // The path may belong to a function of the same name that was made after this one was deleted.
  const auto it = paths_.find(path);
  if (it != paths_.end() && it->second == function_id) paths_.erase(it);
}

void LeaseTable::DropLease(const Lease& lease) {
  Actions actions;
  {
    absl::MutexLock lock(&mu_);
    DropWhere([&](const HeldLease& held) { return held.lease.id == lease.id; }, true, actions);
  }
  Run(actions);
}

void LeaseTable::DropNode(const std::string& node_id) {
  Actions actions;
  {
    absl::MutexLock lock(&mu_);
    DropWhere([&](const HeldLease& held) { return held.lease.node_id == node_id; }, true, actions);
  }
  Run(actions);
}

void LeaseTable::NoteChange(const std::string& function_id) {
  ++change_counter_;
  if (requests_under_way_ > 0) changes_[function_id] = change_counter_;
}

void LeaseTable::FunctionChanged(const std::string& function_id) {
  Actions actions;
  {
    absl::MutexLock lock(&mu_);
    NoteChange(function_id);
    DropWhere([&](const HeldLease& held) { return held.lease.function_id == function_id; }, true, actions);
  }
  Run(actions);
}

void LeaseTable::AppChanged(const std::string& app_id) {
  Actions actions;
  {
    absl::MutexLock lock(&mu_);
    for (const auto& [id, function] : functions_) {
      if (!function->leases.empty() && function->leases.front().lease.app_id == app_id) NoteChange(id);
    }
    DropWhere([&](const HeldLease& held) { return held.lease.app_id == app_id; }, true, actions);
  }
  Run(actions);
}

void LeaseTable::Release(std::vector<std::string> lease_ids, Actions& actions) {
  if (lease_ids.empty()) return;
  actions.push_back([self = shared_from_this(), ids = std::move(lease_ids)] {
    // Nothing hangs on the answer: what is not given back runs out.
    self->deps_.scheduler->ReleaseLeases(ids, self->options_.rpc_limit, [](absl::Status) {});
  });
}

void LeaseTable::UpdateGauge() {
  std::size_t count = 0;
  for (const auto& [id, function] : functions_) count += function->leases.size();
  deps_.metrics->SetLeases(count);
}

std::size_t LeaseTable::lease_count() const {
  absl::MutexLock lock(&mu_);
  std::size_t count = 0;
  for (const auto& [id, function] : functions_) count += function->leases.size();
  return count;
}

// ---- Upkeep ----

void LeaseTable::ScheduleTick() {
  absl::MutexLock lock(&mu_);
  if (stopping_) return;
  tick_timer_ = deps_.timers->RunAfter(options_.tick, [weak = weak_from_this()] {
    if (auto self = weak.lock()) {
      self->Tick();
      self->ScheduleTick();
    }
  });
}

void LeaseTable::Tick() {
  Actions actions;
  {
    absl::MutexLock lock(&mu_);
    if (stopping_) return;
    const absl::Time now = deps_.clock->Now();
    DropWhere(
        [&](const HeldLease& held) {
          return now - held.last_used >= options_.unused_limit &&
                 held.load->outstanding.load(std::memory_order_relaxed) == 0;
        },
        true, actions);
    DropWhere([&](const HeldLease& held) { return held.doubtful() && now - held.doubtful_since > options_.doubt_limit; },
              false, actions);
    for (auto& [id, function] : functions_) {
      const bool doubtful = std::any_of(function->leases.begin(), function->leases.end(),
                                        [](const HeldLease& held) { return held.doubtful(); });
      if (doubtful && !function->growing) Grow(id, *function, {}, actions);
    }
    Renew(false, actions);
  }
  Run(actions);
}

void LeaseTable::Renew(bool all, Actions& actions) {
  const absl::Time now = deps_.clock->Now();
  std::vector<std::string> ids;
  for (auto& [id, function] : functions_) {
    for (HeldLease& held : function->leases) {
      if (held.renewing || held.doubtful() || (!all && held.renew_at > now)) continue;
      held.renewing = true;
      ids.push_back(held.lease.id);
    }
  }
  if (ids.empty()) return;
  actions.push_back([self = shared_from_this(), ids = std::move(ids)] {
    self->deps_.scheduler->RenewLeases(
        ids, self->options_.rpc_limit,
        [weak = self->weak_from_this(), ids](absl::StatusOr<SchedulerClient::Renewal> renewal) {
          if (auto table = weak.lock()) table->OnRenewed(ids, std::move(renewal));
        });
  });
}

void LeaseTable::OnRenewed(const std::vector<std::string>& asked, absl::StatusOr<SchedulerClient::Renewal> renewal) {
  Actions actions;
  {
    absl::MutexLock lock(&mu_);
    const absl::Time now = deps_.clock->Now();
    const absl::flat_hash_set<std::string> asked_ids(asked.begin(), asked.end());
    absl::flat_hash_set<std::string> renewed_ids;
    if (renewal.ok()) renewed_ids.insert(renewal->lease_ids.begin(), renewal->lease_ids.end());
    for (auto& [id, function] : functions_) {
      bool doubtful = false;
      for (HeldLease& held : function->leases) {
        if (!held.renewing || !asked_ids.contains(held.lease.id)) continue;
        held.renewing = false;
        if (!renewal.ok()) {
          held.renew_at = now + options_.tick;
        } else if (renewed_ids.contains(held.lease.id)) {
          held.renew_at = now + renewal->time_to_live / 2;
        } else {
          held.doubtful_since = now;
          doubtful = true;
        }
      }
      if (doubtful && !function->growing) Grow(id, *function, {}, actions);
    }
    if (!renewal.ok()) {
      deps_.log->warn("event=leases_not_renewed leases={} error=\"{}\"", asked.size(),
                      std::string(renewal.status().message()));
    }
  }
  Run(actions);
}

void LeaseTable::Watch() {
  deps_.scheduler->WatchLeases(
      [weak = weak_from_this()](SchedulerClient::Events events) {
        if (auto self = weak.lock()) self->OnEvents(std::move(events));
      },
      [weak = weak_from_this()](absl::Status status) {
        if (auto self = weak.lock()) self->OnWatchEnd(status);
      });
}

void LeaseTable::OnEvents(SchedulerClient::Events events) {
  Actions actions;
  {
    absl::MutexLock lock(&mu_);
    if (stopping_) return;
    if (!connected_.exchange(true)) {
      ever_connected_ = true;
      watch_backoff_ = absl::ZeroDuration();
      deps_.metrics->SetSchedulerConnected(true);
      deps_.log->info("event=scheduler_connected");
      // Events of the time without a subscription are lost; the renewal tells what they would have.
      Renew(true, actions);
    }
    if (!events.ended_lease_ids.empty()) {
      const absl::flat_hash_set<std::string> ended(events.ended_lease_ids.begin(), events.ended_lease_ids.end());
      DropWhere([&](const HeldLease& held) { return ended.contains(held.lease.id); }, false, actions);
    }
    for (const std::string& function_id : events.changed_function_ids) {
      NoteChange(function_id);
      DropWhere([&](const HeldLease& held) { return held.lease.function_id == function_id; }, true, actions);
    }
  }
  Run(actions);
}

void LeaseTable::OnWatchEnd(const absl::Status& status) {
  absl::MutexLock lock(&mu_);
  if (stopping_) return;
  if (connected_.exchange(false) || watch_backoff_ == absl::ZeroDuration()) {
    deps_.log->warn("event=scheduler_lost error=\"{}\" note=\"existing leases stay in use\"",
                    std::string(status.message()));
  }
  deps_.metrics->SetSchedulerConnected(false);
  watch_backoff_ = NextBackoff(watch_backoff_, options_.watch_backoff_min, options_.watch_backoff_max);
  deps_.timers->RunAfter(watch_backoff_, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (self == nullptr) return;
    {
      absl::MutexLock relock(&self->mu_);
      if (self->stopping_) return;
    }
    self->Watch();
  });
}

void LeaseTable::Shutdown(absl::Duration limit, absl::AnyInvocable<void()> released) {
  Actions actions;
  std::vector<std::string> ids;
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    deps_.timers->Cancel(tick_timer_);
    for (auto& [key, acquisition] : acquisitions_) {
      for (Waiter& waiter : acquisition.waiters) {
        if (waiter.timer != 0) deps_.timers->Cancel(waiter.timer);
        actions.push_back([done = std::move(waiter.done)]() mutable { done(Stopping()); });
      }
    }
    acquisitions_.clear();
    waiting_.clear();
    for (const auto& [id, function] : functions_) {
      for (const HeldLease& held : function->leases) ids.push_back(held.lease.id);
    }
    functions_.clear();
    paths_.clear();
    UpdateGauge();
  }
  Run(actions);
  if (ids.empty()) {
    released();
    return;
  }
  deps_.scheduler->ReleaseLeases(ids, limit, [released = std::move(released)](absl::Status) mutable { released(); });
}

}  // namespace thaw::gateway
