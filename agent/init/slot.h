#ifndef THAW_AGENT_INIT_SLOT_H_
#define THAW_AGENT_INIT_SLOT_H_

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "agent/init/criu_run.h"
#include "agent/init/event_loop.h"
#include "agent/init/function_log.h"
#include "agent/init/line_server.h"
#include "agent/init/obstacles/descriptor_actions.h"
#include "agent/init/obstacles/finding.h"
#include "agent/init/obstacles/system_view.h"
#include "agent/init/order.h"
#include "agent/init/output_capture.h"
#include "agent/init/random_facts.h"
#include "agent/init/unique_shim.h"

namespace thaw::init {

// A slot and the function in it: carries out the orders of docs/design/init-protocol.md.
//
// States and their legal changes:
//
//   empty ──start──► running ──dump──► dumping ──► running (left running, or the dump failed)
//     │                 ▲                  └─────► empty   (dumped and ended, or killed)
//     └──restore──► restoring ──ok──┘
//   running, dumping, restoring ──kill, reset, the function's own end──► empty
//
// Threads: one; everything runs in the EventLoop's callbacks.
class Slot {
 public:
  explicit Slot(EventLoop& loop);
  ~Slot();

  // Makes the directories, has CRIU probe the kernel once, and opens both sockets. After it the slot takes
  // orders. Blocks some 50 ms, at most 15 s.
  Outcome Open();

  // To be called on SIGCHLD: reaps every child that has ended.
  void OnChildEnded();

  // Ends the function (SIGTERM, then SIGKILL after `grace_ms`) and calls `done`. For the container's stop.
  void Terminate(int64_t grace_ms, std::function<void()> done);

 private:
  enum class State { kEmpty, kRunning, kDumping, kRestoring };

  struct Function {
    pid_t pid = 0;
    std::string instance;
    std::string meta;
    uid_t uid = 0;
    gid_t gid = 0;
    uint64_t oom_kills_before = 0;
    // It has been given what no snapshot may have.
    bool sealed = false;
    bool dumped = false;  // a dump that was to end it has done so
    std::unique_ptr<OutputCapture> out;
    std::unique_ptr<OutputCapture> err;
  };

  // A dump or restore under way.
  struct Job {
    uint64_t peer = 0;
    uint64_t order_id = 0;
    CriuRun run;
    uint64_t timer = 0;
    bool timed_out = false;
    bool cancelled = false;
    bool function_lost = false;  // see CriuRun::Interrupt
    std::optional<DumpOrder> dump;
    std::optional<RestoreOrder> restore;
    // What the dump has done to the function, to be undone when it is over.
    Undoing undoing;
    double look_ms = 0;
    UniquePlan unique;  // of a restore
    // Ends of the restored function's pipes, held until it runs.
    UniqueFd out_read, out_write, err_read, err_write;
    // Processes that ended meanwhile: the function may be among them.
    std::map<pid_t, int> ended;
  };

  using ShimsAnswered = std::function<void(const Outcome& outcome, const std::vector<Shim>& shims)>;

  // Shims have been asked and have not all answered.
  struct ShimWait {
    ShimRound round;
    double limit_ms;
    uint64_t timer;
    ShimsAnswered done;
  };

  // Everything but init is being killed.
  struct Ending {
    bool past_grace = false;
    bool had_to_kill = false;
    uint64_t grace_timer = 0;
    uint64_t poll_timer = 0;
    double give_up_ms = 0;
    std::vector<std::function<void(const Outcome&, bool had_to_kill)>> done;
  };

  // What came of looking before a dump.
  struct Cleared {
    Outcome outcome;
    std::vector<Finding> findings;  // that stand in its way
    Undoing undoing;
    double look_ms = 0;
  };

  using EndedCallback = std::function<void(const Outcome& outcome, bool had_to_kill)>;

  void OnOrder(uint64_t peer, std::string_view line);
  void OnRequest(uint64_t peer, std::string_view line);
  void OnRequestClosed(uint64_t peer);

  void DoStatus(uint64_t peer, uint64_t id);
  void DoStart(uint64_t peer, uint64_t id, const StartOrder& order);
  void DoSave(uint64_t peer, uint64_t id, const SaveOrder& order);
  void DoLook(uint64_t peer, uint64_t id);
  void DoDump(uint64_t peer, uint64_t id, const DumpOrder& order);
  void DoRestore(uint64_t peer, uint64_t id, const RestoreOrder& order);
  void DoResume(uint64_t peer, uint64_t id, const ResumeOrder& order);
  void DoRefuse(uint64_t peer, uint64_t id, const RefuseOrder& order);
  void DoGive(uint64_t peer, uint64_t id, const GiveOrder& order);
  void DoKill(uint64_t peer, uint64_t id, const KillOrder& order);
  void DoReset(uint64_t peer, uint64_t id);
  void DoRandomness(uint64_t peer, uint64_t id);

  SystemView View() const;
  // Looks for obstacles and carries out the order's actions; when it fails, nothing of them remains. FAILED_PRECONDITION
  // with the findings when one has no action.
  Cleared ClearForDump(const DumpOrder& order, const std::string& images);
  // Opens again what was closed, and lets the processes go on, whatever fails.
  Outcome Undo(const Undoing& undoing);

  // FAILED_PRECONDITION unless the slot is empty and CRIU or the user's program may be run; cleans a slot that
  // an earlier function has used.
  Outcome MakeReady();
  void BeginJob(std::unique_ptr<Job> job, const CriuRun::Options& options, int64_t timeout_ms);
  void OnJobTimeout();
  void CancelJob();
  void FinishJob(int wait_status);
  void FinishDump(Job& job, const CriuRun::Result& result);
  void FinishRestore(const std::shared_ptr<Job>& job, CriuRun::Result result);
  void StartDump(uint64_t peer, uint64_t id, const DumpOrder& order);
  // The function runs again and its shims have answered: links, marker, answer.
  void CompleteRestore(const Job& job, const CriuRun::Result& result, Outcome outcome);

  // Has an order that came while shims are being looked at carried out after that, so that somebody's look refuses no
  // checkpoint. False when too many wait already.
  bool AfterShimWait(std::function<void()> order);
  // Sends the request to all shims of the function, and calls `done` when each has answered, or with an error when one
  // has not in time. At once when there is none. One at a time.
  void AskShims(ShimRequest request, CureSet without, ShimsAnswered done);
  void PollShims();
  void EndShimWait(const Outcome& outcome);
  CriuRun::Options CriuOptions(uid_t uid, gid_t gid) const;

  void EndEverything(int signal, int64_t grace_ms, EndedCallback done);
  void PollEnding();
  void OnFirstProcessEnded(int wait_status);
  void ForgetFunction();

  // Makes the file that a function waits for; it appears with its whole content.
  Outcome MakeMarker(const std::string& name, const std::string& content);
  void OnCheckpointRequest(uint64_t peer);
  void OnWish(uint64_t peer);
  std::vector<pid_t> FunctionPids() const;
  void Log(const std::string& message);

  void AnswerOk(uint64_t peer, uint64_t id);
  void AnswerOk(uint64_t peer, uint64_t id, nlohmann::json fields);
  void AnswerError(uint64_t peer, uint64_t id, const Outcome& outcome, const std::string& log = "",
                   const std::vector<Finding>& findings = {});

  EventLoop& loop_;
  FunctionLog log_;
  LineServer orders_;
  LineServer requests_;
  std::string criu_;
  std::string criu_version_;
  bool can_sys_resource_ = false;

  State state_ = State::kEmpty;
  // Something has run here since the last cleaning.
  bool dirty_ = false;
  std::optional<Function> function_;
  std::unique_ptr<Job> job_;
  std::unique_ptr<ShimWait> shim_wait_;
  std::vector<std::function<void()>> after_shim_wait_;
  RandomFacts random_facts_;
  std::optional<Ending> ending_;
  std::optional<int> first_process_status_;

  // The resume marker that a function waits for, or "".
  std::string awaited_marker_;
  uint64_t requesting_peer_ = 0;
  double last_request_ms_ = 0;
  // The marker that tells a function that its wish for a checkpoint is refused, or "".
  std::string refusal_marker_;
  double last_wish_ms_ = 0;
};

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_SLOT_H_
