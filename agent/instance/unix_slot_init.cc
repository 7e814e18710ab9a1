#include "agent/instance/unix_slot_init.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "agent/instance/diagnosis.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

using Json = nlohmann::json;

// Puts `given` into an order.
void Add(const Given& given, Json& order) {
  Json config = Json::object(), secrets = Json::object();
  for (const auto& [key, value] : given.config) config[key] = value.has_value() ? Json(*value) : Json();
  for (const auto& [name, value] : given.secrets) secrets[name] = absl::Base64Escape(value);
  order["config"] = std::move(config);
  order["secrets"] = std::move(secrets);
  order["sealed"] = given.sealed;
}

constexpr std::size_t kMaxLine = 1 << 20;
// Beyond an order's own time limit: init enforces the limit itself and then needs a moment to clean up and answer.
constexpr absl::Duration kAnswerGrace = absl::Seconds(5);

absl::StatusCode CodeFromName(const std::string& name) {
  for (int code = 1; code <= 16; ++code) {
    if (absl::StatusCodeToString(static_cast<absl::StatusCode>(code)) == name) return static_cast<absl::StatusCode>(code);
  }
  return absl::StatusCode::kInternal;
}

std::vector<thaw::common::v1::Finding> ReadFindings(const Json& answer) {
  std::vector<thaw::common::v1::Finding> findings;
  const auto list = answer.find("findings");
  if (list == answer.end() || !list->is_array()) return findings;
  for (const Json& item : *list) {
    if (!item.is_object()) continue;
    thaw::common::v1::Finding finding;
    finding.set_kind(ObstacleKindFromName(item.value("kind", "")));
    finding.set_what(item.value("what", ""));
    finding.set_pid(item.value("pid", 0));
    finding.set_fd(item.value("fd", -1));
    finding.set_remedy(item.value("remedy", ""));
    findings.push_back(std::move(finding));
  }
  return findings;
}

const char* ActionName(thaw::common::v1::ObstacleAction action) {
  switch (action) {
    case thaw::common::v1::OBSTACLE_ACTION_CLOSE: return "close";
    case thaw::common::v1::OBSTACLE_ACTION_REOPEN: return "reopen";
    default: return "ignore";
  }
}

absl::Duration Millis(const Json& json, const char* key) { return absl::Milliseconds(json.value(key, 0.0)); }

}  // namespace

// One connection: orders are written by their callers, answers and events are read by the loop's thread.
class Connection {
 public:
  explicit Connection(int fd) : fd_(fd) {}
  ~Connection() { close(fd_); }

  int fd() const { return fd_; }

  absl::StatusOr<Json> Order(Json order, absl::Duration limit) ABSL_LOCKS_EXCLUDED(mu_) {
    const std::string op = order.value("op", "");
    std::uint64_t id = 0;
    {
      absl::MutexLock lock(&mu_);
      if (closed_) return Gone(op);
      id = next_id_++;
      answers_.emplace(id, std::nullopt);
    }
    order["id"] = id;
    const std::string line = order.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    const absl::Time deadline = absl::Now() + limit;
    const absl::Status written = Write(line, deadline);
    absl::MutexLock lock(&mu_);
    if (!written.ok()) {
      answers_.erase(id);
      return written;
    }
    const auto answered = [this, id]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return closed_ || answers_[id].has_value(); };
    mu_.AwaitWithDeadline(absl::Condition(&answered), deadline);
    std::optional<Json> answer = std::move(answers_[id]);
    answers_.erase(id);
    if (!answer.has_value()) {
      if (closed_) return Gone(op);
      return absl::DeadlineExceededError(
          absl::StrCat("thaw-init did not answer '", op, "' within ", absl::FormatDuration(limit)));
    }
    if (answer->value("ok", false)) return *std::move(answer);
    const std::string log = answer->value("log", "");
    // A dump's log is kept with its findings; of a restore nothing is kept but the error's words.
    const bool log_in_words = !log.empty() && op != "dump";
    absl::Status status(CodeFromName(answer->value("code", "INTERNAL")),
                        absl::StrCat(answer->value("error", "no reason given"), log_in_words ? "; log: " : "",
                                     log_in_words ? log : ""));
    thaw::common::v1::Diagnosis diagnosis;
    for (thaw::common::v1::Finding& finding : ReadFindings(*answer)) *diagnosis.add_findings() = std::move(finding);
    diagnosis.set_raw_log(log);
    if (diagnosis.findings_size() > 0 || !log.empty()) AttachDiagnosis(diagnosis, status);
    return status;
  }

  void SetEventHandler(SlotInit::EventHandler handler) ABSL_LOCKS_EXCLUDED(handler_mu_) {
    absl::MutexLock lock(&handler_mu_);
    handler_ = std::move(handler);
    if (!handler_ || !held_wish_.has_value()) return;
    const InitEvent wish = *std::exchange(held_wish_, std::nullopt);
    handler_(wish);
  }

  // The function that wished has ended.
  void ForgetWish() ABSL_LOCKS_EXCLUDED(handler_mu_) {
    absl::MutexLock lock(&handler_mu_);
    held_wish_.reset();
  }

  // What arrived; false when the connection is to be given up. On the loop's thread.
  bool OnReadable() ABSL_LOCKS_EXCLUDED(mu_) {
    char buffer[16384];
    while (true) {
      const ssize_t got = recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
      if (got == 0) return false;
      if (got < 0) return errno == EAGAIN || errno == EINTR;
      input_.append(buffer, static_cast<std::size_t>(got));
      std::size_t end;
      while ((end = input_.find('\n')) != std::string::npos) {
        OnLine(input_.substr(0, end));
        input_.erase(0, end + 1);
      }
      if (input_.size() > kMaxLine) return false;
    }
  }

  // On the loop's thread.
  void OnClosed() ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      closed_ = true;
    }
    InitEvent event;
    event.kind = InitEvent::Kind::kDisconnected;
    Tell(event);
  }

 private:
  static absl::Status Gone(const std::string& op) {
    return absl::UnavailableError(absl::StrCat("thaw-init is gone, '", op, "' was not carried out: its container has ended"));
  }

  absl::Status Write(absl::string_view data, absl::Time deadline) ABSL_LOCKS_EXCLUDED(write_mu_) {
    absl::MutexLock lock(&write_mu_);
    while (!data.empty()) {
      const ssize_t put = send(fd_, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (put > 0) {
        data.remove_prefix(static_cast<std::size_t>(put));
        continue;
      }
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return absl::UnavailableError(absl::StrCat("thaw-init can't be written to: ", strerror(errno)));
      pollfd writable{fd_, POLLOUT, 0};
      const auto left = absl::ToInt64Milliseconds(deadline - absl::Now());
      if (left <= 0 || poll(&writable, 1, static_cast<int>(left)) == 0) {
        return absl::DeadlineExceededError("thaw-init does not read its orders");
      }
    }
    return absl::OkStatus();
  }

  void OnLine(const std::string& line) ABSL_LOCKS_EXCLUDED(mu_) {
    Json json = Json::parse(line, nullptr, false);
    if (!json.is_object()) return;
    if (json.contains("event")) {
      InitEvent event;
      const std::string name = json.value("event", "");
      if (name == "exit") {
        event.kind = InitEvent::Kind::kExit;
      } else if (name == "checkpoint_ready") {
        event.kind = InitEvent::Kind::kCheckpointReady;
      } else if (name == "checkpoint_wished") {
        event.kind = InitEvent::Kind::kCheckpointWished;
      } else {
        return;
      }
      event.instance_id = json.value("instance", "");
      event.pid = json.value("pid", 0);
      event.code = json.value("code", 0);
      event.signal = json.value("signal", "");
      event.out_of_memory = json.value("oom", false);
      Tell(event);
      return;
    }
    absl::MutexLock lock(&mu_);
    const auto it = answers_.find(json.value("id", std::uint64_t{0}));
    if (it != answers_.end()) it->second = std::move(json);
  }

  void Tell(const InitEvent& event) ABSL_LOCKS_EXCLUDED(handler_mu_) {
    absl::MutexLock lock(&handler_mu_);
    // A function may wish as soon as it runs, before its pool listens; it waits for the answer, so the wish
    // is kept.
    if (handler_) {
      handler_(event);
    } else if (event.kind == InitEvent::Kind::kCheckpointWished) {
      held_wish_ = event;
    } else if (event.kind == InitEvent::Kind::kExit) {
      held_wish_.reset();
    }
  }

  const int fd_;
  std::string input_;  // Of the loop's thread.
  absl::Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::uint64_t next_id_ ABSL_GUARDED_BY(mu_) = 1;
  absl::flat_hash_map<std::uint64_t, std::optional<Json>> answers_ ABSL_GUARDED_BY(mu_);
  absl::Mutex write_mu_;
  // Held while the handler runs, so that SetEventHandler() can promise that the old one is not running.
  absl::Mutex handler_mu_;
  SlotInit::EventHandler handler_ ABSL_GUARDED_BY(handler_mu_);
  std::optional<InitEvent> held_wish_ ABSL_GUARDED_BY(handler_mu_);
};

class UnixSlotInitConnector::Loop {
 public:
  Loop() : epoll_(epoll_create1(EPOLL_CLOEXEC)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = 0;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
    thread_ = std::thread([this] { Run(); });
  }

  ~Loop() {
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
    }
    const std::uint64_t one = 1;
    (void)!write(wake_, &one, sizeof one);
    thread_.join();
    close(wake_);
    close(epoll_);
  }

  std::uint64_t Watch(std::shared_ptr<Connection> connection) {
    absl::MutexLock lock(&mu_);
    const std::uint64_t key = next_key_++;
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP;
    event.data.u64 = key;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, connection->fd(), &event);
    connections_.emplace(key, std::move(connection));
    return key;
  }

  void Forget(std::uint64_t key) {
    std::shared_ptr<Connection> dropped;
    absl::MutexLock lock(&mu_);
    const auto it = connections_.find(key);
    if (it == connections_.end()) return;
    epoll_ctl(epoll_, EPOLL_CTL_DEL, it->second->fd(), nullptr);
    dropped = std::move(it->second);
    connections_.erase(it);
  }

 private:
  void Run() {
    epoll_event events[32];
    while (true) {
      const int count = epoll_wait(epoll_, events, 32, -1);
      for (int i = 0; i < count; ++i) {
        std::shared_ptr<Connection> connection;
        {
          absl::MutexLock lock(&mu_);
          if (stopping_) return;
          const auto it = connections_.find(events[i].data.u64);
          if (it == connections_.end()) continue;
          connection = it->second;
        }
        if (!connection->OnReadable()) {
          Forget(events[i].data.u64);
          connection->OnClosed();
        }
      }
    }
  }

  const int epoll_;
  const int wake_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::uint64_t next_key_ ABSL_GUARDED_BY(mu_) = 1;
  absl::flat_hash_map<std::uint64_t, std::shared_ptr<Connection>> connections_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

namespace {

class UnixSlotInit final : public SlotInit {
 public:
  UnixSlotInit(std::shared_ptr<Connection> connection, absl::AnyInvocable<void()> forget)
      : connection_(std::move(connection)), forget_(std::move(forget)) {}
  ~UnixSlotInit() override {
    connection_->SetEventHandler(nullptr);
    forget_();
  }

  void SetEventHandler(EventHandler handler) override { connection_->SetEventHandler(std::move(handler)); }

  absl::StatusOr<InitStatus> GetStatus(absl::Duration limit) override {
    ASSIGN_OR_RETURN(const Json answer, connection_->Order({{"op", "status"}}, limit));
    InitStatus status;
    const std::string state = answer.value("state", "");
    status.state = state == "running"     ? InitStatus::State::kRunning
                   : state == "dumping"   ? InitStatus::State::kDumping
                   : state == "restoring" ? InitStatus::State::kRestoring
                                          : InitStatus::State::kEmpty;
    status.init_version = answer.value("init_version", "");
    status.criu_version = answer.value("criu", "");
    status.pid = answer.value("pid", 0);
    status.instance_id = answer.value("instance", "");
    status.meta = answer.value("meta", "");
    status.rss_bytes = answer.value("rss_bytes", std::uint64_t{0});
    status.sealed = answer.value("sealed", false);
    return status;
  }

  absl::StatusOr<int> Start(const StartOrder& order, absl::Duration limit) override {
    Json start = {{"op", "start"},
                  {"argv", order.argv},
                  {"env", order.env},
                  {"cwd", order.working_dir},
                  {"uid", order.uid},
                  {"gid", order.gid},
                  {"privileged", order.privileged},
                  {"snapshot", order.snapshot_dir},
                  {"instance", order.instance_id},
                  {"meta", order.meta}};
    Add(order.given, start);
    ASSIGN_OR_RETURN(const Json answer, connection_->Order(std::move(start), limit));
    return answer.value("pid", 0);
  }

  absl::StatusOr<DumpReport> Save(const std::string& dir, absl::Duration limit) override {
    ASSIGN_OR_RETURN(const Json answer, connection_->Order({{"op", "save"}, {"dir", dir}}, limit));
    DumpReport report;
    report.image_bytes = answer.value("image_bytes", std::uint64_t{0});
    return report;
  }

  absl::StatusOr<std::vector<thaw::common::v1::Finding>> Look(absl::Duration limit) override {
    ASSIGN_OR_RETURN(const Json answer, connection_->Order({{"op", "look"}}, limit));
    return ReadFindings(answer);
  }

  absl::StatusOr<DumpReport> Dump(const DumpOrder& order) override {
    Json actions = Json::array();
    for (const auto& finding : order.actions) {
      actions.push_back({{"action", ActionName(finding.action())},
                         {"kind", ObstacleKindName(finding.kind())},
                         {"what", finding.what()},
                         {"pid", finding.pid()},
                         {"fd", finding.fd()}});
    }
    ASSIGN_OR_RETURN(const Json answer,
                     connection_->Order({{"op", "dump"},
                                         {"dir", order.dir},
                                         {"leave_running", order.leave_running},
                                         {"actions", actions},
                                         {"without_cures", order.without_cures},
                                         {"timeout_ms", absl::ToInt64Milliseconds(order.time_limit)}},
                                        order.time_limit + kAnswerGrace));
    DumpReport report;
    report.duration = Millis(answer, "duration_ms");
    report.frozen = Millis(answer, "frozen_ms");
    report.image_bytes = answer.value("image_bytes", std::uint64_t{0});
    report.stdout_pipe = answer.value("stdout_pipe", "");
    report.stderr_pipe = answer.value("stderr_pipe", "");
    report.resume_marker = answer.value("resume", "");
    report.uid = answer.value("uid", 0u);
    report.gid = answer.value("gid", 0u);
    return report;
  }

  absl::StatusOr<std::vector<ProcessRandomness>> Randomness(absl::Duration limit) override {
    ASSIGN_OR_RETURN(const Json answer, connection_->Order({{"op", "randomness"}}, limit));
    std::vector<ProcessRandomness> processes;
    for (const Json& json : answer.value("processes", Json::array())) {
      ProcessRandomness& process = processes.emplace_back();
      process.pid = json.value("pid", 0);
      process.program = json.value("program", "");
      process.is_static = json.value("static", false);
      process.go_version = json.value("go", "");
      process.go_generators = json.value("go_generators", 0);
      process.has_openssl = json.value("openssl", false);
      process.has_python = json.value("python", false);
      process.has_node = json.value("node", false);
      process.has_java = json.value("java", false);
      process.hidden_openssl = json.value("hidden_openssl", std::vector<std::string>());
      process.unreachable = json.value("unreachable", std::vector<std::string>());
      process.shim = json.value("shim", "");
    }
    return processes;
  }

  absl::Status Resume(absl::string_view why_not, absl::Duration limit) override {
    return connection_->Order({{"op", "resume"}, {"error", std::string(why_not)}}, limit).status();
  }

  absl::Status Refuse(absl::string_view why, absl::Duration limit) override {
    return connection_->Order({{"op", "refuse"}, {"error", std::string(why)}}, limit).status();
  }

  absl::StatusOr<int> Restore(const RestoreOrder& order) override {
    Json restore = {{"op", "restore"},
                    {"dir", order.dir},
                    {"stdout_pipe", order.stdout_pipe},
                    {"stderr_pipe", order.stderr_pipe},
                    {"resume", order.resume_marker},
                    {"uid", order.uid},
                    {"gid", order.gid},
                    {"instance", order.instance_id},
                    {"meta", order.meta},
                    {"timeout_ms", absl::ToInt64Milliseconds(order.time_limit)}};
    Add(order.given, restore);
    ASSIGN_OR_RETURN(const Json answer, connection_->Order(std::move(restore), order.time_limit + kAnswerGrace));
    return answer.value("pid", 0);
  }

  absl::Status Give(const Given& given, absl::Duration limit) override {
    Json give = {{"op", "give"}};
    Add(given, give);
    return connection_->Order(std::move(give), limit).status();
  }

  absl::Status Kill(const std::string& signal, absl::Duration grace) override {
    return connection_
        ->Order({{"op", "kill"}, {"signal", signal}, {"grace_ms", absl::ToInt64Milliseconds(grace)}},
                grace + kAnswerGrace)
        .status();
  }

  absl::Status Reset(absl::Duration limit) override {
    const absl::Status reset = connection_->Order({{"op", "reset"}}, limit).status();
    // Not another function's: the slot's next one has not been started yet.
    connection_->ForgetWish();
    return reset;
  }

 private:
  const std::shared_ptr<Connection> connection_;
  absl::AnyInvocable<void()> forget_;
};

absl::StatusOr<int> Dial(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat("socket path ", path, " is longer than ", sizeof address.sun_path - 1,
                                                   " bytes; use a shorter --data-dir"));
  }
  memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::ResourceExhaustedError(absl::StrCat("no socket for thaw-init: ", strerror(errno)));
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    close(fd);
    return absl::UnavailableError(absl::StrCat("thaw-init at ", path, " can't be reached: ", strerror(error)));
  }
  return fd;
}

}  // namespace

UnixSlotInitConnector::UnixSlotInitConnector() : loop_(std::make_unique<Loop>()) {}
UnixSlotInitConnector::~UnixSlotInitConnector() = default;

absl::StatusOr<std::unique_ptr<SlotInit>> UnixSlotInitConnector::Connect(const std::string& ctl_dir,
                                                                         absl::Time deadline) {
  const std::string path = absl::StrCat(ctl_dir, "/init.sock");
  absl::StatusOr<int> fd = Dial(path);
  while (absl::IsUnavailable(fd.status())) {
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(absl::StrCat(fd.status().message(), "; it did not come up in time"));
    }
    absl::SleepFor(absl::Milliseconds(2));
    fd = Dial(path);
  }
  RETURN_IF_ERROR(fd.status());
  auto connection = std::make_shared<Connection>(*fd);
  const std::uint64_t key = loop_->Watch(connection);
  auto init = std::make_unique<UnixSlotInit>(std::move(connection), [loop = loop_.get(), key] { loop->Forget(key); });
  RETURN_IF_ERROR(init->GetStatus(std::max(deadline - absl::Now(), absl::Milliseconds(100))).status());
  return init;
}

}  // namespace thaw::agent
