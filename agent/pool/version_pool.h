#ifndef THAW_AGENT_POOL_VERSION_POOL_H_
#define THAW_AGENT_POOL_VERSION_POOL_H_

#include <cstdint>
#include <deque>
#include <functional>
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
#include "agent/checkpoint/checkpointer.h"
#include "agent/instance/instance.h"
#include "agent/invoke/function_connection.h"
#include "agent/metrics.h"
#include "agent/pool/cancellation.h"
#include "agent/pool/freeze_rule.h"
#include "agent/pool/memory_budget.h"
#include "agent/pool/slot.h"
#include "agent/pool/version_state.h"
#include "agent/start/starter.h"
#include "common/clock/clock.h"
#include "common/executor/executor.h"
#include "spdlog/logger.h"

namespace thaw::agent {

struct CallResult {
  FunctionReply reply;
  StartRecord start;
  std::string instance_id;
};

// One call on its way to an instance.
struct Call {
  // Makes the request that the function sees, once its deadline is known.
  absl::AnyInvocable<FunctionRequest(absl::Time deadline)> make_request;
  absl::Time deadline;
  // Whether the caller has gone; null where it never does. A call that waits for an instance ends with
  // CANCELLED as soon as it has; one that was handed to an instance goes on.
  std::shared_ptr<Cancellation> cancellation;
  // Called once; any thread; must not block. Errors are those of thaw.agent.v1.Functions.Invoke.
  absl::AnyInvocable<void(absl::StatusOr<CallResult>)> done;
};

// What a version's pool tells the rest of the agent. Threads: any; none may block.
class PoolEvents {
 public:
  virtual ~PoolEvents() = default;
  // An instance is warm enough to be frozen, or is to be frozen by a person's wish (`manual`); the answer comes back
  // through VersionPool::OnCheckpointGrant(). `answered`: calls that it has answered; it may not have been started yet.
  virtual void WantsCheckpoint(const std::string& version_id, const std::string& instance_id, std::uint64_t answered,
                               bool manual) = 0;
  virtual void CheckpointFinished(const std::string& version_id, const std::string& instance_id,
                                  const absl::StatusOr<thaw::common::v1::SnapshotInfo>& result) = 0;
  // How the first calls of a restored instance went; of versions whose policy is to learn only.
  virtual void RestoreMeasured(const thaw::scheduler::v1::RestoreReport& report) = 0;
  // A start failed for want of memory: stop idle instances of other versions, as many as hold `bytes`. False when there
  // are not enough.
  virtual bool MakeRoom(const std::string& for_version_id, std::uint64_t bytes) = 0;
};

struct PoolOptions {
  std::size_t max_instances_per_version = 4;
  std::size_t max_waiting_calls = 1024;
  // How long an empty slot beyond the wanted ones is kept.
  absl::Duration spare_slot_time = absl::Minutes(1);
  // How often the start rule is asked again while calls wait.
  absl::Duration reconsider_interval = absl::Milliseconds(50);
  // Making a slot ahead of need.
  absl::Duration slot_time_limit = absl::Minutes(2);
  // Assumed until seen.
  absl::Duration assumed_container = absl::Milliseconds(300);
  absl::Duration assumed_restore = absl::Milliseconds(300);
  absl::Duration assumed_cold_start = absl::Seconds(2);
};

struct PoolDeps {
  InstanceStarter& starter;
  Checkpointer& checkpointer;
  SlotFactory& slots;
  PoolEvents& events;
  MemoryBudget& memory;
  AgentMetrics& metrics;
  // Starts (they block for as long as a start takes), checkpoints, and the emptying and removing of slots.
  Executor& starts;
  Executor& checkpoints;
  Executor& housekeeping;
  Timers& timers;
  const Clock& clock;
  std::shared_ptr<spdlog::logger> log;
};

struct VersionLoad {
  // All, and those in each state that takes part in the work.
  std::size_t instances = 0;
  std::size_t starting = 0;
  std::size_t idle = 0;
  std::size_t busy = 0;
  std::size_t checkpointing = 0;
  std::size_t empty_slots = 0;
  std::size_t waiting = 0;
};

// The instances, empty slots and waiting calls of one version on this node: takes calls, starts instances by the rule of
// start_rule.h, stops idle ones, has warm ones frozen.
//
// Threads: any. The lock is never held over anything that blocks: what blocks runs on the executors.
class VersionPool : public std::enable_shared_from_this<VersionPool> {
 public:
  static std::shared_ptr<VersionPool> Create(VersionState state, const PoolOptions& options, const PoolDeps& deps);

  void Invoke(Call call) ABSL_LOCKS_EXCLUDED(mu_);

  // The scheduler's newest word; prepares slots where it asks for them.
  void Update(VersionState state) ABSL_LOCKS_EXCLUDED(mu_);
  VersionState state() const ABSL_LOCKS_EXCLUDED(mu_);

  // `retry_after` is zero when the answer is final; `reason` says why it was refused.
  void OnCheckpointGrant(const std::string& instance_id, bool granted, absl::Duration retry_after,
                         absl::string_view reason = "") ABSL_LOCKS_EXCLUDED(mu_);

  // Freezes an instance now, whatever the policy says but "never": the warmest that runs, else one that is started from
  // the image and primed for it. `done` is called once, any thread, and must not block. Errors:
  //
  //   FAILED_PRECONDITION  the policy, the scheduler, the function or CRIU refused (CHECKPOINT_REFUSED)
  //   UNAVAILABLE          another freeze is under way, or the version was replaced
  //   as of Checkpointer and InstanceStarter
  using FreezeDone = absl::AnyInvocable<void(absl::StatusOr<thaw::common::v1::SnapshotInfo>)>;
  void FreezeNow(FreezeDone done) ABSL_LOCKS_EXCLUDED(mu_);

  // The scheduler that was asked may never have heard it (its stream was opened anew): the next answered call asks again.
  void ForgetCheckpointRequest() ABSL_LOCKS_EXCLUDED(mu_);

  // version_pool_ask.cc. A question of the agent's own to an idle instance's FDK, which the caller knows to be ours. It is no
  // call: nothing counts it, and the instance's idle time goes on. A call that comes meanwhile and finds no other instance
  // waits for it, so `question.deadline` is to be near. `done` is called once, any thread, and must not block. Errors are
  // those of FunctionConnection::Call() (the instance stays: whether it still serves, its next call finds out) and:
  //
  //   NOT_FOUND            no such instance here
  //   FAILED_PRECONDITION  it is not idle; nothing was asked
  void Ask(const std::string& instance_id, FunctionRequest question, FunctionConnection::Done done) ABSL_LOCKS_EXCLUDED(mu_);

  // Something found after a restart of the agent. An instance is idle and gets its connection here.
  void AdoptInstance(std::string instance_id, std::unique_ptr<Slot> slot, std::unique_ptr<FunctionConnection> connection,
                     std::uint64_t answered, bool sealed) ABSL_LOCKS_EXCLUDED(mu_);
  void AdoptSlot(std::unique_ptr<Slot> slot) ABSL_LOCKS_EXCLUDED(mu_);

  // Stops the instance that has been idle longest; false when none is idle.
  bool EvictIdle() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Time oldest_idle() const ABSL_LOCKS_EXCLUDED(mu_);

  // The version is gone: waiting calls end with UNAVAILABLE, calls under way may finish, all else is stopped and removed.
  // `drained` is called once nothing is left.
  void Retire(absl::AnyInvocable<void()> drained) ABSL_LOCKS_EXCLUDED(mu_);

  VersionLoad Load() const ABSL_LOCKS_EXCLUDED(mu_);
  // Control directories of all slots, for their logs.
  std::vector<std::string> ControlDirs() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using InstancePtr = std::shared_ptr<Instance>;

  struct Waiter {
    std::uint64_t id;
    Call call;
    absl::Time since;
    Timers::Id expiry = 0;
  };

  // Work that is done after the lock has been let go.
  class Actions {
   public:
    ~Actions() {
      for (auto& action : list_) action();
    }
    void Add(absl::AnyInvocable<void()> action) { list_.push_back(std::move(action)); }

   private:
    std::vector<absl::AnyInvocable<void()>> list_;
  };

  VersionPool(VersionState state, const PoolOptions& options, const PoolDeps& deps);

  // Hands waiting calls to idle instances: the one used last, but one that is to be frozen only where there is no other.
  void Dispatch(Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  InstancePtr TakeIdle() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RunCall(const InstancePtr& instance, Waiter waiter, Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnReply(const InstancePtr& instance, std::shared_ptr<Call> call, StartRecord record,
               absl::StatusOr<FunctionReply> reply) ABSL_LOCKS_EXCLUDED(mu_);
  // A call that broke waits a moment for the news of how its process ended, so that the error can say it.
  void OnBroken(const InstancePtr& instance, std::shared_ptr<Call> call, const StartRecord& record, absl::Status status)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status ExplainExit(const Instance& instance, const absl::Status& status) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void ConsiderStart(Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MakeRoomOrFail() ABSL_LOCKS_EXCLUDED(mu_);
  // The new instance's id; nothing when there is no memory for it.
  std::optional<std::string> StartOne(Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What to restore instead of a snapshot that has been replaced since the start began; nothing where it has not been.
  std::optional<VersionState> Replacement(const InstancePtr& instance, const std::string& snapshot_id)
      ABSL_LOCKS_EXCLUDED(mu_);
  void OnStarted(const InstancePtr& instance, absl::StatusOr<StartedInstance> started) ABSL_LOCKS_EXCLUDED(mu_);
  void ArmReconsider() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnWaiterExpired(std::uint64_t waiter_id) ABSL_LOCKS_EXCLUDED(mu_);
  // Has the call leave the queue when its deadline passes or its caller goes.
  void WatchWaiter(Waiter& waiter, Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnWaiterCancelled(std::uint64_t waiter_id) ABSL_LOCKS_EXCLUDED(mu_);
  void FailWaiters(const absl::Status& status, Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void BecomeIdle(const InstancePtr& instance, Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnIdleTimeout(const std::string& instance_id) ABSL_LOCKS_EXCLUDED(mu_);
  // Has an idle instance stopped when its rest has lasted as long as it may.
  void ArmIdleTimer(const InstancePtr& instance) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // After Ask(): the instance is where it was, unless something has waited for it.
  void OnAsked(const InstancePtr& instance) ABSL_LOCKS_EXCLUDED(mu_);
  void Stop(const InstancePtr& instance, Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnStopped(const InstancePtr& instance, std::unique_ptr<Slot> emptied) ABSL_LOCKS_EXCLUDED(mu_);
  void OnInitEvent(const std::string& instance_id, const InitEvent& event) ABSL_LOCKS_EXCLUDED(mu_);
  void WatchEvents(const InstancePtr& instance) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void KeepEmpty(std::unique_ptr<Slot> slot, Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TrimSlots() ABSL_LOCKS_EXCLUDED(mu_);
  void PrepareSlots(Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Destroy(std::unique_ptr<Slot> slot, Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void MaybeAskForCheckpoint(const InstancePtr& instance, Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether the instance, idle and about to be frozen, should first see others serve (agent/pool/stand_in.h); starts one, and
  // sees to it that the question is asked again.
  bool AwaitsStandIn(const InstancePtr& instance, Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CountCallsAnew() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Freezes what waited for that, and still rests.
  void FreezeGranted(Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void BeginCheckpoint(const InstancePtr& instance, Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RunCheckpoint(const InstancePtr& instance, CheckpointRequest request) ABSL_LOCKS_EXCLUDED(mu_);

  // checkpoint_wishes.cc: the function's own code asks for a checkpoint, whatever the number of calls.
  void OnCheckpointWished(const InstancePtr& instance, Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Why such a wish can't be granted; empty when it can.
  std::string ReasonAgainstWish(const std::string& instance_id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Tells the function, if it waits, why it got none.
  void RefuseWish(const InstancePtr& instance, std::string why, Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Whether instances that are started cold may be frozen yet: until they are, or will not be, they go without secrets for
  // after the restore.
  bool AwaitsFreeze() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Has instances told of config and secrets that have changed, or have become due to them.
  void GiveWhereDue(Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Give(Instance& instance) ABSL_LOCKS_EXCLUDED(mu_);

  // version_pool_freeze.cc. A freeze on demand, from the question to the scheduler to its end; one at a time.
  struct FreezeJob {
    std::string instance_id;
    // Asked for by a person; otherwise by the version's state (freeze_now).
    bool manual = false;
    // The instance is started for it, once that is granted.
    bool start = false;
    bool granted = false;
    FreezeDone done;
  };
  void ConsiderFreezeNow(Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ArmFreezeNow(absl::Duration delay) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // `instance` may be null: then one is started.
  void BeginFreezeJob(const InstancePtr& instance, bool manual, FreezeDone done, Actions& actions)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // True when the answer was the job's own and nothing more is to be done with it.
  bool OnFreezeJobGrant(const std::string& instance_id, bool granted, absl::string_view reason, Actions& actions)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void StartForFreezing(Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Sends the priming requests from `next` on, then freezes. The instance is idle and reserved.
  void Prime(const InstancePtr& instance, int next, Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnPrimed(const InstancePtr& instance, int index, absl::StatusOr<FunctionReply> reply) ABSL_LOCKS_EXCLUDED(mu_);
  // Before the instance's checkpoint began: tells the scheduler, too.
  void FailFreezeJob(const std::string& instance_id, const absl::Status& status, Actions& actions)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Tells who waits for the job, if that is its instance.
  void EndFreezeJob(const std::string& instance_id, const absl::StatusOr<thaw::common::v1::SnapshotInfo>& result,
                    Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ReportMeasure(const InstancePtr& instance, Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void FinishRetirement(Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::uint64_t memory_bytes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const PoolOptions options_;
  const PoolDeps deps_;

  mutable absl::Mutex mu_;
  VersionState state_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, InstancePtr> instances_ ABSL_GUARDED_BY(mu_);
  // The most recently used one last: it is used next, so that the others can time out.
  std::vector<InstancePtr> idle_ ABSL_GUARDED_BY(mu_);
  std::vector<std::unique_ptr<Slot>> empty_slots_ ABSL_GUARDED_BY(mu_);
  std::size_t slots_being_made_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Time no_slots_before_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  std::deque<Waiter> waiting_ ABSL_GUARDED_BY(mu_);
  std::uint64_t next_waiter_ ABSL_GUARDED_BY(mu_) = 1;
  bool reconsider_armed_ ABSL_GUARDED_BY(mu_) = false;
  absl::Duration mean_call_ ABSL_GUARDED_BY(mu_);
  // The making of a container, and what follows it.
  absl::Duration mean_container_ ABSL_GUARDED_BY(mu_);
  absl::Duration mean_restore_ ABSL_GUARDED_BY(mu_);
  absl::Duration mean_cold_start_ ABSL_GUARDED_BY(mu_);
  // No instance beside one that serves or starts is started before: the last attempt failed.
  absl::Time next_extra_start_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  // The instance whose checkpoint was asked for or is under way; "" for none.
  std::string checkpoint_instance_ ABSL_GUARDED_BY(mu_);
  // Started to serve while that one is frozen; empty when none was, for the checkpoint that was granted last.
  std::string stand_in_ ABSL_GUARDED_BY(mu_);
  absl::Time stand_in_asked_ ABSL_GUARDED_BY(mu_);
  absl::Time freeze_granted_ ABSL_GUARDED_BY(mu_);
  // Calls given out since then, by the time of the newest count, and how many of them the instance to be frozen got.
  absl::Time counting_since_ ABSL_GUARDED_BY(mu_);
  std::uint64_t calls_counted_ ABSL_GUARDED_BY(mu_) = 0;
  std::uint64_t calls_helped_ ABSL_GUARDED_BY(mu_) = 0;
  bool freeze_check_armed_ ABSL_GUARDED_BY(mu_) = false;
  absl::Time no_checkpoint_before_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  std::optional<FreezeJob> freeze_job_ ABSL_GUARDED_BY(mu_);
  bool freeze_now_armed_ ABSL_GUARDED_BY(mu_) = false;
  CandidateTurn candidate_turn_ ABSL_GUARDED_BY(mu_);
  // How often config or secrets have changed.
  std::uint64_t given_change_ ABSL_GUARDED_BY(mu_) = 0;
  int jobs_ ABSL_GUARDED_BY(mu_) = 0;  // Checkpoints and slot makings under way: retirement waits for them.
  bool retired_ ABSL_GUARDED_BY(mu_) = false;
  absl::AnyInvocable<void()> drained_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_POOL_VERSION_POOL_H_
