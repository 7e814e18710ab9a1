// The part of Slot that drives CRIU.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "agent/init/child_process.h"
#include "agent/init/criu_action.h"
#include "agent/init/criu_command.h"
#include "agent/init/paths.h"
#include "agent/init/process_table.h"
#include "agent/init/slot.h"
#include "agent/init/snapshot_files.h"
#include "agent/init/tree_copy.h"
#include "agent/init/unique_shim.h"

namespace thaw::init {
namespace {

// Numbers under which criu restore gets the function's new stdout and stderr.
constexpr int kRestoreOut = 10;
constexpr int kRestoreErr = 11;

bool IsDirectory(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

double Rounded(double ms) { return std::round(ms * 100) / 100; }

constexpr char kNoCriu[] =
    "there is no criu: the agent mounts none (--criu-bundle), and the image has none of its own (4.1.1 or newer)";

// The whole log of the last run that failed, for people: the answer has its end only.
void KeepLog(const std::string& log) {
  UniqueFd file(::open(kFailedCriuLog, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  (void)!::write(file.get(), log.data(), log.size());
}

std::string WorkFile(const char* name) { return std::string(kWorkDir) + "/" + name; }

}  // namespace

CriuRun::Options Slot::CriuOptions(uid_t uid, gid_t gid) const {
  CriuRun::Options options;
  options.env = {kCriuEnvironment};
  if (!can_sys_resource_) {
    options.real_uid = uid;
    options.real_gid = gid;
  }
  return options;
}

void Slot::BeginJob(std::unique_ptr<Job> job, const CriuRun::Options& options, int64_t timeout_ms) {
  const Outcome started = job->run.Start(options);
  if (!started.ok()) {
    AnswerError(job->peer, job->order_id, started);
    return;
  }
  state_ = job->dump ? State::kDumping : State::kRestoring;
  job->timer = loop_.After(std::chrono::milliseconds(timeout_ms), [this] { OnJobTimeout(); });
  const int failure_fd = job->run.failure_fd();
  job_ = std::move(job);
  loop_.Watch(failure_fd, EPOLLIN, [this, failure_fd](uint32_t) {
    job_->run.NoteExec();
    loop_.Forget(failure_fd);
  });
}

void Slot::DoDump(uint64_t peer, uint64_t id, const DumpOrder& order) {
  const bool running = state_ == State::kRunning && !ending_;
  if (running && shim_wait_ && AfterShimWait([this, peer, id, order] { DoDump(peer, id, order); })) return;
  if (!running || shim_wait_) {
    return AnswerError(peer, id, Outcome(Code::kFailedPrecondition, "nothing to dump: no function runs in this slot, "
                                                                    "or it is being dumped or killed"));
  }
  if (function_->sealed) {
    return AnswerError(peer, id, Outcome(Code::kFailedPrecondition,
                                         "the function has been given secrets that no snapshot may have "
                                         "(after_restore_only); only an instance that has not got them can be frozen"));
  }
  if (criu_.empty()) {
    return AnswerError(peer, id, Outcome(Code::kUnavailable, kNoCriu));
  }
  if (!IsDirectory(order.dir)) {
    return AnswerError(peer, id, Outcome(Code::kNotFound, "dump directory " + order.dir + " does not exist"));
  }
  const std::string images = order.dir + "/images";
  if (::mkdir(images.c_str(), 0700) != 0) {
    return AnswerError(peer, id, errno == EEXIST ? Outcome(Code::kFailedPrecondition,
                                                           "dump directory " + order.dir + " is not empty")
                                                 : ErrnoOutcome(errno, "cannot make directory " + images));
  }
  state_ = State::kDumping;
  AskShims(ShimRequest::kPrepare, order.without_cures,
           [this, peer, id, order](const Outcome& prepared, const std::vector<Shim>&) {
             Outcome outcome = prepared;
             if (!function_ || ending_) outcome = Outcome(Code::kAborted, "the function was killed meanwhile");
             if (state_ == State::kDumping) state_ = State::kRunning;
             if (outcome.ok()) return StartDump(peer, id, order);
             if (Outcome emptied = EmptyDirectory(order.dir); !emptied.ok()) Log(emptied.message());
             AnswerError(peer, id, outcome);
           });
}

void Slot::StartDump(uint64_t peer, uint64_t id, const DumpOrder& order) {
  const std::string images = order.dir + "/images";
  // After the shims have said their word: what is closed here is not missed for longer than the dump takes.
  Cleared cleared = ClearForDump(order, images);
  if (!cleared.outcome.ok()) {
    if (Outcome emptied = EmptyDirectory(order.dir); !emptied.ok()) Log(emptied.message());
    Log("dump refused: " + cleared.outcome.message());
    return AnswerError(peer, id, cleared.outcome, "", cleared.findings);
  }
  auto job = std::make_unique<Job>();
  job->peer = peer;
  job->order_id = id;
  job->dump = order;
  job->undoing = cleared.undoing;
  job->look_ms = cleared.look_ms;
  CriuRun::Options options = CriuOptions(function_->uid, function_->gid);
  options.arguments = DumpArguments({.criu = criu_,
                                     .pid = function_->pid,
                                     .images_dir = images,
                                     .work_dir = kWorkDir,
                                     .action_script = kActionLink,
                                     .leave_running = order.leave_running});
  options.background = true;
  options.env.push_back(std::string(kActionFilesVariable) + "=" + order.dir + "/files");
  options.env.push_back(std::string(kActionWithoutVariable) + "=" + std::to_string(order.without_cures.bits()));
  BeginJob(std::move(job), options, order.timeout_ms);
  if (job_ == nullptr) {
    if (Outcome undone = Undo(cleared.undoing); !undone.ok()) Log(undone.message());
  }
}

void Slot::DoRestore(uint64_t peer, uint64_t id, const RestoreOrder& order) {
  if (criu_.empty()) {
    return AnswerError(peer, id, Outcome(Code::kUnavailable, kNoCriu));
  }
  if (!IsDirectory(order.dir + "/images") || !IsDirectory(order.dir + "/files")) {
    return AnswerError(peer, id, Outcome(Code::kNotFound, "no snapshot in " + order.dir +
                                                              ": it must have the folders images and files"));
  }
  UniquePlan plan;
  const std::string plan_path = order.dir + "/files/" + kUniquePlanName;
  if (Outcome outcome = UniquePlan::Parse(ReadSmallFile(plan_path), &plan); !outcome.ok()) {
    return AnswerError(peer, id, outcome);
  }
  if (Outcome outcome = MakeReady(); !outcome.ok()) return AnswerError(peer, id, outcome);
  // Before CRIU runs: a function that waits for no marker goes on as soon as CRIU lets it.
  if (Outcome outcome = WriteGivenFiles(order.given, order.uid, order.gid); !outcome.ok()) {
    return AnswerError(peer, id, outcome);
  }
  auto job = std::make_unique<Job>();
  job->peer = peer;
  job->order_id = id;
  job->restore = order;
  job->unique = plan;
  for (auto [read_end, write_end] : {std::pair(&job->out_read, &job->out_write), {&job->err_read, &job->err_write}}) {
    if (Outcome outcome = MakeOutputPipe(read_end, write_end); !outcome.ok()) return AnswerError(peer, id, outcome);
  }
  CriuRestore restore{.criu = criu_, .images_dir = order.dir + "/images", .work_dir = kWorkDir, .inherited = {},
                      .action_script = ""};
  CriuRun::Options options = CriuOptions(order.uid, order.gid);
  if (!plan.go_states.empty()) {
    restore.action_script = kActionLink;
    options.env.push_back(std::string(kActionFilesVariable) + "=" + order.dir + "/files");
  }
  if (!order.stdout_pipe.empty()) {
    restore.inherited.push_back({kRestoreOut, order.stdout_pipe});
    options.keep[kRestoreOut] = job->out_write.get();
  }
  if (!order.stderr_pipe.empty() && order.stderr_pipe != order.stdout_pipe) {
    restore.inherited.push_back({kRestoreErr, order.stderr_pipe});
    options.keep[kRestoreErr] = job->err_write.get();
  }
  options.arguments = RestoreArguments(restore);
  options.before = [files = order.dir + "/files"] { return LayDownFiles(files); };
  BeginJob(std::move(job), options, order.timeout_ms);
}

void Slot::OnJobTimeout() {
  job_->timer = 0;
  job_->timed_out = true;
  job_->function_lost = job_->run.Interrupt(job_->dump ? FunctionPids() : std::vector<pid_t>());
}

void Slot::CancelJob() {
  if (job_->cancelled || job_->timed_out) return;
  job_->cancelled = true;
  job_->run.Interrupt({});
}

void Slot::FinishJob(int wait_status) {
  const std::shared_ptr<Job> job = std::move(job_);
  loop_.Cancel(job->timer);
  loop_.Forget(job->run.failure_fd());
  CriuRun::Result result = job->run.Finish(wait_status, job->dump.has_value());
  if (!result.outcome.ok()) {
    if (job->timed_out) {
      const int64_t limit = job->dump ? job->dump->timeout_ms : job->restore->timeout_ms;
      result.outcome = Outcome(Code::kDeadlineExceeded,
                               std::string(job->dump ? "criu dump" : "criu restore") + " was killed after its limit of " +
                                   std::to_string(limit) + " ms" +
                                   (job->function_lost ? "; the function was in its hands and was killed too" : ""));
    } else if (job->cancelled) {
      result.outcome = Outcome(Code::kAborted, "the function was killed meanwhile");
    }
  }
  if (job->dump) {
    FinishDump(*job, result);
  } else {
    FinishRestore(job, std::move(result));
  }
}

void Slot::FinishDump(Job& job, const CriuRun::Result& result) {
  const DumpOrder& order = *job.dump;
  state_ = State::kRunning;
  const auto ended = job.ended.find(function_->pid);
  Outcome outcome = result.outcome;
  if (outcome.ok() && order.leave_running && ended != job.ended.end()) {
    outcome = Outcome(Code::kAborted, "the function ended during its dump");
  }
  if (!outcome.ok() && !job.timed_out && !job.cancelled) {
    // The action script knows better why CRIU failed after it: the disk, mostly.
    if (const std::string reason = ReadSmallFile(WorkFile(kActionErrorName)); !reason.empty()) {
      outcome = FailurePipe::ParseFailure(reason);
    }
  }
  // What was dumped and ended needs nothing undone; what CRIU has spoilt will be killed.
  if (ended == job.ended.end() && !job.function_lost) {
    const Outcome undone = Undo(job.undoing);
    if (outcome.ok()) outcome = undone;
    if (!undone.ok()) Log(undone.message());
  }
  if (outcome.ok()) {
    const std::string stats = ReadSmallFile(WorkFile("stats-dump"));
    AnswerOk(job.peer, job.order_id,
             {{"duration_ms", Rounded(result.total_ms)},
              {"frozen_ms", Rounded(static_cast<double>(ParseFrozenMicroseconds(stats)) / 1000)},
              {"image_bytes", TreeBytes(order.dir + "/images")},
              {"files_bytes", TreeBytes(order.dir + "/files")},
              {"stdout_pipe", function_->out->pipe_name()},
              {"stderr_pipe", function_->err->pipe_name()},
              {"resume", awaited_marker_},
              {"look_ms", job.look_ms},
              {"uid", function_->uid},
              {"gid", function_->gid}});
    function_->dumped = !order.leave_running;
    Log("dumped dir=" + order.dir);
  } else {
    if (Outcome emptied = EmptyDirectory(order.dir); !emptied.ok()) Log(emptied.message());
    Log("dump failed: " + outcome.message());
    KeepLog(result.log);
    AnswerError(job.peer, job.order_id, outcome, LogTail(result.log), FindingsOfCriuLog(result.log));
  }
  if (ended != job.ended.end()) {
    OnFirstProcessEnded(ended->second);
  } else if (job.function_lost && !ending_) {
    EndEverything(SIGKILL, 0, nullptr);
  } else {
    SetLastPid(HighestPid());
  }
}

void Slot::FinishRestore(const std::shared_ptr<Job>& job, CriuRun::Result result) {
  const RestoreOrder& order = *job->restore;
  const pid_t pid = std::atoi(ReadSmallFile(WorkFile(kCriuPidFile)).c_str());
  if (!job->timed_out && !job->cancelled) {
    // CRIU does not fail with its script.
    if (const std::string reason = ReadSmallFile(WorkFile(kActionErrorName)); !reason.empty()) {
      result.outcome = FailurePipe::ParseFailure(reason);
    }
  }
  if (result.outcome.ok() && !job->unique.go_states.empty() && ::access(WorkFile(kActionSeededName).c_str(), F_OK) != 0) {
    result.outcome = Outcome(Code::kInternal, "criu has not run the script that seeds the function's random generators");
  }
  if (result.outcome.ok() && pid <= 1) {
    result.outcome = Outcome(Code::kInternal, "criu restore has named no process");
  }
  // New processes of the function must not take the PIDs that the next CRIU here needs, nor PIDs that make the
  // next dump of it impossible to restore.
  if (result.outcome.ok()) SetLastPid(HighestPid());
  if (!result.outcome.ok() || ending_) return CompleteRestore(*job, result, result.outcome);
  Function& function = function_.emplace();
  function.pid = pid;
  function.instance = order.instance;
  function.meta = order.meta;
  function.uid = order.uid;
  function.gid = order.gid;
  function.sealed = order.given.sealed;
  function.oom_kills_before = OomKills();
  function.out = std::make_unique<OutputCapture>(loop_, log_, std::move(job->out_read), order.instance, "out");
  function.err = std::make_unique<OutputCapture>(loop_, log_, std::move(job->err_read), order.instance, "err");
  // Before the shims are asked: a function whose dump has closed something stands still until it is open again.
  Undoing undoing;
  Outcome undone = ReadUndoing(order.dir + "/images", &undoing);
  if (undone.ok()) undone = Undo(undoing);
  if (!undone.ok()) return CompleteRestore(*job, result, undone);
  if (job->unique.shims.empty() || job->ended.contains(pid)) return CompleteRestore(*job, result, {});
  AskShims(ShimRequest::kReseed, job->unique.without,
           [this, job, result](const Outcome& answered, const std::vector<Shim>& shims) {
             CompleteRestore(*job, result, answered.ok() ? CompareAnswers(job->unique.shims, shims) : answered);
           });
}

void Slot::CompleteRestore(const Job& job, const CriuRun::Result& result, Outcome outcome) {
  const RestoreOrder& order = *job.restore;
  if (outcome.ok() && !ending_) outcome = LayDownSocketLinks(order.dir + "/files");
  if (outcome.ok() && !ending_ && !order.resume.empty()) outcome = MakeMarker(order.resume, "");
  if (!outcome.ok() || ending_) {
    if (outcome.ok()) outcome = Outcome(Code::kAborted, "the function was killed meanwhile");
    KeepLog(result.log);
    Log("restore of " + order.instance + " failed: " + outcome.message());
    EndEverything(SIGKILL, 0, [this, peer = job.peer, id = job.order_id, outcome,
                               log = LogTail(result.log),
                               findings = FindingsOfCriuLog(result.log)](const Outcome& ended, bool) {
      if (!ended.ok()) return AnswerError(peer, id, ended, log);
      if (CleanSlot().ok()) dirty_ = false;
      AnswerError(peer, id, outcome, log, findings);
    });
    return;
  }
  state_ = State::kRunning;
  Log("restored pid=" + std::to_string(function_->pid) + " dir=" + order.dir);
  AnswerOk(job.peer, job.order_id,
           {{"pid", function_->pid}, {"duration_ms", Rounded(result.total_ms)}, {"criu_ms", Rounded(result.criu_ms)}});
  if (auto ended = job.ended.find(function_->pid); ended != job.ended.end()) OnFirstProcessEnded(ended->second);
}

}  // namespace thaw::init
