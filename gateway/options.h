#ifndef THAW_GATEWAY_OPTIONS_H_
#define THAW_GATEWAY_OPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/rpc/security.h"

namespace thaw::gateway {

// What an operator sets; main() fills it from flags and the environment.
struct Options {
  // gRPC, host:port; port 0 chooses one. As for `http_listen`.
  std::string listen = "127.0.0.1:7000";
  // HTTP/1.1 in clear: calls, /healthz, /readyz, /metrics.
  std::string http_listen = "127.0.0.1:8080";
  // The same with TLS, with the certificate of `security`; empty for none.
  std::string https_listen;
  // host:port of the scheduler.
  std::string scheduler = "127.0.0.1:7100";
  bool allow_node_pinning = false;
  std::uint64_t max_body_bytes = 64u << 20;
  std::uint64_t max_header_bytes = 64u << 10;
  // Calls in flight, over all functions and callers.
  int max_concurrent_calls = 10000;
  // Bytes of request bodies held in memory, over all calls.
  std::uint64_t max_buffered_bytes = 1u << 30;
  int max_http_connections = 4096;
  int http_threads = 2;
  // A connection without a request.
  absl::Duration http_idle_limit = absl::Seconds(75);
  // From a request's first byte to the end of its headers; also the longest silence within a body, in gRPC's
  // InvokeStream too.
  absl::Duration http_read_limit = absl::Seconds(15);
  // Added to a function's timeout for queueing and for starting an instance: a call's latest end.
  absl::Duration start_allowance = absl::Seconds(60);
  // How long calls under way may go on after SIGTERM.
  absl::Duration drain_limit = absl::Seconds(10);
  std::string log_level = "info";
  // Written, whole, once all listeners are there: `grpc=<port>`, `http=<port>` and, where there is one,
  // `https=<port>`, a line each. Empty for none.
  std::string port_file;
  SecurityOptions security;

  // INVALID_ARGUMENT with the flag's name and what it takes.
  absl::Status Validate() const;
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_OPTIONS_H_
