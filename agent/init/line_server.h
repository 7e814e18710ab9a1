#ifndef THAW_AGENT_INIT_LINE_SERVER_H_
#define THAW_AGENT_INIT_LINE_SERVER_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "agent/init/event_loop.h"
#include "agent/init/outcome.h"
#include "agent/init/unique_fd.h"

namespace thaw::init {

// A unix stream socket on which peers send and get lines. Used for the agent's orders and for the function's
// requests; the limits make sure that neither can make PID 1 grow.
class LineServer {
 public:
  struct Options {
    std::string path;
    mode_t mode = 0600;
    size_t line_limit = 1024 * 1024;
    // Unsent bytes to a peer that does not read; beyond, the peer is dropped.
    size_t output_limit = 4 * 1024 * 1024;
    size_t connection_limit = 64;
    // A peer that has sent no line this long after connecting is dropped; 0 means never.
    std::chrono::milliseconds first_line_within{0};
  };
  // `peer` stays valid for Send() as a number even when the connection has gone.
  using LineCallback = std::function<void(uint64_t peer, std::string_view line)>;
  struct Callbacks {
    LineCallback on_line;
    // Told before a connection is dropped because its line passed the limit; may Send(). May be empty.
    std::function<void(uint64_t peer)> on_too_long;
    // Told after a connection has gone, whoever closed it. May be empty.
    std::function<void(uint64_t peer)> on_closed;
  };

  LineServer(EventLoop& loop, Options options, Callbacks callbacks);
  ~LineServer();

  // Binds the socket, replacing a stale one, with exactly the given mode.
  Outcome Listen();
  // Queues `line` and a newline. A peer that has gone is ignored.
  void Send(uint64_t peer, std::string_view line);
  void SendToAll(std::string_view line);
  // Closes the connection once what is queued is sent.
  void CloseAfterSending(uint64_t peer);

 private:
  struct Connection {
    UniqueFd fd;
    std::string input;
    std::string output;
    bool closing = false;
    uint64_t timer = 0;
  };

  void Accept();
  void OnReady(uint64_t peer, uint32_t events);
  void Receive(uint64_t peer);
  void HandleLines(uint64_t peer);
  void Flush(uint64_t peer);
  void Drop(uint64_t peer);
  Connection* Find(uint64_t peer);

  EventLoop& loop_;
  const Options options_;
  Callbacks callbacks_;
  UniqueFd listener_;
  uint64_t next_peer_ = 1;
  std::map<uint64_t, Connection> connections_;
};

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_LINE_SERVER_H_
