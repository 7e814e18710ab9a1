#ifndef THAW_AGENT_INVOKE_HEADERS_H_
#define THAW_AGENT_INVOKE_HEADERS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agent/invoke/function_connection.h"

namespace thaw::agent {

using Headers = std::vector<std::pair<std::string, std::string>>;

// What HTTP allows as a header's name (a token) and as its value (no line ends, no NUL).
bool IsHeaderName(absl::string_view name);
bool IsHeaderValue(absl::string_view value);

// Meant for one connection and never passed on: Connection, Proxy-Connection, Keep-Alive, Proxy-Authenticate,
// Proxy-Authorization, TE (unless "trailers"), Trailer, Transfer-Encoding, Upgrade.
bool IsHopByHop(absl::string_view name, absl::string_view value);

// The headers a function gets for a call by Fn's http-stream contract: the caller's without the hop-by-hop ones, those
// that its Connection header names, Expect, Content-Length and what HTTP can't carry; then Fn-Call-Id and Fn-Deadline
// (RFC 3339, UTC with "Z", whole seconds), whatever the caller said of them; and Content-Type, where `content_type` is
// not empty, in place of the caller's.
Headers FunctionHeaders(const Headers& caller, absl::string_view call_id, absl::Time deadline,
                        absl::string_view content_type);

// The headers of a function's answer that go on to its caller: all but the hop-by-hop ones and Content-Length.
Headers AnswerHeaders(const FunctionReply& reply);

// The first one of that name, in any case, or "".
std::string FindHeader(const Headers& headers, absl::string_view name);

// What a function's whole answer means by Fn's contract.
enum class ReplyKind {
  // 200
  kOk,
  // 502: the user's code failed. The instance goes on; its caller gets 502 "function failed".
  kFunctionFailed,
  // 504: timed out by its own account. The instance goes on; its caller gets 504 "Timed out".
  kFunctionTimedOut,
  // Any other status: the FDK broke the contract and the instance is not used again; its caller gets 502 "invalid
  // function response".
  kBadStatus,
};

ReplyKind KindOf(const FunctionReply& reply);

// Whether the instance that gave such an answer takes further calls.
bool InstanceGoesOn(ReplyKind kind);

// OK for kOk; INTERNAL (FUNCTION_FAILED), DEADLINE_EXCEEDED (FUNCTION_TIMEOUT), INTERNAL (FUNCTION_BAD_ANSWER) for the
// others, marked as sent.
absl::Status StatusOf(const FunctionReply& reply);

}  // namespace thaw::agent

#endif  // THAW_AGENT_INVOKE_HEADERS_H_
