#ifndef THAW_GATEWAY_INVOKE_AGENT_CLIENT_H_
#define THAW_GATEWAY_INVOKE_AGENT_CLIENT_H_

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gateway/invoke/call.h"
#include "gateway/routing/lease.h"

namespace thaw::gateway {

// What is known of a call that failed on its way to or from an agent.
enum class Delivery {
  // Certain: not one byte of it was given to a connection.
  kNotSent,
  // It was given to a connection, and the agent's own word is missing.
  kMaybeSent,
  // The agent answered, with a function's answer or with an error of its own: its status says all.
  kAnswered,
};

struct AgentRequest {
  Lease lease;
  std::string call_id;
  std::shared_ptr<const Call> call;
  // Bodies in parts, for large ones.
  bool stream = false;
  absl::Time deadline;
};

struct AgentResult {
  absl::Status status;
  Delivery delivery = Delivery::kAnswered;
  // Set when `status` is OK.
  AgentAnswer answer;
};

// A call under way.
class AgentCall {
 public:
  virtual ~AgentCall() = default;
  // Gives it up: it ends with CANCELLED, or as it would have. Threads: any.
  virtual void Cancel() = 0;
};

// The agents, as an invocation needs them. Threads: any.
class AgentClient {
 public:
  virtual ~AgentClient() = default;
  // Sends the call once: never again by itself, unless it is certain that the agent saw nothing of it. `done` comes
  // once, on any thread, maybe before Invoke() has returned.
  virtual std::shared_ptr<AgentCall> Invoke(AgentRequest request,
                                            absl::AnyInvocable<void(AgentResult)> done) = 0;
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_INVOKE_AGENT_CLIENT_H_
