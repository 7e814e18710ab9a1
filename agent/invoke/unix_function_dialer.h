#ifndef THAW_AGENT_INVOKE_UNIX_FUNCTION_DIALER_H_
#define THAW_AGENT_INVOKE_UNIX_FUNCTION_DIALER_H_

#include <cstddef>
#include <memory>
#include <string>

#include "agent/invoke/function_connection.h"

namespace thaw::agent {

// Talks to functions over their unix sockets, all connections on a few threads of its own.
//
// A request is written on the thread that calls Call(), as far as the socket takes it at once; all else happens on the
// dialer's threads. Threads: any. Outlives its connections.
class UnixFunctionDialer final : public FunctionDialer {
 public:
  struct Options {
    FunctionLimits limits;
    std::size_t threads = 2;
  };

  explicit UnixFunctionDialer(Options options);
  UnixFunctionDialer() : UnixFunctionDialer(Options()) {}
  // As Close() and Join().
  ~UnixFunctionDialer() override;
  UnixFunctionDialer(const UnixFunctionDialer&) = delete;
  UnixFunctionDialer& operator=(const UnixFunctionDialer&) = delete;

  std::unique_ptr<FunctionConnection> NewConnection(const std::string& iofs_dir) override;
  absl::Status AwaitListener(const std::string& iofs_dir, absl::Time deadline,
                             absl::AnyInvocable<bool()> alive) override;

  // Ends all calls under way with CANCELLED, and from now on each new one, too (nothing is sent);
  // AwaitListener() returns CANCELLED. For the end of the process: what the `done`s need must stand until
  // Join() has returned.
  void Close();
  // After Close(). Returns when every `done` has been called, also those of calls that other `done`s have
  // begun; there must be no call by anybody else from now on. Not from a `done`.
  void Join();

 private:
  class IoThreads;
  class Open;

  const Options options_;
  std::unique_ptr<IoThreads> io_;
  const std::shared_ptr<Open> open_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_INVOKE_UNIX_FUNCTION_DIALER_H_
