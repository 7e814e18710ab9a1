#include "gateway/http/session.h"

#include <sys/socket.h>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status/reasons.h"
#include "gateway/errors.h"
#include "gateway/http/response.h"
#include "gateway/http/target.h"
#include "gateway/invoke/headers.h"

namespace thaw::gateway {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

using ErrorCode = boost::system::error_code;
using TcpStream = beast::basic_stream<net::ip::tcp, IoExecutor>;
using TlsStream = net::ssl::stream<TcpStream>;
using Parser = http::request_parser<http::string_body>;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr std::size_t kReadBytes = 16u << 10;
constexpr absl::Duration kLingerLimit = absl::Seconds(2);
constexpr char kContinue[] = "HTTP/1.1 100 Continue\r\n\r\n";

absl::string_view View(beast::string_view text) { return absl::string_view(text.data(), text.size()); }

SteadyTime After(absl::Duration delay) {
  return std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(delay);
}

HttpResponse MethodNotAllowed(absl::string_view allowed) {
  HttpResponse response = ErrorResponse(absl::InvalidArgumentError(
      absl::StrCat("this path takes ", allowed, " only")));
  response.status = 405;
  absl::StrAppend(&response.headers, "Allow: ", allowed, "\r\n");
  return response;
}

HttpResponse RequestTimeout() {
  HttpResponse response = ErrorResponse(absl::InvalidArgumentError("the request took too long to arrive"));
  response.status = 408;
  return response;
}

// All handlers run on the connection's io_context, which has one thread: nothing here needs a lock.
template <typename Stream>
class Session final : public HttpSession, public std::enable_shared_from_this<Session<Stream>> {
 public:
  static constexpr bool kTls = std::is_same_v<Stream, TlsStream>;

  template <typename... StreamArgs>
  Session(std::shared_ptr<HttpContext> context, SessionRole role, StreamArgs&&... args)
      : context_(std::move(context)),
        role_(role),
        stream_(std::forward<StreamArgs>(args)...),
        read_timer_(stream_.get_executor()),
        reservation_(*context_->deps.admission) {
    if (role_ == SessionRole::kServe) context_->deps.metrics->ConnectionOpened();
    absl::MutexLock lock(&context_->mu);
    context_->sessions.insert(this);
  }

  ~Session() override {
    if (role_ == SessionRole::kServe) context_->deps.metrics->ConnectionClosed();
    absl::MutexLock lock(&context_->mu);
    context_->sessions.erase(this);
  }

  void Start() override {
    net::post(stream_.get_executor(), [self = Self()] { self->Begin(); });
  }

  void CloseWhenIdle() override {
    net::post(stream_.get_executor(), [weak = this->weak_from_this()] {
      auto self = weak.lock();
      if (self != nullptr && self->idle_) self->Close();
    });
  }

  void CloseNow() override {
    net::post(stream_.get_executor(), [weak = this->weak_from_this()] {
      if (auto self = weak.lock()) self->Close();
    });
  }

 private:
  std::shared_ptr<Session> Self() { return this->shared_from_this(); }
  TcpStream& tcp() { return beast::get_lowest_layer(stream_); }

  void Begin() {
    ErrorCode ignored;
    // An answer is one write: waiting for more to send only delays it.
    tcp().socket().set_option(net::ip::tcp::no_delay(true), ignored);
    if constexpr (kTls) {
      tcp().expires_at(After(context_->options.read_limit));
      stream_.async_handshake(net::ssl::stream_base::server, [self = Self()](ErrorCode error) {
        if (!error) self->AfterHandshake();
      });
    } else {
      AfterHandshake();
    }
  }

  void AfterHandshake() {
    if (role_ == SessionRole::kRefuse) {
      keep_alive_ = false;
      Respond(ErrorResponse(WithRetryAfter(
          WithReason(absl::ResourceExhaustedError(absl::StrCat("the gateway has ", context_->options.max_connections,
                                                               " connections open, its limit; come again later")),
                     reason::kQueueFull),
          absl::Seconds(1))));
      return;
    }
    AwaitRequest();
  }

  // ---- Reading ----

  void AwaitRequest() {
    reservation_.Reset();
    // The last request's parser holds its body.
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(context_->deps.invoker->options().max_header_bytes));
    parser_->body_limit(context_->deps.invoker->options().max_body_bytes);
    if (buffer_.size() > 0) {
      ReadHeader();
      return;
    }
    if (context_->draining.load(std::memory_order_relaxed)) {
      Close();
      return;
    }
    idle_ = true;
    tcp().expires_at(After(context_->options.idle_limit));
    stream_.async_read_some(buffer_.prepare(kReadBytes), [self = Self()](ErrorCode error, std::size_t bytes) {
      self->idle_ = false;
      self->buffer_.commit(bytes);
      if (error) {
        self->Close();
      } else {
        self->ReadHeader();
      }
    });
  }

  void ReadHeader() {
    request_began_ = std::chrono::steady_clock::now();
    tcp().expires_never();
    // Most requests are whole in the buffer: they need no timer and no turn of the loop.
    ErrorCode error;
    parser_->eager(true);
    buffer_.consume(parser_->put(buffer_.data(), error));
    if (error == http::error::need_more) error = {};
    if (error || parser_->is_header_done()) {
      OnHeader(error);
      return;
    }
    LimitRead(request_began_ + absl::ToChronoNanoseconds(context_->options.read_limit));
    http::async_read_header(stream_, buffer_, *parser_, [self = Self()](ErrorCode read_error, std::size_t) {
      self->read_timer_.cancel();
      self->OnHeader(read_error);
    });
  }

  // Ends the pending read at `limit`. Not by Beast's own expiry: that closes the socket, and the client would not be
  // told why.
  void LimitRead(SteadyTime limit) {
    read_timer_.expires_at(limit);
    read_timer_.async_wait([weak = this->weak_from_this()](ErrorCode cancelled) {
      auto self = weak.lock();
      // A timer that fired just before its cancellation finds a later limit, or none.
      if (cancelled || self == nullptr || self->closed_ ||
          self->read_timer_.expiry() > std::chrono::steady_clock::now()) {
        return;
      }
      self->read_timed_out_ = true;
      self->tcp().cancel();
    });
  }

  void OnHeader(ErrorCode error) {
    if (error) {
      OnBadRequest(error);
      return;
    }
    const auto& message = parser_->get();
    keep_alive_ = message.keep_alive();
    http_1_0_ = message.version() < 11;
    head_request_ = message.method() == http::verb::head;
    target_ = ParseTarget(View(message.target()));
    std::optional<HttpResponse> refusal;
    if (!target_.ok()) {
      refusal = ErrorResponse(target_.status());
    } else if (target_->kind == HttpTarget::Kind::kInvoke) {
      if (message.method() != http::verb::post) refusal = MethodNotAllowed("POST");
    } else if (message.method() != http::verb::get && !head_request_) {
      refusal = MethodNotAllowed("GET, HEAD");
    }
    if (!refusal.has_value()) {
      const auto length = parser_->content_length();
      const absl::Status room =
          length ? reservation_.GrowTo(static_cast<std::size_t>(*length)) : absl::OkStatus();
      if (!room.ok()) refusal = ErrorResponse(room);
    }
    if (refusal.has_value()) {
      // What was not read would be taken for the next request.
      if (!parser_->is_done()) keep_alive_ = false;
      Respond(std::move(*refusal));
      return;
    }
    if (!parser_->is_done() && absl::EqualsIgnoreCase(View(message[http::field::expect]), "100-continue")) {
      net::async_write(stream_, net::buffer(kContinue, sizeof(kContinue) - 1),
                       [self = Self()](ErrorCode write_error, std::size_t) {
                         if (write_error) {
                           self->Close();
                         } else {
                           self->ReadBody();
                         }
                       });
      return;
    }
    ReadBody();
  }

  void ReadBody() {
    if (parser_->is_done()) {
      Dispatch();
      return;
    }
    // Cut off: a long silence, or a pace below the least one.
    const auto& options = context_->options;
    const auto read_limit = absl::ToChronoNanoseconds(options.read_limit);
    const auto pace = std::chrono::milliseconds(parser_->get().body().size() * 1000 / options.min_bytes_per_second);
    LimitRead(std::min<SteadyTime>(std::chrono::steady_clock::now() + read_limit, request_began_ + 2 * read_limit + pace));
    http::async_read_some(stream_, buffer_, *parser_, [self = Self()](ErrorCode error, std::size_t) {
      self->read_timer_.cancel();
      if (error) {
        self->OnBadRequest(error);
        return;
      }
      const absl::Status room = self->reservation_.GrowTo(self->parser_->get().body().size());
      if (!room.ok()) {
        self->keep_alive_ = false;
        self->Respond(ErrorResponse(room));
        return;
      }
      self->ReadBody();
    });
  }

  void OnBadRequest(ErrorCode error) {
    keep_alive_ = false;
    const auto& limits = context_->deps.invoker->options();
    if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      Respond(ErrorResponse(HeadersTooLarge(limits.max_header_bytes)));
    } else if (error == http::error::body_limit) {
      Respond(ErrorResponse(BodyTooLarge(limits.max_body_bytes, "the operator sets the limit with --max-body-bytes")));
    } else if (read_timed_out_) {
      Respond(RequestTimeout());
    } else if (error.category() == make_error_code(http::error::bad_method).category() &&
               error != http::error::end_of_stream && error != http::error::partial_message) {
      Respond(ErrorResponse(WithReason(
          absl::InvalidArgumentError(absl::StrCat("this is not an HTTP/1.1 request: ", error.message())),
          reason::kInvalidField)));
    } else {
      Close();
    }
  }

  // ---- Answering ----

  void Dispatch() {
    switch (target_->kind) {
      case HttpTarget::Kind::kInvoke:
        Invoke();
        return;
      case HttpTarget::Kind::kHealth:
        Respond(TextResponse(200, "text/plain; charset=utf-8", "ok\n"));
        return;
      case HttpTarget::Kind::kReady: {
        const absl::Status ready = context_->deps.readiness();
        Respond(ready.ok() ? TextResponse(200, "text/plain; charset=utf-8", "ready\n") : ErrorResponse(ready));
        return;
      }
      case HttpTarget::Kind::kMetrics:
        Respond(TextResponse(200, "text/plain; version=0.0.4; charset=utf-8", context_->deps.render_metrics()));
        return;
    }
  }

  void Invoke() {
    auto& message = parser_->get();
    Call call;
    call.function = std::move(target_->function);
    call.protocol = Protocol::kHttp;
    call.max_answer_bytes = context_->deps.invoker->options().max_body_bytes;
    std::vector<Header> headers;
    for (const auto& field : message) {
      headers.push_back({std::string(View(field.name_string())), std::string(View(field.value()))});
      if (field.name() == http::field::content_type) call.content_type = headers.back().value;
      if (absl::EqualsIgnoreCase(headers.back().name, "Thaw-Node")) call.pinned_node = headers.back().value;
    }
    call.headers = FunctionHeaders(std::move(headers));
    call.body = std::move(message.body());
    // The call counts its body itself from here on.
    reservation_.Reset();
    tcp().expires_never();
    in_call_ = true;
    WatchForClose();
    invocation_ = context_->deps.invoker->Start(std::move(call), [self = Self()](Outcome outcome) {
      net::post(self->stream_.get_executor(),
                [self, outcome = std::make_shared<Outcome>(std::move(outcome))] { self->OnOutcome(*outcome); });
    });
  }

  void OnOutcome(Outcome& outcome) {
    in_call_ = false;
    invocation_.reset();
    if (closed_) return;
    Respond(CallResponse(std::move(outcome)));
  }

  // While a call is under way nothing is read, so only this tells of a client that goes away.
  void WatchForClose() {
    if (watching_) return;
    watching_ = true;
    tcp().socket().async_wait(net::socket_base::wait_read, [self = Self()](ErrorCode error) {
      self->watching_ = false;
      if (error || !self->in_call_) return;
      char byte;
      const ssize_t got = recv(self->tcp().socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      // More bytes are the next request, sent early (or TLS's own): from here on a close goes unseen until they are read.
      if (got > 0) return;
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        self->WatchForClose();
        return;
      }
      self->Close();
    });
  }

  void Respond(HttpResponse response) {
    if (context_->draining.load(std::memory_order_relaxed)) keep_alive_ = false;
    head_ = ResponseHead(response, keep_alive_, http_1_0_, absl::Now());
    body_ = head_request_ ? std::string() : std::move(response.body);
    const auto& options = context_->options;
    tcp().expires_at(After(2 * options.read_limit + absl::Seconds(static_cast<std::int64_t>(
                                                        body_.size() / options.min_bytes_per_second))));
    const std::array<net::const_buffer, 2> buffers = {net::buffer(head_), net::buffer(body_)};
    net::async_write(stream_, buffers, [self = Self()](ErrorCode error, std::size_t) {
      self->body_ = std::string();
      if (error) {
        self->Close();
      } else if (self->keep_alive_) {
        self->AwaitRequest();
      } else {
        self->SayGoodbye();
      }
    });
  }

  // ---- Closing ----

  // Closing a socket with unread bytes resets it, and the reset can overtake the answer: so where a request was not
  // read to its end only the sending side is closed, and what still comes is dropped for a moment.
  void SayGoodbye() {
    tcp().expires_at(After(kLingerLimit));
    if constexpr (kTls) {
      stream_.async_shutdown([self = Self()](ErrorCode) { self->Close(); });
    } else {
      ErrorCode ignored;
      tcp().socket().shutdown(net::ip::tcp::socket::shutdown_send, ignored);
      if (parser_.has_value() && parser_->is_done()) {
        Close();
      } else {
        Discard();
      }
    }
  }

  void Discard() {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(kReadBytes), [self = Self()](ErrorCode error, std::size_t) {
      if (error) {
        self->Close();
      } else {
        self->Discard();
      }
    });
  }

  void Close() {
    if (std::exchange(closed_, true)) return;
    // Ends the pending operations; with them go the references to this object.
    tcp().close();
    read_timer_.cancel();
    if (invocation_ != nullptr) invocation_->Cancel();
  }

  const std::shared_ptr<HttpContext> context_;
  const SessionRole role_;
  Stream stream_;
  net::basic_waitable_timer<std::chrono::steady_clock, net::wait_traits<std::chrono::steady_clock>, IoExecutor> read_timer_;
  beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  BodyReservation reservation_;
  SteadyTime request_began_;
  absl::StatusOr<HttpTarget> target_ = absl::UnknownError("no request yet");
  bool keep_alive_ = true;
  bool http_1_0_ = false;
  bool head_request_ = false;
  // Waiting for a request's first byte.
  bool idle_ = false;
  bool in_call_ = false;
  bool watching_ = false;
  bool closed_ = false;
  bool read_timed_out_ = false;
  std::shared_ptr<Invocation> invocation_;
  std::string head_;
  std::string body_;
};

}  // namespace

std::shared_ptr<HttpSession> MakeHttpSession(std::shared_ptr<HttpContext> context, TcpSocket socket,
                                             net::ssl::context* tls, SessionRole role) {
  if (tls == nullptr) return std::make_shared<Session<TcpStream>>(std::move(context), role, std::move(socket));
  return std::make_shared<Session<TlsStream>>(std::move(context), role, TcpStream(std::move(socket)), *tls);
}

}  // namespace thaw::gateway
