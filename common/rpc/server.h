#ifndef THAW_COMMON_RPC_SERVER_H_
#define THAW_COMMON_RPC_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/security.h"

namespace grpc {
class Service;
class Server;
}  // namespace grpc

namespace thaw {

// A gRPC server with the standard health service and reflection on, so that grpcurl works on it.
class RpcServer {
 public:
  struct Options {
    // host:port; port 0 chooses one.
    std::string listen_address;
    int max_message_bytes = 8 << 20;
    // For people and programs outside the cluster: no client certificate is asked for.
    bool public_listener = false;
  };

  // Starts serving. FAILED_PRECONDITION as Security::CheckListenAddress; UNAVAILABLE when the address can't be bound.
  // The services must outlive the server.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(const Options& options, const Security& security,
                                                          const std::vector<grpc::Service*>& services);
  // As Shutdown(0).
  ~RpcServer();

  int port() const { return port_; }
  // What the health service answers: SERVING (as at start) or NOT_SERVING.
  void SetServing(bool serving);
  // Refuses new calls, gives running ones `grace`, then cancels them, and returns when all have ended.
  void Shutdown(absl::Duration grace);

 private:
  RpcServer() = default;

  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace thaw

#endif  // THAW_COMMON_RPC_SERVER_H_
