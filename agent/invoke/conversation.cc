#include "agent/invoke/conversation.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/http/error.hpp>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agent/invoke/headers.h"
#include "agent/invoke/listener.h"
#include "common/status/reasons.h"

namespace thaw::agent {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::local::stream_protocol;
using boost::system::error_code;

constexpr std::size_t kMinReadBytes = 4 << 10;
constexpr std::size_t kMaxReadBytes = 64 << 10;
// What one call reads or writes before the others of its thread have their turn.
constexpr std::uint64_t kTurnBytes = 1 << 20;
// What may lie unparsed beside a head: a chunk's header, trailers.
constexpr std::size_t kSlackBytes = 128 << 10;
// "100 Continue" and its like before the answer.
constexpr int kMaxInterimAnswers = 8;
// How soon a function whose queue of connections is full is dialled again: the first time, and at most.
constexpr absl::Duration kFirstRedialPause = absl::Microseconds(200);
constexpr absl::Duration kMaxRedialPause = absl::Milliseconds(5);

absl::Status BadAnswer(absl::string_view what) {
  return WithReason(absl::InternalError(absl::StrCat("the function's answer is not HTTP: ", what)),
                    reason::kFunctionBadAnswer);
}

absl::Status TooLarge(absl::string_view what, std::uint64_t limit) {
  return WithReason(
      absl::InternalError(absl::StrCat("the function's answer has ", what, " beyond the limit of ", limit, " bytes")),
      reason::kFunctionAnswerTooLarge, {{"limit_bytes", absl::StrCat(limit)}});
}

absl::Status Broke(absl::string_view how) {
  return WithReason(absl::InternalError(absl::StrCat("the function ", how)), reason::kFunctionExited);
}

// Names that say how the message is framed: ours to write.
bool IsFraming(absl::string_view name) {
  return absl::EqualsIgnoreCase(name, "Host") || absl::EqualsIgnoreCase(name, "Connection") ||
         absl::EqualsIgnoreCase(name, "Content-Length") || absl::EqualsIgnoreCase(name, "Transfer-Encoding");
}

bool MayBeHttp(absl::string_view start) {
  constexpr absl::string_view kProtocol = "HTTP/1.";
  return absl::StartsWith(start, kProtocol.substr(0, start.size()));
}

absl::StatusOr<std::string> MakeHead(const FunctionRequest& request) {
  if (!IsHeaderName(request.method)) {
    return absl::InvalidArgumentError(absl::StrCat("'", request.method, "' is no HTTP method"));
  }
  const bool target_ok =
      absl::StartsWith(request.target, "/") &&
      std::all_of(request.target.begin(), request.target.end(), [](char c) { return c > ' ' && c != '\x7f'; });
  if (!target_ok) return absl::InvalidArgumentError(absl::StrCat("'", request.target, "' is no HTTP target"));
  std::string head = absl::StrCat(request.method, " ", request.target, " HTTP/1.1\r\nHost: localhost\r\n");
  for (const auto& [name, value] : request.headers) {
    if (!IsHeaderName(name) || !IsHeaderValue(value)) {
      return absl::InvalidArgumentError(absl::StrCat("header '", name, "' can't be sent: its name or value has "
                                                     "characters that HTTP does not allow"));
    }
    if (!IsFraming(name)) absl::StrAppend(&head, name, ": ", value, "\r\n");
  }
  absl::StrAppend(&head, "Content-Length: ", request.body.size(), "\r\n\r\n");
  return head;
}

}  // namespace

Conversation::Conversation(asio::io_context& io, std::string iofs_dir, const FunctionLimits& limits)
    : io_(io),
      iofs_dir_(std::move(iofs_dir)),
      limits_(limits),
      socket_(io),
      deadline_timer_(io),
      redial_timer_(io) {}

void Conversation::Call(FunctionRequest request, Done done) {
  auto head = MakeHead(request);
  std::optional<Outcome> outcome;
  {
    absl::MutexLock lock(&mu_);
    if (!head.ok()) {
      outcome = head.status();
    } else if (ended_) {
      outcome = absl::CancelledError("the agent is stopping; nothing was sent to the function");
    } else if (done_ != nullptr) {
      outcome = absl::FailedPreconditionError("another call is under way on this connection; open one more");
    } else {
      done_ = std::move(done);
      head_ = *std::move(head);
      body_ = std::move(request.body);
      deadline_ = request.deadline;
      is_head_request_ = request.method == "HEAD";
      written_ = 0;
      interim_answers_ = 0;
      redial_pause_ = kFirstRedialPause;
      outcome = Begin();
      if (!outcome.has_value()) return;
      done = EndCall(*outcome);
    }
  }
  // Not from here: the caller may hold the lock that `done` wants.
  asio::post(io_, [done = std::move(done), outcome = *std::move(outcome)]() mutable { done(std::move(outcome)); });
}

void Conversation::Close() {
  absl::MutexLock lock(&mu_);
  if (done_ == nullptr) {
    CloseSocket();
    return;
  }
  Outcome outcome = absl::CancelledError("the connection to the function was closed by the agent");
  Done done = EndCall(outcome);
  asio::post(io_, [done = std::move(done), outcome = std::move(outcome)]() mutable { done(std::move(outcome)); });
}

void Conversation::End() {
  {
    absl::MutexLock lock(&mu_);
    ended_ = true;
  }
  Close();
}

std::optional<Conversation::Outcome> Conversation::Begin() {
  if (absl::Now() >= deadline_) return Timeout();
  ArmTimer();
  // An idle connection that the function has closed, or written to, is not used again; nothing of this call is on it.
  reused_ = socket_.is_open() && StillFresh();
  if (reused_) return Exchange();
  return Dial();
}

bool Conversation::StillFresh() {
  char byte;
  const ssize_t got = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

std::optional<Conversation::Outcome> Conversation::Dial() {
  if (socket_.is_open()) {
    error_code ignored;
    socket_.close(ignored);
  }
  reused_ = false;
  ++dials_;
  auto listener = OpenListener(iofs_dir_);
  if (absl::IsNotFound(listener.status())) {
    return absl::UnavailableError(
        absl::StrCat("can't reach the function: ", listener.status().message(), "; it does not listen"));
  }
  if (!listener.ok()) return listener.status();
  auto connected = ConnectTo(*listener);
  if (absl::IsResourceExhausted(connected.status())) {
    // The kernel has no way to wait for room in a unix socket's queue.
    redial_timer_.expires_after(absl::ToChronoNanoseconds(redial_pause_));
    redial_pause_ = std::min(redial_pause_ * 2, kMaxRedialPause);
    redial_timer_.async_wait([self = shared_from_this(), generation = generation_](const error_code& error) {
      if (!error) self->Step(generation, &Conversation::Dial);
    });
    return std::nullopt;
  }
  if (!connected.ok()) return connected.status();
  error_code error;
  socket_.assign(stream_protocol(), connected->get(), error);
  if (error) return absl::UnavailableError(absl::StrCat("can't watch the function's socket: ", error.message()));
  connected->Release();
  return Exchange();
}

std::optional<Conversation::Outcome> Conversation::Exchange() {
  buffer_.consume(buffer_.size());
  NewParser();
  write_failed_ = false;
  const int dials = dials_;
  auto outcome = Write();
  if (outcome.has_value()) return outcome;
  // While we write, too: a function may answer before it has read all, and then read no more. Where Write() has dialled
  // anew, that exchange has seen to it.
  if (dials == dials_) ArmRead();
  return std::nullopt;
}

void Conversation::NewParser() {
  parser_.emplace();
  parser_->eager(true);
  parser_->header_limit(static_cast<std::uint32_t>(
      std::min<std::uint64_t>(limits_.max_answer_header_bytes, std::numeric_limits<std::uint32_t>::max())));
  parser_->body_limit(limits_.max_answer_bytes);
  if (is_head_request_) parser_->skip(true);
  start_line_taken_ = false;
}

std::optional<Conversation::Outcome> Conversation::Write() {
  const std::uint64_t total = head_.size() + body_.size();
  const std::uint64_t turn_ends = written_ + kTurnBytes;
  while (written_ < total) {
    if (written_ >= turn_ends) {
      ArmWrite();
      return std::nullopt;
    }
    iovec parts[2];
    msghdr message{};
    message.msg_iov = parts;
    if (written_ < head_.size()) {
      parts[message.msg_iovlen++] = {head_.data() + written_, head_.size() - written_};
      if (!body_.empty()) parts[message.msg_iovlen++] = {body_.data(), body_.size()};
    } else {
      parts[message.msg_iovlen++] = {body_.data() + (written_ - head_.size()), total - written_};
    }
    const ssize_t put = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put >= 0) {
      written_ += static_cast<std::uint64_t>(put);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      ArmWrite();
      return std::nullopt;
    }
    // The kernel took no byte of this write. If it took none before either, the function has seen nothing: a connection
    // that was kept is dialled anew, a new one was never a conversation.
    if (written_ == 0) {
      if (reused_) return Dial();
      return absl::UnavailableError(absl::StrCat("the function closed the connection before the call was sent: ",
                                                 std::strerror(errno)));
    }
    // It may have answered before it hung up; what there is to read tells.
    write_failed_ = true;
    return std::nullopt;
  }
  return std::nullopt;
}

std::optional<Conversation::Outcome> Conversation::Read() {
  std::size_t want = kMinReadBytes;
  std::uint64_t read = 0;
  while (true) {
    const std::uint64_t room = limits_.max_answer_header_bytes + kSlackBytes;
    if (buffer_.size() >= room) return TooLarge("a head, chunk head or trailers", limits_.max_answer_header_bytes);
    if (read >= kTurnBytes) {
      ArmRead();
      return std::nullopt;
    }
    const auto space = buffer_.prepare(want);
    const ssize_t got = ::recv(socket_.native_handle(), space.data(), space.size(), MSG_DONTWAIT);
    if (got > 0) {
      buffer_.commit(static_cast<std::size_t>(got));
      read += static_cast<std::uint64_t>(got);
      // A small answer needs little memory and a large one few calls.
      if (static_cast<std::size_t>(got) == want) want = std::min(kMaxReadBytes, want * 4);
      auto outcome = Parse();
      if (outcome.has_value()) return outcome;
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      ArmRead();
      return std::nullopt;
    }
    if (got < 0) return Broke(absl::StrCat("broke the connection: ", std::strerror(errno)));
    if (!parser_->got_some()) return Broke("closed the connection without an answer");
    error_code error;
    parser_->put_eof(error);
    if (error || !parser_->is_done()) return Broke("closed the connection in the middle of its answer");
    return TakeReply();
  }
}

std::optional<Conversation::Outcome> Conversation::Parse() {
  while (true) {
    error_code error;
    const std::size_t used = parser_->put(buffer_.data(), error);
    buffer_.consume(used);
    start_line_taken_ |= used > 0;
    if (!start_line_taken_ && !MayBeHttp(absl::string_view(static_cast<const char*>(buffer_.data().data()),
                                                           buffer_.size()))) {
      // The parser would wait for the rest of the line.
      return BadAnswer("it does not begin with a status line");
    }
    if (error == http::error::need_more) error = {};
    if (error == http::error::header_limit) return TooLarge("headers", limits_.max_answer_header_bytes);
    if (error == http::error::body_limit) return TooLarge("a body", limits_.max_answer_bytes);
    if (error) return BadAnswer(error.message());
    if (!parser_->is_done()) {
      if (used == 0 || buffer_.size() == 0) return std::nullopt;
      continue;
    }
    const unsigned status = parser_->get().result_int();
    if (status >= 200) return TakeReply();
    if (status == 101 || ++interim_answers_ > kMaxInterimAnswers) {
      return BadAnswer(absl::StrCat("status ", status, " that nobody asked for"));
    }
    NewParser();
    if (buffer_.size() == 0) return std::nullopt;
  }
}

Conversation::Outcome Conversation::TakeReply() {
  const bool whole = written_ == head_.size() + body_.size();
  // Bytes after the answer would be taken for the next call's.
  const bool keep = whole && !write_failed_ && buffer_.size() == 0 && parser_->get().keep_alive();
  auto message = parser_->release();
  parser_.reset();
  FunctionReply reply;
  reply.status = static_cast<int>(message.result_int());
  for (const auto& field : message) {
    reply.headers.emplace_back(std::string(field.name_string().data(), field.name_string().size()),
                               std::string(field.value().data(), field.value().size()));
  }
  reply.body = std::move(message.body());
  if (!keep) CloseSocket();
  return reply;
}

void Conversation::ArmTimer() {
  deadline_timer_.expires_after(absl::ToChronoNanoseconds(
      std::min(deadline_ - absl::Now(), absl::Hours(24))));
  deadline_timer_.async_wait([self = shared_from_this(), generation = generation_](const error_code& error) {
    if (!error) self->OnTimer(generation);
  });
}

void Conversation::ArmRead() {
  socket_.async_wait(stream_protocol::socket::wait_read,
                     [self = shared_from_this(), generation = generation_](const error_code& error) {
                       if (error != asio::error::operation_aborted) self->Step(generation, &Conversation::Read);
                     });
}

void Conversation::ArmWrite() {
  socket_.async_wait(stream_protocol::socket::wait_write,
                     [self = shared_from_this(), generation = generation_](const error_code& error) {
                       if (error != asio::error::operation_aborted) self->Step(generation, &Conversation::Write);
                     });
}

void Conversation::CloseSocket() {
  ++generation_;
  error_code ignored;
  if (socket_.is_open()) socket_.close(ignored);
  buffer_ = boost::beast::flat_buffer();
}

Conversation::Done Conversation::EndCall(Outcome& outcome) {
  // Overtakes the timer and whatever else is still armed.
  ++generation_;
  deadline_timer_.cancel();
  redial_timer_.cancel();
  if (!outcome.ok()) {
    CloseSocket();
    if (written_ > 0) outcome = MarkSent(outcome.status());
  }
  parser_.reset();
  head_.clear();
  body_ = std::string();
  return std::exchange(done_, nullptr);
}

absl::Status Conversation::Timeout() const {
  return WithReason(absl::DeadlineExceededError(written_ > 0 ? "the function did not answer in time"
                                                             : "the function did not take the call in time"),
                    reason::kFunctionTimeout);
}

void Conversation::Step(std::uint64_t generation, std::optional<Outcome> (Conversation::*step)()) {
  Done done;
  std::optional<Outcome> outcome;
  {
    absl::MutexLock lock(&mu_);
    if (generation != generation_) return;
    outcome = (this->*step)();
    if (!outcome.has_value()) return;
    done = EndCall(*outcome);
  }
  done(*std::move(outcome));
}

void Conversation::OnTimer(std::uint64_t generation) {
  Done done;
  Outcome outcome = absl::UnknownError("");
  {
    absl::MutexLock lock(&mu_);
    if (generation != generation_) return;
    if (absl::Now() < deadline_) {
      // The wall clock was set back, or the deadline is beyond what a timer is armed for.
      ArmTimer();
      return;
    }
    outcome = Timeout();
    done = EndCall(outcome);
  }
  done(std::move(outcome));
}

}  // namespace thaw::agent
