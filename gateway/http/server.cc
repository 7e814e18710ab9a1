#include "gateway/http/server.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status/status_macros.h"
#include "gateway/http/session.h"

namespace thaw::gateway {
namespace {

namespace net = boost::asio;
using ErrorCode = boost::system::error_code;
using Acceptor = net::basic_socket_acceptor<net::ip::tcp, IoExecutor>;

// Connections over the limit that are being told so; beyond it they are closed without a word.
constexpr std::size_t kMaxRefusals = 64;
constexpr absl::Duration kAcceptRetry = absl::Milliseconds(100);

absl::StatusOr<net::ip::tcp::endpoint> ResolveAddress(net::io_context& io, const std::string& address) {
  const auto bad = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat("HTTP address ", address, " is not host:port; give one with --http-listen"));
  };
  const std::size_t colon = address.rfind(':');
  std::uint32_t port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) || port > 65535) return bad();
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host.empty()) return bad();
  ErrorCode error;
  net::ip::tcp::resolver resolver(io);
  const auto found = resolver.resolve(host, std::to_string(port), net::ip::tcp::resolver::passive, error);
  if (error || found.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("HTTP address ", address, " can't be resolved: ", error.message(), "; see --http-listen"));
  }
  return found.begin()->endpoint();
}

absl::StatusOr<std::unique_ptr<net::ssl::context>> LoadTls(const HttpServer::Options& options) {
  auto tls = std::make_unique<net::ssl::context>(net::ssl::context::tls_server);
  ErrorCode error;
  tls->set_options(net::ssl::context::default_workarounds | net::ssl::context::no_sslv2 | net::ssl::context::no_sslv3 |
                       net::ssl::context::no_tlsv1 | net::ssl::context::no_tlsv1_1,
                   error);
  if (!error) tls->use_certificate_chain_file(options.tls_cert_file, error);
  if (!error) tls->use_private_key_file(options.tls_key_file, net::ssl::context::pem, error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat("the TLS certificate ", options.tls_cert_file, " with key ",
                                                   options.tls_key_file, " can't be used: ", error.message()));
  }
  return tls;
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(Options options, Deps deps) : context_(std::make_shared<HttpContext>()) {
    context_->options = std::move(options);
    context_->deps = std::move(deps);
  }

  absl::Status Start() {
    if (!context_->options.tls_cert_file.empty()) {
      ASSIGN_OR_RETURN(tls_, LoadTls(context_->options));
    }
    for (int i = 0; i < std::max(context_->options.threads, 1); ++i) loops_.push_back(std::make_unique<Loop>());
    net::io_context& io = loops_.front()->io;
    ASSIGN_OR_RETURN(const net::ip::tcp::endpoint endpoint, ResolveAddress(io, context_->options.listen_address));
    acceptor_ = std::make_unique<Acceptor>(io);
    retry_ = std::make_unique<net::steady_timer>(io);
    ErrorCode error;
    acceptor_->open(endpoint.protocol(), error);
    if (!error) acceptor_->set_option(net::socket_base::reuse_address(true), error);
    if (!error) acceptor_->bind(endpoint, error);
    if (!error) acceptor_->listen(net::socket_base::max_listen_connections, error);
    if (!error) port_ = acceptor_->local_endpoint(error).port();
    if (error) {
      return absl::UnavailableError(absl::StrCat("HTTP address ", context_->options.listen_address,
                                                 " can't be bound: ", error.message(),
                                                 "; is another process there? choose another with ",
                                                 tls_ == nullptr ? "--http-listen" : "--https-listen"));
    }
    Accept();
    for (auto& loop : loops_) {
      loop->thread = std::thread([&io = loop->io] { io.run(); });
    }
    return absl::OkStatus();
  }

  int port() const { return port_; }

  void Drain() {
    if (context_->draining.exchange(true)) return;
    if (acceptor_ != nullptr) {
      net::post(loops_.front()->io, [this] {
        ErrorCode ignored;
        acceptor_->close(ignored);
      });
    }
    ForEachSession([](HttpSession& session) { session.CloseWhenIdle(); });
  }

  void Shutdown(absl::Duration grace) {
    if (stopped_) return;
    stopped_ = true;
    Drain();
    AwaitNoSessions(grace);
    ForEachSession([](HttpSession& session) { session.CloseNow(); });
    // Cancelled calls end within moments. Until they have, they may still post to a loop: it must not go before them.
    AwaitNoSessions(absl::InfiniteDuration());
    for (auto& loop : loops_) {
      loop->work.reset();
      loop->io.stop();
      if (loop->thread.joinable()) loop->thread.join();
    }
  }

 private:
  struct Loop {
    // One thread each: a connection's handlers never run at once.
    net::io_context io{1};
    net::executor_work_guard<IoExecutor> work{io.get_executor()};
    std::thread thread;
  };

  template <typename Act>
  void ForEachSession(Act act) {
    absl::MutexLock lock(&context_->mu);
    for (HttpSession* session : context_->sessions) act(*session);
  }

  void AwaitNoSessions(absl::Duration limit) {
    absl::MutexLock lock(&context_->mu);
    context_->mu.AwaitWithTimeout(
        absl::Condition(+[](absl::flat_hash_set<HttpSession*>* sessions) { return sessions->empty(); },
                        &context_->sessions),
        limit);
  }

  void Accept() {
    net::io_context& io = loops_[next_loop_++ % loops_.size()]->io;
    acceptor_->async_accept(io, [this](ErrorCode error, TcpSocket socket) {
      if (error == net::error::operation_aborted || !acceptor_->is_open()) return;
      if (error) {
        // Out of descriptors, mostly: accepting again at once would spin.
        context_->deps.log->warn("event=accept_failed error=\"{}\"", error.message());
        retry_->expires_after(absl::ToChronoNanoseconds(kAcceptRetry));
        retry_->async_wait([this](ErrorCode cancelled) {
          if (!cancelled) Accept();
        });
        return;
      }
      Take(std::move(socket));
      Accept();
    });
  }

  void Take(TcpSocket socket) {
    std::size_t open;
    {
      absl::MutexLock lock(&context_->mu);
      open = context_->sessions.size();
    }
    const auto limit = static_cast<std::size_t>(context_->options.max_connections);
    if (open >= limit + kMaxRefusals) return;
    MakeHttpSession(context_, std::move(socket), tls_.get(), open >= limit ? SessionRole::kRefuse : SessionRole::kServe)
        ->Start();
  }

  const std::shared_ptr<HttpContext> context_;
  std::unique_ptr<net::ssl::context> tls_;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::unique_ptr<Acceptor> acceptor_;
  std::unique_ptr<net::steady_timer> retry_;
  std::size_t next_loop_ = 0;
  int port_ = 0;
  bool stopped_ = false;
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() { Shutdown(absl::ZeroDuration()); }

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const Options& options, const Security& security,
                                                              Deps deps) {
  RETURN_IF_ERROR(options.tls_cert_file.empty() ? security.CheckPlainListenAddress(options.listen_address)
                                                : security.CheckListenAddress(options.listen_address));
  auto impl = std::make_unique<Impl>(options, std::move(deps));
  RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

int HttpServer::port() const { return impl_->port(); }
void HttpServer::Drain() { impl_->Drain(); }
void HttpServer::Shutdown(absl::Duration grace) { impl_->Shutdown(grace); }

}  // namespace thaw::gateway
