#ifndef THAW_GATEWAY_GATEWAY_H_
#define THAW_GATEWAY_GATEWAY_H_

#include <memory>

#include "absl/status/statusor.h"
#include "gateway/options.h"
#include "spdlog/logger.h"

namespace thaw::gateway {

class LeaseTable;

// One whole gateway: its listeners, its leases, its connections. Many can be in one process.
class Gateway {
 public:
  // Listens. The scheduler need not be there yet: until it is, /readyz says so and calls fail with UNAVAILABLE.
  // Errors as Options::Validate(), Security::Load(), RpcServer::Start() and HttpServer::Start(), and UNAVAILABLE when
  // the port file can't be written.
  static absl::StatusOr<std::unique_ptr<Gateway>> Create(const Options& options, std::shared_ptr<const Security> security,
                                                         std::shared_ptr<spdlog::logger> log);
  // As Shutdown().
  ~Gateway();

  int grpc_port() const;
  int http_port() const;
  // 0 without --https-listen.
  int https_port() const;
  // OK once the scheduler has been reached; what /readyz and the health service say.
  absl::Status Readiness() const;
  const LeaseTable& leases() const;

  // In this order: not ready any more; no new connections; calls under way get Options::drain_limit, then are
  // cancelled; leases are given back; connections close. Returns when all is done.
  void Shutdown();

 private:
  struct Parts;
  explicit Gateway(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_GATEWAY_H_
