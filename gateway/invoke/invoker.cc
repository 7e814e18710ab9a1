#include "gateway/invoke/invoker.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/ids/ids.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"
#include "gateway/errors.h"
#include "gateway/invoke/headers.h"
#include "gateway/invoke/retry.h"

namespace thaw::gateway {
namespace {

// Beyond that the set is forgotten and learnt anew.
constexpr std::size_t kMaxLargeAnswerFunctions = 10000;

// The bytes stay counted as long as anything holds the body, an agent's RPC included.
struct CountedCall {
  Call call;
  BodyReservation bytes;
};

std::shared_ptr<const Call> Share(Call call, BodyReservation bytes) {
  const std::shared_ptr<const CountedCall> counted(new CountedCall{std::move(call), std::move(bytes)});
  return std::shared_ptr<const Call>(counted, &counted->call);
}

}  // namespace

// One call. It holds itself by the callbacks it waits for.
class Invoker::Run final : public Invocation, public std::enable_shared_from_this<Run> {
 public:
  Run(Invoker& invoker, std::shared_ptr<const Call> call, DoneCallback done)
      : invoker_(invoker),
        function_(call->function),
        pinned_node_(call->pinned_node),
        deadline_(call->deadline),
        protocol_(call->protocol),
        max_answer_bytes_(call->max_answer_bytes),
        call_id_(NewId()),
        started_(invoker.deps_.clock->Now()),
        call_(std::move(call)),
        done_(std::move(done)) {}

  void Begin() {
    invoker_.deps_.metrics->CallStarted();
    FindNode();
  }

  void Cancel() override {
    std::shared_ptr<AgentCall> agent_call;
    bool sending;
    LeaseTable::Ticket ticket;
    {
      absl::MutexLock lock(&mu_);
      cancelled_ = true;
      agent_call = agent_call_;
      sending = sending_;
      ticket = ticket_;
    }
    if (agent_call != nullptr) {
      // It then ends, and the call with it: until then the agent may still work on it.
      agent_call->Cancel();
    } else if (!sending) {
      GiveUpWaiting(ticket);
    }
  }

 private:
  void FindNode() {
    LeaseTable::Request request;
    request.function = function_;
    request.pinned_node = pinned_node_;
    request.excluded_nodes = excluded_;
    request.deadline = std::min(deadline_, started_ + invoker_.options_.start_allowance);
    request.patient = tries_ == 0;
    const LeaseTable::Ticket ticket = invoker_.deps_.leases->Find(
        std::move(request), [self = shared_from_this()](absl::StatusOr<Route> route) {
          if (!route.ok()) {
            self->OnNoRoute(route.status());
          } else {
            self->Send(std::move(*route));
          }
        });
    bool give_up;
    {
      absl::MutexLock lock(&mu_);
      // The route may have come already, and the next try's search with it.
      ticket_ = std::max(ticket_, ticket);
      give_up = cancelled_ && !sending_;
    }
    if (give_up) GiveUpWaiting(ticket);
  }

  // The call leaves the queue for a lease, so that it takes up neither its place there nor its body's memory.
  void GiveUpWaiting(LeaseTable::Ticket ticket) {
    invoker_.deps_.leases->Cancel(ticket);
    Finish(CallerGone(), AgentAnswer());
  }

  void OnNoRoute(const absl::Status& status) {
    // What a node said of this very call tells the caller more than that there is no other node; but that the
    // function is gone, or that the time is up, is news.
    if (tries_ > 0 && !absl::IsNotFound(status) && !absl::IsDeadlineExceeded(status)) {
      Finish(last_error_, AgentAnswer());
    } else {
      Finish(status, AgentAnswer());
    }
  }

  void Send(Route route) {
    const absl::Time now = invoker_.deps_.clock->Now();
    AgentRequest request;
    request.lease = route.lease();
    request.call_id = call_id_;
    request.deadline =
        std::min(deadline_, started_ + route.lease().call_timeout + invoker_.options_.start_allowance);
    if (request.deadline <= now) {
      Finish(TimedOutWaiting(function_.text()), AgentAnswer());
      return;
    }
    {
      absl::MutexLock lock(&mu_);
      sending_ = !cancelled_ && !finished_;
      if (sending_) {
        node_id_ = route.lease().node_id;
        request.call = call_;
      }
    }
    if (request.call == nullptr) {
      Finish(CallerGone(), AgentAnswer());
      return;
    }
    streamed_ = request.call->body.size() > invoker_.options_.max_unary_bytes ||
                invoker_.AnswersAreLarge(route.lease().function_id);
    request.stream = streamed_;
    ++tries_;
    const int this_try = tries_;
    auto agent_call = invoker_.deps_.agents->Invoke(
        std::move(request),
        [self = shared_from_this(), route = std::move(route)](AgentResult result) mutable {
          self->OnResult(std::move(route), std::move(result));
        });
    bool cancel = false;
    {
      absl::MutexLock lock(&mu_);
      // The result may have come already, and the next try with it.
      if (!finished_ && result_of_try_ < this_try) {
        agent_call_ = agent_call;
        cancel = cancelled_;
      }
    }
    if (cancel) agent_call->Cancel();
  }

  void OnResult(Route route, AgentResult result) {
    bool cancelled;
    {
      absl::MutexLock lock(&mu_);
      agent_call_ = nullptr;
      result_of_try_ = tries_;
      cancelled = cancelled_;
      sending_ = false;
    }
    const Invoker::Deps& deps = invoker_.deps_;
    if (result.status.ok()) {
      route.Answered(deps.clock->Now(), result.answer.start);
      absl::Status status;
      if (result.answer.status == 502) {
        status = FunctionFailed();
      } else if (result.answer.status == 504) {
        status = FunctionTimedOut();
      } else if (result.answer.status != 200) {
        status = MarkSent(WithReason(
            absl::InternalError(absl::StrCat("invalid function response: status ", result.answer.status)),
            reason::kFunctionBadAnswer));
      }
      Finish(std::move(status), std::move(result.answer));
      return;
    }
    const Lease& lease = route.lease();
    if (!streamed_ && ReasonOf(result.status) == reason::kFunctionAnswerTooLarge) {
      invoker_.NoteLargeAnswer(lease.function_id);
    }
    Verdict verdict = Judge(result, {.function = function_.text(),
                                     .node_id = lease.node_id,
                                     .elapsed = deps.clock->Now() - started_,
                                     .cancelled = cancelled});
    switch (verdict.drop) {
      case Verdict::Drop::kNothing:
        break;
      case Verdict::Drop::kLease:
        deps.leases->DropLease(lease);
        break;
      case Verdict::Drop::kNode:
        deps.leases->DropNode(lease.node_id);
        break;
    }
    // A pinned call has no other node; a lease that was stale can be replaced by one on the same node.
    const bool elsewhere = pinned_node_.empty() || !verdict.exclude_node;
    if (verdict.next == Verdict::Next::kEnd || tries_ >= invoker_.options_.max_tries || !elsewhere) {
      Finish(std::move(verdict.status), AgentAnswer());
      return;
    }
    deps.metrics->Retried(*verdict.cause);
    deps.log->info("event=retry call_id={} function={} node={} try={} error=\"{}\"", call_id_, lease.function_id,
                   lease.node_id, tries_, std::string(result.status.message()));
    last_error_ = std::move(verdict.status);
    if (verdict.exclude_node) excluded_.push_back(lease.node_id);
    FindNode();
  }

  void Finish(absl::Status status, AgentAnswer answer) {
    DoneCallback done;
    Outcome outcome;
    std::shared_ptr<const Call> body;
    {
      absl::MutexLock lock(&mu_);
      if (finished_) return;
      finished_ = true;
      done = std::move(done_);
      body = std::move(call_);
      agent_call_ = nullptr;
      outcome.node_id = node_id_;
    }
    outcome.status = std::move(status);
    outcome.call_id = call_id_;
    outcome.answer = std::move(answer);
    outcome.total = invoker_.deps_.clock->Now() - started_;
    if (outcome.status.ok() && outcome.answer.body.size() > max_answer_bytes_) {
      outcome.status = AnswerTooLarge(function_.text(), max_answer_bytes_,
                                      "call it with InvokeStream, or over HTTP");
    }
    if (absl::IsInternal(outcome.status) && ReasonOf(outcome.status) == reason::kInternal) {
      invoker_.deps_.log->error("event=call_failed call_id={} function={} node={} error=\"{}\"", call_id_,
                                function_.text(), outcome.node_id, std::string(outcome.status.message()));
    }
    invoker_.deps_.metrics->CallEnded(protocol_, outcome.status, outcome.answer.start.kind, outcome.total);
    body.reset();
    invoker_.deps_.admission->LeaveCall();
    done(std::move(outcome));
  }

  Invoker& invoker_;
  const FunctionName function_;
  const std::string pinned_node_;
  const absl::Time deadline_;
  const Protocol protocol_;
  const std::size_t max_answer_bytes_;
  const std::string call_id_;
  const absl::Time started_;
  // Touched by one callback after another, never by two at once.
  int tries_ = 0;
  std::vector<std::string> excluded_;
  bool streamed_ = false;
  absl::Status last_error_;

  absl::Mutex mu_;
  // With the body; null once the call has ended, though who asked for it still holds this.
  std::shared_ptr<const Call> call_ ABSL_GUARDED_BY(mu_);
  // Of the last search for a node.
  LeaseTable::Ticket ticket_ ABSL_GUARDED_BY(mu_) = 0;
  // An agent has the call, or is about to.
  bool sending_ ABSL_GUARDED_BY(mu_) = false;
  std::string node_id_ ABSL_GUARDED_BY(mu_);
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  int result_of_try_ ABSL_GUARDED_BY(mu_) = 0;
  std::shared_ptr<AgentCall> agent_call_ ABSL_GUARDED_BY(mu_);
  DoneCallback done_ ABSL_GUARDED_BY(mu_);
};

Invoker::Invoker(const Options& options, Deps deps) : options_(options), deps_(std::move(deps)) {}

absl::Status Invoker::Check(const Call& call) const {
  if (!call.pinned_node.empty() && !options_.allow_node_pinning) return NodePinningForbidden();
  if (call.body.size() > options_.max_body_bytes) {
    return BodyTooLarge(options_.max_body_bytes, "the operator sets the limit with --max-body-bytes");
  }
  if (HeaderBytes(call.headers) > options_.max_header_bytes) return HeadersTooLarge(options_.max_header_bytes);
  return absl::OkStatus();
}

std::shared_ptr<Invocation> Invoker::Start(Call call, DoneCallback done) {
  absl::Status admitted = Check(call);
  BodyReservation bytes(*deps_.admission);
  if (admitted.ok()) admitted = deps_.admission->EnterCall();
  if (admitted.ok()) {
    admitted = bytes.GrowTo(call.body.size());
    if (!admitted.ok()) deps_.admission->LeaveCall();
  }
  if (!admitted.ok()) {
    deps_.metrics->CallStarted();
    deps_.metrics->CallEnded(call.protocol, admitted, StartKind::kNone, absl::ZeroDuration());
    Outcome outcome;
    outcome.status = std::move(admitted);
    done(std::move(outcome));
    return nullptr;
  }
  auto run = std::make_shared<Run>(*this, Share(std::move(call), std::move(bytes)), std::move(done));
  run->Begin();
  return run;
}

bool Invoker::AnswersAreLarge(const std::string& function_id) {
  absl::MutexLock lock(&mu_);
  return !large_answers_.empty() && large_answers_.contains(function_id);
}

void Invoker::NoteLargeAnswer(const std::string& function_id) {
  absl::MutexLock lock(&mu_);
  if (large_answers_.size() >= kMaxLargeAnswerFunctions) large_answers_.clear();
  large_answers_.insert(function_id);
}

}  // namespace thaw::gateway
