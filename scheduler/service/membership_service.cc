#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/status.h"
#include "scheduler/errors.h"
#include "scheduler/limits.h"
#include "scheduler/membership/cluster.h"
#include "scheduler/service/services.h"
#include "thaw/scheduler/v1/scheduler.grpc.pb.h"

namespace thaw::scheduler {
namespace {

// One node's stream.
//
// Messages are handled one after the other: the next is read when the last was dealt with, on gRPC's thread or, where
// it writes, on the store's executor. So nothing of a node overtakes anything else of it, and no more than one of its
// messages waits in this process.
class NodeStream final : public grpc::ServerBidiReactor<v1::NodeMessage, v1::SchedulerMessage>,
                         public NodeLink,
                         public std::enable_shared_from_this<NodeStream> {
 public:
  NodeStream(Cluster& cluster, Executor& writer, Timers& timers, grpc::CallbackServerContext* context)
      : cluster_(cluster), writer_(writer), timers_(timers), context_(context) {}

  // Begins to listen, or ends with `status`. Keeps this alive until the call is done.
  void Begin(absl::Status status) {
    self_ = shared_from_this();
    if (!status.ok()) {
      End(std::move(status));
      return;
    }
    const std::weak_ptr<NodeStream> weak = self_;
    const Timers::Id timer = timers_.RunAfter(limits::kRegisterTimeout, [weak] {
      if (const auto stream = weak.lock(); stream != nullptr) stream->OnRegisterTimeout();
    });
    absl::MutexLock lock(&mu_);
    register_timer_ = timer;
    Read();
  }

  // NodeLink.
  void Send(v1::SchedulerMessage message) override {
    absl::MutexLock lock(&mu_);
    if (!end_.ok() || finished_) return;
    if (queue_.size() >= limits::kMaxQueuedCommands) {
      end_ = absl::ResourceExhaustedError(absl::StrCat("the node is ", queue_.size(), " commands behind; register again"));
      Continue();
      return;
    }
    // A newer state of a version takes the place of one that still waits, at the end of the queue: what lies between
    // the two may be of the same version.
    if (message.has_version_state()) {
      const std::string& version_id = message.version_state().spec().version_id();
      if (const auto it = queued_states_.find(version_id); it != queued_states_.end()) queue_.erase(it->second);
      const auto position = queue_.insert(queue_.end(), std::move(message));
      queued_states_[position->version_state().spec().version_id()] = position;
    } else {
      queue_.push_back(std::move(message));
    }
    Continue();
  }
  void Close(absl::Status status) override { End(std::move(status)); }

  void OnReadDone(bool ok) override {
    const auto self = shared_from_this();
    if (!ok) {
      Disconnect();
      // An agent that half-closes has nothing more to say.
      EndWith(grpc::Status::OK);
      return;
    }
    if (!CurrentSession().has_value() || Cluster::NeedsWriter(incoming_)) {
      absl::Status added = writer_.Add([self] { self->HandleIncoming(); });
      if (!added.ok()) End(std::move(added));
    } else {
      HandleIncoming();
    }
  }
  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    if (!ok && end_.ok()) end_ = absl::CancelledError("the node is gone");
    Continue();
  }
  void OnCancel() override { End(absl::CancelledError("the node is gone")); }
  void OnDone() override {
    Disconnect();
    Timers::Id timer = 0;
    {
      absl::MutexLock lock(&mu_);
      std::swap(timer, register_timer_);
      done_ = true;
    }
    if (timer != 0) timers_.Cancel(timer);
    self_.reset();
  }

 private:
  // Deals with `incoming_`, then reads on. Only one thread at a time is here, or in OnReadDone().
  void HandleIncoming() {
    absl::Status status;
    if (const auto session = CurrentSession(); session.has_value()) {
      status = cluster_.OnMessage(*session, incoming_);
    } else if (!incoming_.has_register_()) {
      status = errors::InvalidField("message", "is not a registration; a node's first message must be `register`");
    } else {
      Timers::Id timer = 0;
      {
        absl::MutexLock lock(&mu_);
        std::swap(timer, register_timer_);
      }
      if (timer != 0) timers_.Cancel(timer);
      absl::StatusOr<Cluster::Session> connected = cluster_.Connect(incoming_.register_(), shared_from_this());
      if (connected.ok()) {
        absl::MutexLock lock(&mu_);
        session_ = *std::move(connected);
      } else {
        status = connected.status();
      }
    }
    if (!status.ok()) End(std::move(status));
    bool gone = false;
    {
      absl::MutexLock lock(&mu_);
      gone = done_ || finished_;
      if (!gone) Read();
    }
    // The call may have ended while this was registering it.
    if (gone) Disconnect();
  }

  void OnRegisterTimeout() {
    End(absl::DeadlineExceededError(absl::StrCat("the node did not register within ",
                                                 absl::FormatDuration(limits::kRegisterTimeout))));
  }

  std::optional<Cluster::Session> CurrentSession() {
    absl::MutexLock lock(&mu_);
    return session_;
  }

  void Disconnect() {
    std::optional<Cluster::Session> session;
    {
      absl::MutexLock lock(&mu_);
      if (disconnected_) return;
      session = session_;
      if (session.has_value()) disconnected_ = true;
    }
    if (session.has_value()) cluster_.Disconnect(*session);
  }

  void End(absl::Status status) {
    absl::MutexLock lock(&mu_);
    if (end_.ok()) end_ = std::move(status);
    // A node that does not read would keep the call open for ever: its last message is given up.
    if (writing_ && !finished_) context_->TryCancel();
    Continue();
  }
  void EndWith(const grpc::Status& status) {
    absl::MutexLock lock(&mu_);
    if (finished_) return;
    if (end_.ok()) end_ = absl::CancelledError("the node ended its stream");
    if (writing_) return;
    finished_ = true;
    Finish(status);
  }

  void Read() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    incoming_.Clear();
    StartRead(&incoming_);
  }

  // Sends the next command, or finishes, when none is on its way.
  void Continue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (writing_ || finished_) return;
    if (!end_.ok()) {
      finished_ = true;
      queue_.clear();
      queued_states_.clear();
      Finish(ToGrpcStatus(end_));
      return;
    }
    if (queue_.empty()) return;
    if (queue_.front().has_version_state()) {
      const auto it = queued_states_.find(queue_.front().version_state().spec().version_id());
      if (it != queued_states_.end() && it->second == queue_.begin()) queued_states_.erase(it);
    }
    outgoing_ = std::move(queue_.front());
    queue_.pop_front();
    writing_ = true;
    StartWrite(&outgoing_);
  }

  Cluster& cluster_;
  Executor& writer_;
  Timers& timers_;
  grpc::CallbackServerContext* const context_;
  std::shared_ptr<NodeStream> self_;
  // gRPC's while a read is out.
  v1::NodeMessage incoming_;

  absl::Mutex mu_;
  // Set once, when the node has registered.
  std::optional<Cluster::Session> session_ ABSL_GUARDED_BY(mu_);
  std::list<v1::SchedulerMessage> queue_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, std::list<v1::SchedulerMessage>::iterator> queued_states_ ABSL_GUARDED_BY(mu_);
  // Not OK once the call is to end.
  absl::Status end_ ABSL_GUARDED_BY(mu_);
  Timers::Id register_timer_ ABSL_GUARDED_BY(mu_) = 0;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  bool disconnected_ ABSL_GUARDED_BY(mu_) = false;
  bool done_ ABSL_GUARDED_BY(mu_) = false;
  // gRPC's while `writing_`.
  v1::SchedulerMessage outgoing_;
};

class MembershipService final : public v1::Membership::CallbackService {
 public:
  MembershipService(Scheduler& scheduler, const Security& security, Timers& timers)
      : scheduler_(scheduler), security_(security), timers_(timers) {}

  grpc::ServerBidiReactor<v1::NodeMessage, v1::SchedulerMessage>* Connect(
      grpc::CallbackServerContext* context) override {
    auto stream = std::make_shared<NodeStream>(scheduler_.cluster(), scheduler_.writer(), timers_, context);
    stream->Begin(security_.CheckToken(*context));
    return stream.get();
  }

 private:
  Scheduler& scheduler_;
  const Security& security_;
  Timers& timers_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewMembershipService(Scheduler& scheduler, const Security& security, Timers& timers) {
  return std::make_unique<MembershipService>(scheduler, security, timers);
}

}  // namespace thaw::scheduler
