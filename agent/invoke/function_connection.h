#ifndef THAW_AGENT_INVOKE_FUNCTION_CONNECTION_H_
#define THAW_AGENT_INVOKE_FUNCTION_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace thaw::agent {

struct FunctionRequest {
  std::string method = "POST";
  // `/call` for the user's calls.
  std::string target = "/call";
  // As headers.h makes them. Host, Connection and what frames the body are the connection's to say; those are left
  // out here.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  absl::Time deadline;
};

struct FunctionReply {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

struct FunctionLimits {
  std::uint64_t max_answer_bytes = 64ull << 20;
  std::uint64_t max_answer_header_bytes = 64ull << 10;
};

// One HTTP/1.1 conversation at a time with one instance over its unix socket (Fn's http-stream contract).
//
// The connection is dialled on first use and kept between calls; an idle one that the function closed meanwhile
// is dialled anew, which is safe as nothing had been sent on it. Threads: any, but one call at a time.
class FunctionConnection {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<FunctionReply>)>;

  virtual ~FunctionConnection() = default;

  // Calls `done` once, on a thread of the connections' own, which it must not block: other connections live on that
  // thread, too. Never before Call() has returned. Errors (with reasons of common/status/reasons.h; marked by MarkSent()
  // where a byte has left):
  //
  //   UNAVAILABLE          the socket can't be reached, or was closed before a byte had left; nothing was sent
  //   DEADLINE_EXCEEDED    no whole answer by `deadline` (FUNCTION_TIMEOUT)
  //   INTERNAL             not HTTP (FUNCTION_BAD_ANSWER; also, with nothing sent, when lsnr.sock leads elsewhere), too
  //                        large (FUNCTION_ANSWER_TOO_LARGE), or the connection broke (FUNCTION_EXITED: the caller who
  //                        knows better may refine it)
  //   CANCELLED            Close() was called, or the connection was destroyed
  //   INVALID_ARGUMENT     the request has a name or value that HTTP can't carry; nothing was sent
  //   FAILED_PRECONDITION  another call is under way, which goes on; nothing was sent
  // After any error but the last two the connection is closed.
  virtual void Call(FunctionRequest request, Done done) = 0;

  // Closes the connection, at once: the function may be frozen when this has returned. A call under way ends with
  // CANCELLED. The next Call() dials again.
  virtual void Close() = 0;
};

class FunctionDialer {
 public:
  virtual ~FunctionDialer() = default;

  // A connection to the socket that `iofs_dir`/lsnr.sock leads to; the dialer outlives it. The function owns that
  // directory, so the link is not trusted: it must name a socket in the same directory, and what is dialled is what was
  // checked.
  virtual std::unique_ptr<FunctionConnection> NewConnection(const std::string& iofs_dir) = 0;

  // Blocks until `iofs_dir`/lsnr.sock is there and leads to a socket, `deadline` (DEADLINE_EXCEEDED, reason
  // FUNCTION_NEVER_LISTENED), or until `alive` (asked every 20 ms at least) says no (INTERNAL, FUNCTION_EXITED).
  // INTERNAL with FUNCTION_BAD_ANSWER when the link leads elsewhere.
  virtual absl::Status AwaitListener(const std::string& iofs_dir, absl::Time deadline,
                                     absl::AnyInvocable<bool()> alive) = 0;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_INVOKE_FUNCTION_CONNECTION_H_
