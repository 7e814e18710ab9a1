#ifndef THAW_GATEWAY_HTTP_SESSION_H_
#define THAW_GATEWAY_HTTP_SESSION_H_

// Boost 1.74's Asio uses std::exchange without including it.
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include <atomic>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "gateway/http/server.h"

namespace thaw::gateway {

using IoExecutor = boost::asio::io_context::executor_type;
using TcpSocket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, IoExecutor>;

// One client connection. It lives on one io_context with one thread, and holds itself by its pending operations.
class HttpSession {
 public:
  virtual ~HttpSession() = default;
  virtual void Start() = 0;
  // From any thread: closes when no call is under way, otherwise after its answer.
  virtual void CloseWhenIdle() = 0;
  // From any thread: closes now; a call under way is cancelled.
  virtual void CloseNow() = 0;
};

// What the sessions share. Threads: any.
struct HttpContext {
  HttpServer::Options options;
  HttpServer::Deps deps;
  std::atomic<bool> draining{false};

  // The open connections, so that Drain() and Shutdown() reach them.
  absl::Mutex mu;
  absl::flat_hash_set<HttpSession*> sessions ABSL_GUARDED_BY(mu);
};

// What a connection is there for.
enum class SessionRole {
  kServe,
  // Over the limit: told so and closed.
  kRefuse,
};

// `tls` is null for plain TCP.
std::shared_ptr<HttpSession> MakeHttpSession(std::shared_ptr<HttpContext> context, TcpSocket socket,
                                             boost::asio::ssl::context* tls, SessionRole role);

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_HTTP_SESSION_H_
