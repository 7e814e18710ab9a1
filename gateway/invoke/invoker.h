#ifndef THAW_GATEWAY_INVOKE_INVOKER_H_
#define THAW_GATEWAY_INVOKE_INVOKER_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "gateway/invoke/admission.h"
#include "gateway/invoke/agent_client.h"
#include "gateway/invoke/call.h"
#include "gateway/metrics.h"
#include "gateway/routing/lease_table.h"
#include "spdlog/logger.h"

namespace thaw::gateway {

// A call under way.
class Invocation {
 public:
  virtual ~Invocation() = default;
  // The caller has gone: the call ends with CANCELLED (an answer that is already there may still win). One that
  // waits for a lease ends at once. Threads: any.
  virtual void Cancel() = 0;
};

// Takes calls through: checks them, finds a node, sends them once, and to another node only where
// invoke/retry.h allows it.
//
// Deadlines: a call ends at the caller's deadline, and at the latest Options::start_allowance after its function's own
// timeout. The agent gets that as the RPC's deadline; the function's timeout proper, which counts from the moment an
// instance takes the call, is the agent's to keep. The allowance is for queueing and for starting an instance.
//
// Memory: a body's bytes count (Admission) until nothing holds it any more; a call that has ended does not.
//
// Threads: any; nothing blocks. It must outlive its calls (Admission::calls() is 0 when all have ended).
class Invoker {
 public:
  struct Options {
    std::size_t max_body_bytes = 64u << 20;
    std::size_t max_header_bytes = 64u << 10;
    // Larger bodies go to the agent in parts.
    std::size_t max_unary_bytes = 2u << 20;
    absl::Duration start_allowance = absl::Seconds(60);
    // Nodes that one call may be sent to in turn.
    int max_tries = 3;
    bool allow_node_pinning = false;
  };
  // All must outlive the invoker.
  struct Deps {
    std::shared_ptr<LeaseTable> leases;
    AgentClient* agents;
    Admission* admission;
    const Clock* clock;
    GatewayMetrics* metrics;
    std::shared_ptr<spdlog::logger> log;
  };
  using DoneCallback = absl::AnyInvocable<void(Outcome)>;

  Invoker(const Options& options, Deps deps);

  // `done` comes once, on any thread, maybe before Start() has returned. Besides what the scheduler and the agents say:
  //
  //   PERMISSION_DENIED    a node is named and the operator does not allow it (NODE_PINNING_FORBIDDEN)
  //   RESOURCE_EXHAUSTED   body or headers too large, or too many calls in flight (BODY_TOO_LARGE, HEADERS_TOO_LARGE,
  //                        QUEUE_FULL)
  //   DEADLINE_EXCEEDED    see above (FUNCTION_TIMEOUT)
  //   UNAVAILABLE          no node took it (NO_NODE_READY), or no scheduler to ask (SCHEDULER_UNAVAILABLE)
  //   ABORTED              it may have run and its answer is lost (ANSWER_LOST)
  //   INTERNAL             the function answered 502 (FUNCTION_FAILED) or broke its contract
  //   CANCELLED            Cancel()
  std::shared_ptr<Invocation> Start(Call call, DoneCallback done);

  const Options& options() const { return options_; }

 private:
  class Run;

  absl::Status Check(const Call& call) const;
  bool AnswersAreLarge(const std::string& function_id) ABSL_LOCKS_EXCLUDED(mu_);
  void NoteLargeAnswer(const std::string& function_id) ABSL_LOCKS_EXCLUDED(mu_);

  const Options options_;
  const Deps deps_;

  absl::Mutex mu_;
  // Functions that once had an answer which was too large for a unary RPC: their calls are streamed.
  absl::flat_hash_set<std::string> large_answers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_INVOKE_INVOKER_H_
