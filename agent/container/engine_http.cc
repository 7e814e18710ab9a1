#include "agent/container/engine_http.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <limits>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr std::size_t kPartBytes = 256 << 10;
constexpr std::uint64_t kMaxReplyBytes = 64 << 20;

// A non-blocking unix socket as Beast's SyncStream: every read and write waits at most until the deadline.
class DeadlineSocket {
 public:
  DeadlineSocket(int fd, absl::Time deadline) : fd_(fd), deadline_(deadline) {}
  ~DeadlineSocket() {
    if (fd_ >= 0) ::close(fd_);
  }
  DeadlineSocket(const DeadlineSocket&) = delete;
  DeadlineSocket& operator=(const DeadlineSocket&) = delete;

  template <typename Buffers>
  std::size_t read_some(const Buffers& buffers, error_code& error) {
    for (const asio::mutable_buffer buffer : boost::beast::buffers_range_ref(buffers)) {
      if (buffer.size() == 0) continue;
      while (true) {
        const ssize_t got = ::recv(fd_, buffer.data(), buffer.size(), 0);
        if (got > 0) {
          error = {};
          return static_cast<std::size_t>(got);
        }
        if (got == 0) {
          error = asio::error::eof;
          return 0;
        }
        if (!Wait(POLLIN, error)) return 0;
      }
    }
    error = {};
    return 0;
  }

  template <typename Buffers>
  std::size_t write_some(const Buffers& buffers, error_code& error) {
    for (const asio::const_buffer buffer : boost::beast::buffers_range_ref(buffers)) {
      if (buffer.size() == 0) continue;
      while (true) {
        const ssize_t put = ::send(fd_, buffer.data(), buffer.size(), MSG_NOSIGNAL);
        if (put >= 0) {
          error = {};
          return static_cast<std::size_t>(put);
        }
        if (!Wait(POLLOUT, error)) return 0;
      }
    }
    error = {};
    return 0;
  }

  // Beast's concept wants these too; errors are never thrown here, so nothing calls them.
  template <typename Buffers>
  std::size_t read_some(const Buffers& buffers) {
    error_code error;
    return read_some(buffers, error);
  }
  template <typename Buffers>
  std::size_t write_some(const Buffers& buffers) {
    error_code error;
    return write_some(buffers, error);
  }

 private:
  // After a failed call: true when it may be tried again.
  bool Wait(short events, error_code& error) {
    if (errno == EINTR) return true;
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
      error.assign(errno, boost::system::system_category());
      return false;
    }
    while (true) {
      const absl::Duration left = deadline_ - absl::Now();
      if (left <= absl::ZeroDuration()) {
        error = asio::error::timed_out;
        return false;
      }
      // Waking at least every minute covers a wall clock that was set back.
      const timespec wait = absl::ToTimespec(std::min(left, absl::Minutes(1)));
      pollfd polled{fd_, events, 0};
      const int ready = ::ppoll(&polled, 1, &wait, nullptr);
      if (ready > 0) return true;
      if (ready < 0 && errno != EINTR) {
        error.assign(errno, boost::system::system_category());
        return false;
      }
    }
  }

  const int fd_;
  const absl::Time deadline_;
};

absl::Status EngineUnavailable(const std::string& message) {
  return WithReason(absl::UnavailableError(message), reason::kEngineUnavailable);
}

absl::Status NoAnswerInTime(const std::string& path, absl::string_view act) {
  return absl::DeadlineExceededError(
      absl::StrCat("the container engine at ", path, " did not finish ", act, " in time; it may still do so"));
}

absl::Status BrokenExchange(const error_code& error, const std::string& path, absl::string_view act) {
  if (error == asio::error::timed_out) return NoAnswerInTime(path, act);
  if (error.category() == http::make_error_code(http::error::end_of_stream).category() &&
      error != http::error::end_of_stream && error != http::error::partial_message) {
    return absl::InternalError(
        absl::StrCat("what answers at ", path, " to ", act, " does not speak HTTP: ", error.message()));
  }
  return EngineUnavailable(absl::StrCat("the container engine at ", path, " went away during ", act, " (",
                                        error.message(), "), which may or may not have happened; see its log"));
}

absl::StatusOr<std::unique_ptr<DeadlineSocket>> Connect(const std::string& path, absl::string_view act,
                                                        absl::Time deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("the engine's socket path ", path, " is longer than ",
                                                   sizeof(address.sun_path) - 1, " bytes; give a shorter one"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  if (absl::Now() >= deadline) return NoAnswerInTime(path, act);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("can't make a socket: ", std::strerror(errno), "; raise the agent's limit of open files"));
  }
  auto socket = std::make_unique<DeadlineSocket>(fd, deadline);
  while (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    const int error = errno;
    if (error == EINTR) continue;
    if (error == EAGAIN) {
      // The engine's accept queue is full, which poll can't wait for.
      if (absl::Now() >= deadline) return NoAnswerInTime(path, act);
      absl::SleepFor(absl::Milliseconds(5));
      continue;
    }
    absl::string_view remedy = "start it (systemctl start docker), or give the agent the path of its socket";
    if (error == EACCES || error == EPERM) remedy = "run the agent as root, or give it access to that socket";
    return EngineUnavailable(
        absl::StrCat("no container engine answers at ", path, ": ", std::strerror(error), "; ", remedy));
  }
  return socket;
}

http::request<http::string_body> MakeRequest(absl::string_view method, absl::string_view target) {
  http::request<http::string_body> request;
  request.version(11);
  request.method_string({method.data(), method.size()});
  request.target({target.data(), target.size()});
  request.set(http::field::host, "docker");
  request.set(http::field::user_agent, "thaw-agent");
  request.set(http::field::connection, "close");
  return request;
}

absl::StatusOr<EngineReply> ReadReply(DeadlineSocket& socket, const std::string& path, absl::string_view act) {
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMaxReplyBytes);
  error_code error;
  http::read(socket, buffer, parser, error);
  if (error) return BrokenExchange(error, path, act);
  EngineReply reply;
  reply.status = parser.get().result_int();
  reply.body = std::move(parser.get().body());
  return reply;
}

}  // namespace

absl::StatusOr<EngineReply> EngineHttp::Exchange(absl::string_view method, absl::string_view target,
                                                 const std::string& body, absl::Time deadline) const {
  const std::string act = absl::StrCat(method, " ", target);
  ASSIGN_OR_RETURN(auto socket, Connect(socket_path_, act, deadline));
  auto request = MakeRequest(method, target);
  if (!body.empty()) {
    request.set(http::field::content_type, "application/json");
    request.body() = body;
  }
  request.prepare_payload();
  error_code error;
  http::write(*socket, request, error);
  if (error) return BrokenExchange(error, socket_path_, act);
  return ReadReply(*socket, socket_path_, act);
}

absl::StatusOr<EngineReply> EngineHttp::Download(absl::string_view method, absl::string_view target, Sink sink,
                                                 absl::Time deadline) const {
  const std::string act = absl::StrCat(method, " ", target);
  ASSIGN_OR_RETURN(auto socket, Connect(socket_path_, act, deadline));
  auto request = MakeRequest(method, target);
  request.prepare_payload();
  error_code error;
  http::write(*socket, request, error);
  if (error) return BrokenExchange(error, socket_path_, act);

  boost::beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  // Not boost::none, which Boost 1.74 takes for a limit of nothing.
  parser.body_limit(std::numeric_limits<std::uint64_t>::max());
  http::read_header(*socket, buffer, parser, error);
  if (error) return BrokenExchange(error, socket_path_, act);
  EngineReply reply;
  reply.status = parser.get().result_int();
  const bool to_sink = reply.status / 100 == 2;
  const auto part = std::make_unique<char[]>(kPartBytes);
  while (!parser.is_done()) {
    parser.get().body().data = part.get();
    parser.get().body().size = kPartBytes;
    http::read(*socket, buffer, parser, error);
    if (error == http::error::need_buffer) error = {};
    const absl::string_view got(part.get(), kPartBytes - parser.get().body().size);
    if (to_sink) {
      if (!got.empty()) RETURN_IF_ERROR(sink(got));
    } else if (reply.body.size() < kPartBytes) {
      reply.body.append(got.data(), got.size());
    }
    if (error) return BrokenExchange(error, socket_path_, act);
    if (absl::Now() >= deadline && !parser.is_done()) return NoAnswerInTime(socket_path_, act);
  }
  return reply;
}

absl::StatusOr<EngineReply> EngineHttp::Upload(absl::string_view target, Source source, absl::Time deadline) const {
  const std::string act = absl::StrCat("POST ", target);
  ASSIGN_OR_RETURN(auto socket, Connect(socket_path_, act, deadline));
  auto request = MakeRequest("POST", target);
  request.set(http::field::content_type, "application/x-tar");
  request.chunked(true);
  http::request_serializer<http::string_body> serializer(request);
  error_code error;
  http::write_header(*socket, serializer, error);
  while (!error) {
    ASSIGN_OR_RETURN(const std::string part, source());
    if (absl::Now() >= deadline) return NoAnswerInTime(socket_path_, act);
    if (part.empty()) {
      asio::write(*socket, http::make_chunk_last(), error);
      break;
    }
    asio::write(*socket, http::make_chunk(asio::const_buffer(part.data(), part.size())), error);
  }
  if (error == asio::error::timed_out) return NoAnswerInTime(socket_path_, act);
  // An engine that refuses answers and closes while we still write; its answer says more than our EPIPE.
  auto reply = ReadReply(*socket, socket_path_, act);
  if (!reply.ok() && error) return BrokenExchange(error, socket_path_, act);
  return reply;
}

}  // namespace thaw::agent
