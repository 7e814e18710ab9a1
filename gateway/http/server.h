#ifndef THAW_GATEWAY_HTTP_SERVER_H_
#define THAW_GATEWAY_HTTP_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/security.h"
#include "gateway/invoke/admission.h"
#include "gateway/invoke/invoker.h"
#include "gateway/metrics.h"
#include "spdlog/logger.h"

namespace thaw::gateway {

// HTTP/1.1 (and 1.0) on threads of its own:
//
//   POST /invoke/{fn_id}, POST /invoke/{app}/{function}   a call; body and headers go to the function
//   GET /healthz                                          200 while the process lives
//   GET /readyz                                           200 when it can take calls, else 503
//   GET /metrics                                          Prometheus text
//
// All else is 404 or 405 in JSON. A client that closes its connection cancels its call. Requests on one connection
// are answered one after the other.
class HttpServer {
 public:
  struct Options {
    // host:port; port 0 chooses one.
    std::string listen_address;
    int threads = 2;
    int max_connections = 4096;
    // A connection without a request.
    absl::Duration idle_limit = absl::Seconds(75);
    // From a request's first byte to the end of its headers; also the longest silence within a body.
    absl::Duration read_limit = absl::Seconds(15);
    // A client that reads or writes slower than this, past read_limit, is cut off.
    std::size_t min_bytes_per_second = 16u << 10;
    // PEM files: TLS with both, plain without.
    std::string tls_cert_file;
    std::string tls_key_file;
  };
  // All must outlive the server.
  struct Deps {
    Invoker* invoker;
    Admission* admission;
    GatewayMetrics* metrics;
    // Called on the server's threads.
    std::function<absl::Status()> readiness;
    std::function<std::string()> render_metrics;
    std::shared_ptr<spdlog::logger> log;
  };

  // FAILED_PRECONDITION as Security::CheckListenAddress (without TLS: CheckPlainListenAddress); INVALID_ARGUMENT for an
  // address that is not host:port, or certificate files that can't be used; UNAVAILABLE when the address can't be bound.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const Options& options, const Security& security, Deps deps);
  // As Shutdown(0).
  ~HttpServer();

  int port() const;

  // Stops listening and closes idle connections; later answers close theirs. Returns at once.
  void Drain();
  // Drains, gives calls `grace`, then closes what is left; returns when all is closed and the threads have ended.
  void Shutdown(absl::Duration grace);

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_HTTP_SERVER_H_
