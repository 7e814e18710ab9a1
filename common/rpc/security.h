#ifndef THAW_COMMON_RPC_SECURITY_H_
#define THAW_COMMON_RPC_SECURITY_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace grpc {
class CallbackServerContext;
class Channel;
class ClientContext;
class ServerCredentials;
}  // namespace grpc

namespace thaw {

// How the services prove themselves to each other. The token is a shared secret that every call between
// services carries; TLS keeps it and the calls private.
struct SecurityOptions {
  // The file with the cluster token (its trailing white space is dropped). Needed.
  std::string cluster_token_file;
  // PEM files; all three or none. With them every listener and every channel uses TLS, and peers are
  // checked against `tls_ca_file` in both directions.
  std::string tls_cert_file;
  std::string tls_key_file;
  std::string tls_ca_file;
  // The operator's word that the network between the services is private (a compose network, say):
  // without TLS a service listens beyond loopback only with it.
  bool trusted_network = false;
};

// The loaded secrets. Immutable; threads: any.
class Security {
 public:
  // INVALID_ARGUMENT when the options contradict each other or the token is shorter than 16 characters;
  // NOT_FOUND when a file can't be read.
  static absl::StatusOr<std::shared_ptr<const Security>> Load(const SecurityOptions& options);
  // For tests in one process: no TLS, loopback only.
  static std::shared_ptr<const Security> ForTesting(absl::string_view token);

  // FAILED_PRECONDITION when `address` (host:port) is beyond loopback and neither TLS nor a trusted
  // network was declared; the message says what to set.
  absl::Status CheckListenAddress(absl::string_view address) const;
  // The same for a listener that never speaks TLS (metrics, plain HTTP): a certificate does not help it.
  absl::Status CheckPlainListenAddress(absl::string_view address) const;

  // UNAUTHENTICATED unless the call carries the cluster token. The first line of every method of every
  // service but the gateway's public ones.
  absl::Status CheckToken(const grpc::CallbackServerContext& context) const;

  // Puts the token into an outbound call.
  void AddToken(grpc::ClientContext& context) const;

  std::shared_ptr<grpc::ServerCredentials> server_credentials() const;
  // For a listener that clients without the cluster's certificate use: TLS when there is any, but no client
  // certificate is asked for.
  std::shared_ptr<grpc::ServerCredentials> public_server_credentials() const;
  // A lazy channel to host:port with keepalive, a reconnect backoff of at most 1 s and no message size limit.
  std::shared_ptr<grpc::Channel> NewChannel(const std::string& address) const;

 private:
  Security() = default;

  std::string token_;
  std::string certificate_, key_, ca_;
  bool trusted_network_ = false;
};

}  // namespace thaw

#endif  // THAW_COMMON_RPC_SECURITY_H_
