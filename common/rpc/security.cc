#include "common/rpc/security.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/channel_arguments.h>

#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/rpc/callback_threads.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw {
namespace {

constexpr char kTokenKey[] = "thaw-cluster-token";
constexpr std::size_t kMinTokenLength = 16;

absl::StatusOr<std::string> ReadFile(const std::string& path, absl::string_view what) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(absl::StrCat("the ", what, " file ", path, " can't be read; check its path and mode"));
  }
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

bool IsLoopback(absl::string_view address) {
  return absl::StartsWith(address, "127.") || absl::StartsWith(address, "localhost:") ||
         absl::StartsWith(address, "[::1]:") || absl::StartsWith(address, "unix:");
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Security>> Security::Load(const SecurityOptions& options) {
  std::shared_ptr<Security> security(new Security());
  if (options.cluster_token_file.empty()) {
    return absl::InvalidArgumentError(
        "no cluster token: name its file with --cluster-token-file (any secret of 16 characters or more, the same on "
        "all nodes)");
  }
  ASSIGN_OR_RETURN(std::string token, ReadFile(options.cluster_token_file, "cluster token"));
  security->token_ = std::string(absl::StripAsciiWhitespace(token));
  if (security->token_.size() < kMinTokenLength) {
    return absl::InvalidArgumentError(absl::StrCat("the cluster token in ", options.cluster_token_file,
                                                   " is shorter than ", kMinTokenLength, " characters; make a new one"));
  }
  const int tls_files = !options.tls_cert_file.empty() + !options.tls_key_file.empty() + !options.tls_ca_file.empty();
  if (tls_files != 0 && tls_files != 3) {
    return absl::InvalidArgumentError("TLS needs --tls-cert, --tls-key and --tls-ca together");
  }
  if (tls_files == 3) {
    ASSIGN_OR_RETURN(security->certificate_, ReadFile(options.tls_cert_file, "TLS certificate"));
    ASSIGN_OR_RETURN(security->key_, ReadFile(options.tls_key_file, "TLS key"));
    ASSIGN_OR_RETURN(security->ca_, ReadFile(options.tls_ca_file, "TLS CA"));
  }
  security->trusted_network_ = options.trusted_network;
  return std::shared_ptr<const Security>(std::move(security));
}

std::shared_ptr<const Security> Security::ForTesting(absl::string_view token) {
  std::shared_ptr<Security> security(new Security());
  security->token_ = std::string(token);
  return security;
}

absl::Status Security::CheckListenAddress(absl::string_view address) const {
  if (IsLoopback(address) || trusted_network_ || !certificate_.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("refusing to listen on ", address,
                   " without TLS: give --tls-cert, --tls-key and --tls-ca, listen on 127.0.0.1, or say "
                   "--trusted-network if nobody else can reach that network"));
}

absl::Status Security::CheckPlainListenAddress(absl::string_view address) const {
  if (IsLoopback(address) || trusted_network_) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("refusing to listen on ", address,
                   " in clear: listen on 127.0.0.1, or say --trusted-network if nobody else can reach that network"));
}

absl::Status Security::CheckToken(const grpc::CallbackServerContext& context) const {
  const auto& metadata = context.client_metadata();
  const auto it = metadata.find(kTokenKey);
  if (it != metadata.end() &&
      ConstantTimeEquals(absl::string_view(it->second.data(), it->second.size()), token_)) {
    return absl::OkStatus();
  }
  return WithReason(
      absl::UnauthenticatedError(it == metadata.end()
                                     ? "the call carries no cluster token (metadata thaw-cluster-token)"
                                     : "the call's cluster token is not this cluster's; give every service the same "
                                       "--cluster-token-file"),
      reason::kUnauthenticated);
}

void Security::AddToken(grpc::ClientContext& context) const { context.AddMetadata(kTokenKey, token_); }

std::shared_ptr<grpc::ServerCredentials> Security::server_credentials() const {
  if (certificate_.empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = ca_;
  options.pem_key_cert_pairs.push_back({key_, certificate_});
  return grpc::SslServerCredentials(options);
}

std::shared_ptr<grpc::ServerCredentials> Security::public_server_credentials() const {
  if (certificate_.empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  options.pem_key_cert_pairs.push_back({key_, certificate_});
  return grpc::SslServerCredentials(options);
}

std::shared_ptr<grpc::Channel> Security::NewChannel(const std::string& address) const {
  KeepCallbackThreads();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  // A peer that comes back should be found within a second, not after gRPC's default of up to two minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // Despite its name the time that one connection attempt is given: a busy host needs more than the backoff.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1500);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // Finds a host that vanished without a word while calls are open.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 3000);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (!certificate_.empty()) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = ca_;
    options.pem_private_key = key_;
    options.pem_cert_chain = certificate_;
    credentials = grpc::SslCredentials(options);
  }
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

}  // namespace thaw
