// The works of a UnixFunctionDialer's connection. Includes Boost: for .cc files only.
#ifndef THAW_AGENT_INVOKE_CONVERSATION_H_
#define THAW_AGENT_INVOKE_CONVERSATION_H_

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "agent/invoke/function_connection.h"

namespace thaw::agent {

// One connection and the call on it. All of its state is under `mu_`, the sockets' operations included, so that Close()
// works at once from any thread; handlers that find another `generation_` than theirs have been overtaken and do
// nothing. `done` is never called under the lock.
class Conversation final : public std::enable_shared_from_this<Conversation> {
 public:
  using Done = FunctionConnection::Done;

  Conversation(boost::asio::io_context& io, std::string iofs_dir, const FunctionLimits& limits);

  void Call(FunctionRequest request, Done done) ABSL_LOCKS_EXCLUDED(mu_);
  void Close() ABSL_LOCKS_EXCLUDED(mu_);
  // As Close(), and every later call ends with CANCELLED, too.
  void End() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Parser = boost::beast::http::response_parser<boost::beast::http::string_body>;
  using Outcome = absl::StatusOr<FunctionReply>;

  // What the call has come to, or nothing while it goes on.
  std::optional<Outcome> Begin() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::optional<Outcome> Dial() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::optional<Outcome> Exchange() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::optional<Outcome> Write() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::optional<Outcome> Read() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Takes what is in the buffer.
  std::optional<Outcome> Parse() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Outcome TakeReply() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether the connection that was kept is as we left it.
  bool StillFresh() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void ArmTimer() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ArmRead() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ArmWrite() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void NewParser() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CloseSocket() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Ends the call: closes the connection on an error, and gives back whom to tell.
  Done EndCall(Outcome& outcome) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Timeout() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Runs one step of the call on a thread of the io context and tells `done` if that was the last.
  void Step(std::uint64_t generation, std::optional<Outcome> (Conversation::*step)()) ABSL_LOCKS_EXCLUDED(mu_);
  void OnTimer(std::uint64_t generation) ABSL_LOCKS_EXCLUDED(mu_);

  boost::asio::io_context& io_;
  const std::string iofs_dir_;
  const FunctionLimits limits_;

  absl::Mutex mu_;
  boost::asio::local::stream_protocol::socket socket_ ABSL_GUARDED_BY(mu_);
  boost::asio::steady_timer deadline_timer_ ABSL_GUARDED_BY(mu_);
  boost::asio::steady_timer redial_timer_ ABSL_GUARDED_BY(mu_);
  boost::beast::flat_buffer buffer_ ABSL_GUARDED_BY(mu_);
  std::optional<Parser> parser_ ABSL_GUARDED_BY(mu_);
  // Moves on whenever what is armed is no longer wanted.
  std::uint64_t generation_ ABSL_GUARDED_BY(mu_) = 0;

  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  // Of the call under way; `done_` is null when there is none.
  Done done_ ABSL_GUARDED_BY(mu_);
  std::string head_ ABSL_GUARDED_BY(mu_);
  std::string body_ ABSL_GUARDED_BY(mu_);
  std::uint64_t written_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Time deadline_ ABSL_GUARDED_BY(mu_);
  bool start_line_taken_ ABSL_GUARDED_BY(mu_) = false;
  absl::Duration redial_pause_ ABSL_GUARDED_BY(mu_);
  int dials_ ABSL_GUARDED_BY(mu_) = 0;
  bool is_head_request_ ABSL_GUARDED_BY(mu_) = false;
  bool reused_ ABSL_GUARDED_BY(mu_) = false;
  bool write_failed_ ABSL_GUARDED_BY(mu_) = false;
  int interim_answers_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_INVOKE_CONVERSATION_H_
