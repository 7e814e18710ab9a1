#ifndef THAW_TESTS_FAKES_FAKE_AGENT_CLIENT_H_
#define THAW_TESTS_FAKES_FAKE_AGENT_CLIENT_H_

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "gateway/invoke/agent_client.h"

namespace thaw::testing {

// An answer of status 200 from a warm instance.
inline gateway::AgentResult WarmAnswer(const std::string& body) {
  gateway::AgentResult result;
  result.answer.status = 200;
  result.answer.body = body;
  result.answer.start.kind = gateway::StartKind::kWarm;
  result.answer.start.instance_id = "instance-1";
  result.answer.start.function = absl::Milliseconds(1);
  return result;
}

inline gateway::AgentResult Failed(absl::Status status, gateway::Delivery delivery) {
  gateway::AgentResult result;
  result.status = std::move(status);
  result.delivery = delivery;
  return result;
}

// Agents that answer as the test says: by `on_invoke` if it is set, else calls wait in `waiting`. Threads: any.
class FakeAgentClient final : public gateway::AgentClient {
 public:
  using Done = absl::AnyInvocable<void(gateway::AgentResult)>;
  struct WaitingCall {
    gateway::AgentRequest request;
    Done done;
  };
  using OnInvoke = std::function<gateway::AgentResult(const gateway::AgentRequest&)>;

  std::shared_ptr<gateway::AgentCall> Invoke(gateway::AgentRequest request, Done done) override {
    OnInvoke answer;
    {
      absl::MutexLock lock(&mu_);
      nodes_.push_back(request.lease.node_id);
      answer = on_invoke_;
      if (answer == nullptr) waiting.push_back({std::move(request), std::move(done)});
    }
    if (answer != nullptr) done(answer(request));
    return std::make_shared<Call>(*this);
  }

  void set_on_invoke(OnInvoke answer) {
    absl::MutexLock lock(&mu_);
    on_invoke_ = std::move(answer);
  }

  // Answers the oldest waiting call.
  void Answer(gateway::AgentResult result) {
    Done done;
    {
      absl::MutexLock lock(&mu_);
      done = std::move(waiting.front().done);
      waiting.pop_front();
    }
    done(std::move(result));
  }

  // The nodes that were sent a call, in order.
  std::vector<std::string> nodes() const {
    absl::MutexLock lock(&mu_);
    return nodes_;
  }
  int cancels() const {
    absl::MutexLock lock(&mu_);
    return cancels_;
  }

  std::deque<WaitingCall> waiting;

 private:
  class Call final : public gateway::AgentCall {
   public:
    explicit Call(FakeAgentClient& client) : client_(client) {}
    void Cancel() override {
      absl::MutexLock lock(&client_.mu_);
      ++client_.cancels_;
    }

   private:
    FakeAgentClient& client_;
  };

  mutable absl::Mutex mu_;
  OnInvoke on_invoke_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> nodes_ ABSL_GUARDED_BY(mu_);
  int cancels_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_FAKES_FAKE_AGENT_CLIENT_H_
