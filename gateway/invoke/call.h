#ifndef THAW_GATEWAY_INVOKE_CALL_H_
#define THAW_GATEWAY_INVOKE_CALL_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gateway/routing/lease.h"

namespace thaw::gateway {

struct Header {
  std::string name;
  std::string value;
};

enum class Protocol { kHttp, kGrpc };
inline constexpr int kProtocols = 2;

// One invocation as a client sent it, whichever way it came.
struct Call {
  FunctionName function;
  std::string body;
  std::string content_type;
  // Already without the hop-by-hop ones (FunctionHeaders()).
  std::vector<Header> headers;
  // The caller's; the gateway may end it earlier.
  absl::Time deadline = absl::InfiniteFuture();
  // Empty for any.
  std::string pinned_node;
  Protocol protocol = Protocol::kGrpc;
  // The largest answer the client can be given.
  std::size_t max_answer_bytes = 64u << 20;
};

// How an instance came to be.
enum class StartKind { kNone, kWarm, kRestored, kRestoredRemote, kCold };
inline constexpr int kStartKinds = 5;

// `none`, `warm`, `restored`, `restored-remote` or `cold`: the values of Thaw-Start and of the metrics' label.
const char* StartKindName(StartKind kind);

// How the instance that answered came to be, and where the time went.
struct Start {
  StartKind kind = StartKind::kNone;
  std::string instance_id;
  // Why a snapshot was not used although one was there; empty otherwise.
  std::string fallback_reason;
  absl::Duration queue, container, fetch, restore, function;
};

// What an agent passes on from a function.
struct AgentAnswer {
  // 200, 502 (the function failed) or 504 (it timed out by its own account); 0 when there was no answer.
  int status = 0;
  std::string content_type;
  std::vector<Header> headers;
  std::string body;
  Start start;
};

// How a call ended.
struct Outcome {
  // OK when the function answered 200. Otherwise with a reason (common/status/reasons.h), unless it was cancelled.
  absl::Status status;
  // Empty when no call came to be (it was refused at the door).
  std::string call_id;
  // The node that was asked last, if any.
  std::string node_id;
  // Set when a function answered, with 502 and 504 too.
  AgentAnswer answer;
  // From the gateway's sight.
  absl::Duration total;
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_INVOKE_CALL_H_
