#include "agent/init/slot.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "agent/init/child_process.h"
#include "agent/init/criu_command.h"
#include "agent/init/obstacles/find_obstacles.h"
#include "agent/init/paths.h"
#include "agent/init/process_table.h"
#include "agent/init/snapshot_files.h"
#include "agent/init/tree_copy.h"
#include "common/version/version.h"

namespace thaw::init {
namespace {

using Json = nlohmann::json;

constexpr int kCriuCheckTimeoutMs = 10'000;
constexpr std::chrono::milliseconds kKillPollInterval{5};
constexpr double kKillGiveUpMs = 10'000;
constexpr double kRequestIntervalMs = 20;
constexpr std::chrono::milliseconds kRequestCloseTimeout{1000};

Outcome MakeDirectory(const char* path, mode_t mode) {
  if (::mkdir(path, mode) != 0 && errno != EEXIST) return ErrnoOutcome(errno, std::string("cannot make ") + path);
  if (::chmod(path, mode) != 0) return ErrnoOutcome(errno, std::string("cannot set the mode of ") + path);
  return {};
}

std::string ToLine(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace

Slot::Slot(EventLoop& loop)
    : loop_(loop),
      log_(kFunctionLog),
      orders_(loop, {.path = kControlSocket, .mode = 0600, .line_limit = kOrderLineLimit},
              {.on_line = [this](uint64_t peer, std::string_view line) { OnOrder(peer, line); },
               .on_too_long =
                   [this](uint64_t peer) {
                     AnswerError(peer, 0, Outcome(Code::kInvalidArgument, "an order line is longer than 2 MiB"));
                   },
               .on_closed = nullptr}),
      requests_(loop,
                {.path = kRequestSocket,
                 .mode = 0666,
                 .line_limit = 256,
                 .output_limit = 4096,
                 .connection_limit = 8,
                 .first_line_within = std::chrono::milliseconds(2000)},
                {.on_line = [this](uint64_t peer, std::string_view line) { OnRequest(peer, line); },
                 .on_too_long = nullptr,
                 .on_closed = [this](uint64_t peer) { OnRequestClosed(peer); }}) {}

Slot::~Slot() = default;

Outcome Slot::Open() {
  ::umask(022);
  for (const char* path : {"/run/thaw", kFunctionDir}) {
    if (Outcome outcome = MakeDirectory(path, 0755); !outcome.ok()) return outcome;
  }
  if (Outcome outcome = MakeDirectory(kWorkDir, 0700); !outcome.ok()) return outcome;
  // CRIU runs an action script by path alone, without arguments: main() knows by this name what it is for.
  char self[512];
  const ssize_t size = ::readlink("/proc/self/exe", self, sizeof self - 1);
  if (size <= 0) return ErrnoOutcome(errno, "cannot read /proc/self/exe");
  self[size] = '\0';
  ::unlink(kActionLink);
  if (::symlink(self, kActionLink) != 0) return ErrnoOutcome(errno, std::string("cannot make ") + kActionLink);

  can_sys_resource_ = HasCapability(CAP_SYS_RESOURCE);
  criu_ = FindCriu();
  if (!criu_.empty()) {
    SetLastPid(kHelperPids);
    std::string version;
    RunToEnd({criu_, "--version"}, kCriuCheckTimeoutMs / 2, &version);
    criu_version_ = ParseCriuVersion(version);
    // Writes /run/criu.kdat, which saves every later run some 35 ms. As real uid 0, because the probes fail
    // under another real uid. Its verdict is not asked for: what matters shows at the first dump.
    std::string ignored;
    RunToEnd({criu_, "check", "--no-default-config"}, kCriuCheckTimeoutMs, &ignored);
  }
  if (Outcome outcome = requests_.Listen(); !outcome.ok()) return outcome;
  return orders_.Listen();
}

void Slot::Log(const std::string& message) {
  log_.Write(function_ ? function_->instance : "", "thaw", message);
}

void Slot::AnswerOk(uint64_t peer, uint64_t id) { AnswerOk(peer, id, Json::object()); }

void Slot::AnswerOk(uint64_t peer, uint64_t id, Json fields) {
  fields["id"] = id;
  fields["ok"] = true;
  orders_.Send(peer, ToLine(fields));
}

void Slot::AnswerError(uint64_t peer, uint64_t id, const Outcome& outcome, const std::string& log,
                       const std::vector<Finding>& findings) {
  Json answer = {{"id", id}, {"ok", false}, {"code", CodeName(outcome.code())}, {"error", outcome.message()}};
  if (!log.empty()) answer["log"] = log;
  if (!findings.empty()) answer["findings"] = ToJson(findings);
  orders_.Send(peer, ToLine(answer));
}

void Slot::OnOrder(uint64_t peer, std::string_view line) {
  Order order;
  if (Outcome outcome = ParseOrder(line, &order); !outcome.ok()) {
    AnswerError(peer, order.id, outcome);
    return;
  }
  std::visit(
      [&](const auto& what) {
        using What = std::decay_t<decltype(what)>;
        if constexpr (std::is_same_v<What, StatusOrder>) DoStatus(peer, order.id);
        if constexpr (std::is_same_v<What, StartOrder>) DoStart(peer, order.id, what);
        if constexpr (std::is_same_v<What, SaveOrder>) DoSave(peer, order.id, what);
        if constexpr (std::is_same_v<What, LookOrder>) DoLook(peer, order.id);
        if constexpr (std::is_same_v<What, DumpOrder>) DoDump(peer, order.id, what);
        if constexpr (std::is_same_v<What, RestoreOrder>) DoRestore(peer, order.id, what);
        if constexpr (std::is_same_v<What, ResumeOrder>) DoResume(peer, order.id, what);
        if constexpr (std::is_same_v<What, RefuseOrder>) DoRefuse(peer, order.id, what);
        if constexpr (std::is_same_v<What, GiveOrder>) DoGive(peer, order.id, what);
        if constexpr (std::is_same_v<What, KillOrder>) DoKill(peer, order.id, what);
        if constexpr (std::is_same_v<What, ResetOrder>) DoReset(peer, order.id);
        if constexpr (std::is_same_v<What, RandomnessOrder>) DoRandomness(peer, order.id);
      },
      order.what);
}

void Slot::DoStatus(uint64_t peer, uint64_t id) {
  const char* state = "empty";
  if (state_ == State::kRunning) state = "running";
  if (state_ == State::kDumping) state = "dumping";
  if (state_ == State::kRestoring) state = "restoring";
  uint64_t rss_bytes = 0;
  if (function_) {
    for (pid_t pid : FunctionPids()) rss_bytes += ResidentBytes(pid);
  }
  std::string instance = function_ ? function_->instance : "";
  std::string meta = function_ ? function_->meta : "";
  if (job_ && job_->restore) {
    instance = job_->restore->instance;
    meta = job_->restore->meta;
  }
  AnswerOk(peer, id,
           {{"init_version", kVersion},
            {"criu", criu_version_},
            {"state", state},
            {"pid", function_ ? function_->pid : 0},
            {"instance", instance},
            {"meta", meta},
            {"rss_bytes", rss_bytes},
            {"waiting", !awaited_marker_.empty()},
            {"sealed", function_ && function_->sealed},
            {"can_sys_resource", can_sys_resource_}});
}

Outcome Slot::MakeReady() {
  if (state_ != State::kEmpty || ending_) {
    return Outcome(Code::kFailedPrecondition,
                   "the slot is not empty: instance " + (function_ ? function_->instance : std::string("?")) +
                       " is in it; kill or reset it first");
  }
  if (dirty_) {
    if (Outcome outcome = CleanSlot(); !outcome.ok()) return outcome;
  }
  dirty_ = true;
  return {};
}

void Slot::DoStart(uint64_t peer, uint64_t id, const StartOrder& order) {
  if (Outcome outcome = MakeReady(); !outcome.ok()) return AnswerError(peer, id, outcome);
  if (!order.snapshot.empty()) {
    if (Outcome outcome = LayDownFiles(order.snapshot + "/files"); !outcome.ok()) return AnswerError(peer, id, outcome);
  }
  if (Outcome outcome = WriteGivenFiles(order.given, order.uid, order.gid); !outcome.ok()) {
    return AnswerError(peer, id, outcome);
  }
  const uint64_t oom_kills = OomKills();
  FunctionProcess process;
  const Outcome started = StartFunction({.argv = order.argv,
                                         .env = order.env,
                                         .cwd = order.cwd,
                                         .uid = order.uid,
                                         .gid = order.gid,
                                         .privileged = order.privileged,
                                         .low_pid = !order.snapshot.empty()},
                                        &process);
  if (!started.ok()) return AnswerError(peer, id, started);
  Function& function = function_.emplace();
  function.pid = process.pid;
  function.instance = order.instance;
  function.meta = order.meta;
  function.uid = order.uid;
  function.gid = order.gid;
  function.sealed = order.given.sealed;
  function.oom_kills_before = oom_kills;
  function.out = std::make_unique<OutputCapture>(loop_, log_, std::move(process.out), order.instance, "out");
  function.err = std::make_unique<OutputCapture>(loop_, log_, std::move(process.err), order.instance, "err");
  state_ = State::kRunning;
  Log("started pid=" + std::to_string(function.pid));
  AnswerOk(peer, id, {{"pid", function.pid}});
}

void Slot::DoSave(uint64_t peer, uint64_t id, const SaveOrder& order) {
  if (state_ != State::kEmpty || ending_ || !dirty_) {
    return AnswerError(peer, id, Outcome(Code::kFailedPrecondition,
                                         "nothing to save: a function must have run here and ended by its own checkpoint"));
  }
  if (Outcome outcome = SaveFiles(order.dir + "/files"); !outcome.ok()) return AnswerError(peer, id, outcome);
  AnswerOk(peer, id, {{"image_bytes", TreeBytes(order.dir + "/images")}, {"files_bytes", TreeBytes(order.dir + "/files")}});
}

void Slot::DoResume(uint64_t peer, uint64_t id, const ResumeOrder& order) {
  if (!awaited_marker_.empty()) {
    if (Outcome outcome = MakeMarker(awaited_marker_, order.error); !outcome.ok()) return AnswerError(peer, id, outcome);
    awaited_marker_.clear();
  }
  AnswerOk(peer, id);
}

void Slot::DoRefuse(uint64_t peer, uint64_t id, const RefuseOrder& order) {
  if (!refusal_marker_.empty()) {
    if (Outcome outcome = MakeMarker(refusal_marker_, order.error); !outcome.ok()) return AnswerError(peer, id, outcome);
    refusal_marker_.clear();
  }
  AnswerOk(peer, id);
}

void Slot::DoGive(uint64_t peer, uint64_t id, const GiveOrder& order) {
  if (!function_ || ending_) {
    return AnswerError(peer, id, Outcome(Code::kFailedPrecondition, "nothing to give it to: no function runs in this slot"));
  }
  // CRIU may be reading its memory this moment; what it is given now would get there.
  if (order.given.sealed && state_ == State::kDumping) {
    return AnswerError(peer, id, Outcome(Code::kFailedPrecondition,
                                         "the function is being dumped, and this must not be in a snapshot; give it "
                                         "after the dump"));
  }
  // Before the files are there: from the first byte on.
  function_->sealed = function_->sealed || order.given.sealed;
  if (Outcome outcome = WriteGivenFiles(order.given, function_->uid, function_->gid); !outcome.ok()) {
    return AnswerError(peer, id, outcome);
  }
  AnswerOk(peer, id);
}

Outcome Slot::MakeMarker(const std::string& name, const std::string& content) {
  const std::string path = std::string(kFunctionDir) + "/" + name;
  const std::string fresh = path + ".new";
  UniqueFd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0444));
  // /run is a small tmpfs that only init writes to: a short write is a full one, and as bad as none.
  if (!file || ::write(file.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()) ||
      ::rename(fresh.c_str(), path.c_str()) != 0) {
    return ErrnoOutcome(errno, "cannot make the marker " + path);
  }
  return {};
}

void Slot::DoKill(uint64_t peer, uint64_t id, const KillOrder& order) {
  EndEverything(order.signal, order.grace_ms, [this, peer, id](const Outcome& outcome, bool had_to_kill) {
    if (!outcome.ok()) return AnswerError(peer, id, outcome);
    AnswerOk(peer, id, {{"killed", had_to_kill}});
  });
}

void Slot::DoReset(uint64_t peer, uint64_t id) {
  EndEverything(SIGKILL, 0, [this, peer, id](const Outcome& ended, bool) {
    const Outcome outcome = ended.ok() ? CleanSlot() : ended;
    if (!outcome.ok()) return AnswerError(peer, id, outcome);
    dirty_ = false;
    AnswerOk(peer, id);
  });
}

void Slot::Terminate(int64_t grace_ms, std::function<void()> done) {
  EndEverything(SIGTERM, grace_ms, [done = std::move(done)](const Outcome&, bool) { done(); });
}

std::vector<pid_t> Slot::FunctionPids() const {
  std::vector<pid_t> own;
  if (job_) own.push_back(job_->run.pid());
  std::vector<pid_t> result;
  for (const ProcessInfo& process : SelectFunctionProcesses(ListProcesses(), ::getpid(), own)) {
    result.push_back(process.pid);
  }
  return result;
}

void Slot::EndEverything(int signal, int64_t grace_ms, EndedCallback done) {
  const bool is_new = !ending_;
  Ending& ending = is_new ? ending_.emplace() : *ending_;
  if (done) ending.done.push_back(std::move(done));
  if (job_) CancelJob();
  if (function_ && !first_process_status_) ::kill(-function_->pid, signal);
  // The shortest grace of all who asked holds.
  if (signal == SIGKILL || grace_ms == 0 || !function_) {
    loop_.Cancel(ending.grace_timer);
    ending.past_grace = true;
  } else if (!ending.past_grace) {
    loop_.Cancel(ending.grace_timer);
    ending.grace_timer = loop_.After(std::chrono::milliseconds(grace_ms), [this] {
      ending_->past_grace = true;
      PollEnding();
    });
  }
  ending.give_up_ms = MonotonicMs() + static_cast<double>(grace_ms) + kKillGiveUpMs;
  PollEnding();
}

void Slot::PollEnding() {
  Ending& ending = *ending_;
  const std::vector<pid_t> pids = FunctionPids();
  // The first process must also have been reaped: its status makes the exit event.
  const bool over = !job_ && pids.empty() && (!function_ || first_process_status_);
  Outcome outcome;
  if (!over) {
    if (ending.past_grace) {
      ending.had_to_kill = ending.had_to_kill || !pids.empty();
      for (pid_t pid : pids) ::kill(pid, SIGKILL);
    }
    if (MonotonicMs() < ending.give_up_ms) {
      loop_.Cancel(ending.poll_timer);
      ending.poll_timer = loop_.After(kKillPollInterval, [this] { PollEnding(); });
      return;
    }
    outcome = Outcome(Code::kInternal, std::to_string(pids.size()) +
                                           " processes could not be killed; remove the container");
  }
  Ending ended = std::move(*ending_);
  ending_.reset();
  loop_.Cancel(ended.grace_timer);
  loop_.Cancel(ended.poll_timer);
  if (over) ForgetFunction();
  for (const auto& done : ended.done) done(outcome, ended.had_to_kill);
}

void Slot::OnChildEnded() {
  std::optional<int> job_status;
  std::optional<int> first_status;
  int status = 0;
  pid_t pid = 0;
  while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) {
    // A stop that the injector has left unread.
    if (!WIFEXITED(status) && !WIFSIGNALED(status)) continue;
    if (job_ && pid == job_->run.pid()) {
      job_status = status;
    } else if (function_ && pid == function_->pid && !first_process_status_) {
      first_status = status;
    } else if (job_) {
      job_->ended[pid] = status;
    }
  }
  if (first_status) {
    // During a dump the run's end decides what this end means.
    if (job_) {
      job_->ended[function_->pid] = *first_status;
    } else {
      OnFirstProcessEnded(*first_status);
    }
  }
  if (job_status) FinishJob(*job_status);
  if (ending_) PollEnding();
}

void Slot::OnFirstProcessEnded(int wait_status) {
  first_process_status_ = wait_status;
  // A process tree without its root can't be called, dumped or restored: what lingers of it goes too.
  if (!ending_) EndEverything(SIGKILL, 0, nullptr);
}

void Slot::ForgetFunction() {
  // Whoever ordered a restore learns of its end by the answer.
  const bool tell = state_ != State::kRestoring;
  state_ = State::kEmpty;
  awaited_marker_.clear();
  refusal_marker_.clear();
  SetLastPid(kHelperPids);
  if (!function_) return;
  function_->out->Drain();
  function_->err->Drain();
  const int status = first_process_status_.value_or(0);
  const bool signaled = WIFSIGNALED(status);
  Json event = {{"event", "exit"},
                {"instance", function_->instance},
                {"pid", function_->pid},
                {"code", signaled ? 128 + WTERMSIG(status) : WEXITSTATUS(status)},
                {"signal", signaled ? SignalName(WTERMSIG(status)) : ""}};
  if (OomKills() > function_->oom_kills_before) event["oom"] = true;
  if (function_->dumped) event["dumped"] = true;
  Log("ended code=" + std::to_string(event["code"].get<int>()) +
      (signaled ? " signal=" + SignalName(WTERMSIG(status)) : "") + (event.contains("oom") ? " oom=true" : "") +
      (function_->dumped ? " dumped=true" : ""));
  function_.reset();
  first_process_status_.reset();
  if (tell) orders_.SendToAll(ToLine(event));
  if (shim_wait_) EndShimWait(Outcome(Code::kAborted, "the function ended meanwhile"));
}

void Slot::OnRequest(uint64_t peer, std::string_view line) {
  // A function can only ask for a checkpoint of itself.
  if (line == "checkpoint") {
    OnCheckpointRequest(peer);
  } else if (line == "wish") {
    OnWish(peer);
  } else {
    requests_.CloseAfterSending(peer);
  }
}

void Slot::OnCheckpointRequest(uint64_t peer) {
  const double now = MonotonicMs();
  // Not as fast as it can.
  if (state_ != State::kRunning || ending_ || requesting_peer_ != 0 || now - last_request_ms_ < kRequestIntervalMs) {
    requests_.CloseAfterSending(peer);
    return;
  }
  last_request_ms_ = now;
  requesting_peer_ = peer;
  awaited_marker_ = MakeMarkerName();
  requests_.Send(peer, "wait " + std::string(kFunctionDir) + "/" + awaited_marker_);
  loop_.After(kRequestCloseTimeout, [this, peer] { requests_.CloseAfterSending(peer); });
}

void Slot::OnWish(uint64_t peer) {
  const double now = MonotonicMs();
  // The time of its own: what follows a wish is a request, which must not be taken for too early.
  if (state_ != State::kRunning || ending_ || now - last_wish_ms_ < kRequestIntervalMs) {
    requests_.CloseAfterSending(peer);
    return;
  }
  last_wish_ms_ = now;
  refusal_marker_ = MakeMarkerName();
  requests_.Send(peer, "wait " + std::string(kFunctionDir) + "/" + refusal_marker_);
  requests_.CloseAfterSending(peer);
  orders_.SendToAll(
      ToLine({{"event", "checkpoint_wished"}, {"instance", function_->instance}, {"pid", function_->pid}}));
}

void Slot::OnRequestClosed(uint64_t peer) {
  if (peer != requesting_peer_) return;
  requesting_peer_ = 0;
  if (!function_ || awaited_marker_.empty()) return;
  // Only now that the function has closed its end: a dump that came earlier would find an open connection.
  orders_.SendToAll(
      ToLine({{"event", "checkpoint_ready"}, {"instance", function_->instance}, {"pid", function_->pid}}));
}

}  // namespace thaw::init
