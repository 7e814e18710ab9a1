#ifndef THAW_AGENT_CONTAINER_ENGINE_HTTP_H_
#define THAW_AGENT_CONTAINER_ENGINE_HTTP_H_

#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace thaw::agent {

struct EngineReply {
  int status = 0;
  std::string body;
};

// HTTP/1.1 to the engine's unix socket, one connection per exchange, each bounded by its deadline.
//
// Threads: any; the calling thread does the work. Errors: UNAVAILABLE (ENGINE_UNAVAILABLE) when the engine can't
// be reached or goes away before its answer is whole, DEADLINE_EXCEEDED, INTERNAL for what is not HTTP. A reply
// with any HTTP status is no error here.
class EngineHttp {
 public:
  // Gets parts of a body; its error ends the exchange and is returned.
  using Sink = absl::FunctionRef<absl::Status(absl::string_view)>;
  // Yields parts of a body; an empty one ends it.
  using Source = absl::FunctionRef<absl::StatusOr<std::string>()>;

  explicit EngineHttp(std::string socket_path) : socket_path_(std::move(socket_path)) {}

  const std::string& socket_path() const { return socket_path_; }

  // `body` is sent as JSON unless empty. The reply's body may be 64 MiB.
  absl::StatusOr<EngineReply> Exchange(absl::string_view method, absl::string_view target, const std::string& body,
                                       absl::Time deadline) const;

  // The body of a 2xx reply goes to `sink` in parts of up to 256 KiB, never held whole; any other one is in the
  // reply.
  absl::StatusOr<EngineReply> Download(absl::string_view method, absl::string_view target, Sink sink,
                                       absl::Time deadline) const;

  // POSTs what `source` yields, in chunks, as a tar archive. The engine may answer before it has read all; that
  // answer is returned then. On `source`'s error the connection is cut before the body's end, so that the engine
  // can't take what it got for the whole.
  absl::StatusOr<EngineReply> Upload(absl::string_view target, Source source, absl::Time deadline) const;

 private:
  const std::string socket_path_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_CONTAINER_ENGINE_HTTP_H_
