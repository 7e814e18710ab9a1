#ifndef THAW_TESTS_FAKES_FAKE_ENDPOINT_H_
#define THAW_TESTS_FAKES_FAKE_ENDPOINT_H_

#include <grpcpp/server_context.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/rpc/security.h"
#include "common/rpc/server.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"

namespace thaw::testing {

// Where a fake server listens: a port of the loopback that it keeps when it is started again, and the cluster token that
// it asks for. Threads: Check() and refused() any, the others one.
class FakeEndpoint {
 public:
  explicit FakeEndpoint(std::string token) : token_(std::move(token)), security_(Security::ForTesting(token_)) {}
  ~FakeEndpoint() { Stop(); }

  // The services must live until Stop(). Ends the test program where the port can't be had.
  void Start(const std::vector<grpc::Service*>& services) {
    auto server = RpcServer::Start({.listen_address = address()}, *security_, services);
    if (!server.ok()) {
      std::cerr << "a fake server can't listen: " << server.status() << "\n";
      std::abort();
    }
    server_ = std::move(*server);
    port_ = server_->port();
  }
  void Stop() {
    if (server_ != nullptr) server_->Shutdown(absl::ZeroDuration());
    server_.reset();
  }

  int port() const { return port_; }
  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

  // Whether the call carries the token.
  grpc::Status Check(grpc::ServerContext* context) ABSL_LOCKS_EXCLUDED(mu_) {
    const auto it = context->client_metadata().find("thaw-cluster-token");
    if (it != context->client_metadata().end() && std::string(it->second.data(), it->second.size()) == token_) {
      return grpc::Status::OK;
    }
    absl::MutexLock lock(&mu_);
    ++refused_;
    return ToGrpcStatus(WithReason(absl::UnauthenticatedError("no token"), reason::kUnauthenticated));
  }
  // Calls without it.
  int refused() const ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return refused_;
  }

 private:
  const std::string token_;
  const std::shared_ptr<const Security> security_;
  std::unique_ptr<RpcServer> server_;
  int port_ = 0;
  mutable absl::Mutex mu_;
  int refused_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_FAKES_FAKE_ENDPOINT_H_
