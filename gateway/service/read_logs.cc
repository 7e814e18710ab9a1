#include "gateway/service/read_logs.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/status.h"
#include "gateway/errors.h"
#include "gateway/routing/lease.h"
#include "gateway/service/cluster_nodes.h"
#include "gateway/service/find_function.h"
#include "gateway/service/log_merge.h"
#include "thaw/agent/v1/agent.grpc.pb.h"

namespace thaw::gateway {
namespace {

// A day: a forgotten `follow` ends some time.
constexpr absl::Duration kLongestFollow = absl::Hours(24);

std::string NoteLine(absl::string_view text) {
  return absl::StrCat(absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone()), " - thaw ", text);
}

class Reading;

// One node's stream. A hold keeps it open between reads, which come from other streams' reactions.
class NodeLog final : public grpc::ClientReadReactor<agent::v1::LogLine> {
 public:
  NodeLog(std::shared_ptr<Reading> reading, std::string node_id) : reading_(std::move(reading)), node_id_(std::move(node_id)) {}

  void Begin(const std::shared_ptr<grpc::Channel>& channel, const Security& security, absl::Time deadline,
             const agent::v1::ReadLogsRequest& request) {
    request_ = request;
    stub_ = agent::v1::Functions::NewStub(channel);
    PrepareCall(context_, security, deadline);
    stub_->async()->ReadLogs(&context_, &request_, this);
    AddHold();
    StartRead(&line_);
    StartCall();
  }
  void Next() { StartRead(&line_); }
  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  std::shared_ptr<Reading> reading_;
  const std::string node_id_;
  std::unique_ptr<agent::v1::Functions::Stub> stub_;
  grpc::ClientContext context_;
  agent::v1::ReadLogsRequest request_;
  agent::v1::LogLine line_;
};

// One ReadLogs call. Each stream and each callback holds it; the inbound side lets go in OnDone().
class Reading final : public grpc::ServerWriteReactor<v1::LogLine>, public std::enable_shared_from_this<Reading> {
 public:
  Reading(grpc::CallbackServerContext& context, const v1::ReadLogsRequest& request, ReadLogsDeps deps)
      : request_(request), deps_(deps), deadline_(DeadlineOf(context, kLongestFollow)) {}

  void Begin() {
    self_ = shared_from_this();
    const auto name = MakeFunctionName(request_.function().id(), request_.function().path());
    if (!name.ok()) {
      End(name.status());
      return;
    }
    const std::shared_ptr<grpc::ClientContext> question = BeginQuestion();
    if (question == nullptr) return;
    FindFunction(*deps_.catalogue, question, *name,
                 [self = self_](absl::StatusOr<::thaw::common::v1::Function> function) {
                   if (!function.ok()) {
                     self->End(function.status());
                   } else {
                     self->function_id_ = function->id();
                     self->ListNodes(/*first=*/true);
                   }
                   self->EndQuestion();
                 });
  }

  // From the nodes' streams.
  void OnLine(const std::string& node_id, std::string text) {
    NodeLog* again = nullptr;
    {
      absl::MutexLock lock(&mu_);
      if (!merge_.Push(node_id, std::move(text))) again = logs_[node_id].get();
    }
    if (again != nullptr) {
      again->Next();
    } else {
      Pump();
    }
  }
  void OnNodeEnd(const std::string& node_id, const absl::Status& status, std::unique_ptr<NodeLog>& ended) {
    {
      absl::MutexLock lock(&mu_);
      if (!status.ok() && !ended_ && !absl::IsNotFound(status) && !absl::IsCancelled(status)) {
        // NOT_FOUND: the node has never run it.
        (void)merge_.Push(node_id, NoteLine(absl::StrCat("the log of node ", node_id, " can't be read: ", status.message())));
      }
      merge_.End(node_id);
      const auto it = logs_.find(node_id);
      ended = std::move(it->second);
      logs_.erase(it);
    }
    Pump();
  }

  void OnWriteDone(bool ok) override {
    {
      absl::MutexLock lock(&mu_);
      writing_ = false;
      FinishIfQuiet();
    }
    if (!ok) {
      End(CallerGone());
    } else {
      Pump();
    }
  }
  void OnCancel() override { End(CallerGone()); }
  void OnDone() override { self_.reset(); }

 private:
  // The context for a question to the scheduler, or null when the call has ended. Until EndQuestion() the inbound
  // call is not finished: what deps_ points at may go once it is, and the question and its callback need it.
  std::shared_ptr<grpc::ClientContext> BeginQuestion() {
    auto context = std::make_shared<grpc::ClientContext>();
    {
      absl::MutexLock lock(&mu_);
      if (ended_) return nullptr;
      ++open_questions_;
      question_ = context;
    }
    PrepareCall(*context, deps_.channels->security(), std::min(deadline_, absl::Now() + deps_.request_limit));
    return context;
  }
  // The last that a question's callback does.
  void EndQuestion() {
    absl::MutexLock lock(&mu_);
    --open_questions_;
    FinishIfQuiet();
  }

  void ListNodes(bool first) {
    const std::shared_ptr<grpc::ClientContext> question = BeginQuestion();
    if (question == nullptr) return;
    ListReachableNodes(*deps_.catalogue, question,
                       [self = shared_from_this(), first](absl::StatusOr<std::vector<ClusterNode>> nodes) {
                         if (nodes.ok()) self->AddNodes(*nodes);
                         if (nodes.ok() || !first) {
                           self->After(first);
                         } else {
                           self->End(nodes.status());
                         }
                         self->EndQuestion();
                       });
  }

  void After(bool first) {
    if (first) {
      {
        absl::MutexLock lock(&mu_);
        if (ended_) return;
        listed_ = true;
      }
      deps_.timers->RunAfter(deps_.settle, [weak = weak_from_this()] {
        auto self = weak.lock();
        if (self == nullptr) return;
        {
          absl::MutexLock lock(&self->mu_);
          self->merge_.Settle();
        }
        self->Pump();
      });
      Pump();
    }
    if (!request_.follow()) return;
    deps_.timers->RunAfter(deps_.refresh, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (self == nullptr) return;
      {
        absl::MutexLock lock(&self->mu_);
        if (self->ended_) return;
      }
      self->ListNodes(/*first=*/false);
    });
  }

  void AddNodes(const std::vector<ClusterNode>& nodes) {
    agent::v1::ReadLogsRequest question;
    question.set_function_id(function_id_);
    question.set_tail(request_.tail());
    question.set_follow(request_.follow());
    std::vector<std::pair<NodeLog*, std::string>> begun;
    {
      // All become sources of the merge before any of them gives a line: a quick node's second line must wait for the
      // first one of a node that is asked a moment later.
      absl::MutexLock lock(&mu_);
      for (const ClusterNode& node : nodes) {
        if (ended_ || merge_.Has(node.id())) continue;
        auto& slot = logs_[node.id()];
        if (slot != nullptr) continue;
        merge_.Add(node.id());
        slot = std::make_unique<NodeLog>(shared_from_this(), node.id());
        begun.emplace_back(slot.get(), node.address());
      }
    }
    // None of them can go before it was begun: only the end of its stream takes a log away.
    for (const auto& [log, address] : begun) {
      log->Begin(deps_.channels->Get(address), deps_.channels->security(), deadline_, question);
    }
  }

  // Writes the next line if there is one and none is being written; finishes when all is written.
  void Pump() {
    NodeLog* next = nullptr;
    {
      absl::MutexLock lock(&mu_);
      if (ended_ || writing_) return;
      auto line = merge_.Pop();
      if (line.has_value()) {
        const auto it = logs_.find(line->node_id);
        // A node that has ended has no stream; its last lines come out all the same.
        if (it != logs_.end() && merge_.Has(line->node_id)) next = it->second.get();
        out_.set_node_id(std::move(line->node_id));
        out_.set_line(std::move(line->text));
        writing_ = true;
        // Started under the lock (it only queues), so that no Finish() comes before it.
        StartWrite(&out_);
      } else if (listed_ && merge_.done() && !request_.follow()) {
        ended_ = true;
        FinishIfQuiet();
      }
    }
    if (next != nullptr) next->Next();
  }

  void End(const absl::Status& status) {
    absl::MutexLock lock(&mu_);
    if (ended_) return;
    ended_ = true;
    // Under the lock: a stream leaves logs_ before it goes.
    for (auto& [node_id, log] : logs_) log->Cancel();
    if (question_ != nullptr) question_->TryCancel();
    end_status_ = ToGrpcStatus(status);
    FinishIfQuiet();
  }

  // The last end of a write or of a question finishes.
  void FinishIfQuiet() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!ended_ || writing_ || open_questions_ > 0 || std::exchange(finished_, true)) return;
    Finish(end_status_);
  }

  const v1::ReadLogsRequest request_;
  const ReadLogsDeps deps_;
  const absl::Time deadline_;
  std::string function_id_;
  std::shared_ptr<Reading> self_;

  absl::Mutex mu_;
  bool listed_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  // With which it is finished once it has ended.
  grpc::Status end_status_ ABSL_GUARDED_BY(mu_);
  // To the scheduler; two at most: one is asked in the callback of the one before.
  int open_questions_ ABSL_GUARDED_BY(mu_) = 0;
  // The last one.
  std::shared_ptr<grpc::ClientContext> question_ ABSL_GUARDED_BY(mu_);
  LogMerge merge_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::unique_ptr<NodeLog>> logs_ ABSL_GUARDED_BY(mu_);
  v1::LogLine out_;
};

void NodeLog::OnReadDone(bool ok) {
  if (ok) {
    reading_->OnLine(node_id_, std::move(*line_.mutable_line()));
  } else {
    RemoveHold();
  }
}

void NodeLog::OnDone(const grpc::Status& status) {
  auto reading = std::move(reading_);
  std::unique_ptr<NodeLog> ended;
  reading->OnNodeEnd(node_id_, FromGrpcStatus(status), ended);
}

}  // namespace

grpc::ServerWriteReactor<v1::LogLine>* StartReadLogs(grpc::CallbackServerContext& context,
                                                     const v1::ReadLogsRequest& request, ReadLogsDeps deps) {
  auto reading = std::make_shared<Reading>(context, request, deps);
  reading->Begin();
  return reading.get();
}

}  // namespace thaw::gateway
