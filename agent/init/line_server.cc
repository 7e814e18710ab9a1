#include "agent/init/line_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace thaw::init {

LineServer::LineServer(EventLoop& loop, Options options, Callbacks callbacks)
    : loop_(loop), options_(std::move(options)), callbacks_(std::move(callbacks)) {}

LineServer::~LineServer() {
  callbacks_.on_closed = nullptr;
  while (!connections_.empty()) Drop(connections_.begin()->first);
  if (listener_) loop_.Forget(listener_.get());
}

Outcome LineServer::Listen() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (options_.path.size() >= sizeof address.sun_path) {
    return Outcome(Code::kInvalidArgument, "socket path " + options_.path + " is too long");
  }
  std::memcpy(address.sun_path, options_.path.c_str(), options_.path.size() + 1);
  listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener_) return ErrnoOutcome(errno, "cannot make a socket");
  ::unlink(options_.path.c_str());
  // Bound without rights for anybody and opened afterwards, so that no moment exists with too many.
  const mode_t old_mask = ::umask(0777);
  const int bound = ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  ::umask(old_mask);
  if (bound != 0) return ErrnoOutcome(error, "cannot bind " + options_.path);
  if (::listen(listener_.get(), 16) != 0) return ErrnoOutcome(errno, "cannot listen on " + options_.path);
  if (::chmod(options_.path.c_str(), options_.mode) != 0) {
    return ErrnoOutcome(errno, "cannot set the mode of " + options_.path);
  }
  loop_.Watch(listener_.get(), EPOLLIN, [this](uint32_t) { Accept(); });
  return {};
}

void LineServer::Accept() {
  UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd || connections_.size() >= options_.connection_limit) return;
  const uint64_t peer = next_peer_++;
  Connection& connection = connections_[peer];
  connection.fd = std::move(fd);
  loop_.Watch(connection.fd.get(), EPOLLIN, [this, peer](uint32_t events) { OnReady(peer, events); });
  if (options_.first_line_within.count() > 0) {
    connection.timer = loop_.After(options_.first_line_within, [this, peer] { Drop(peer); });
  }
}

LineServer::Connection* LineServer::Find(uint64_t peer) {
  auto it = connections_.find(peer);
  return it == connections_.end() ? nullptr : &it->second;
}

void LineServer::OnReady(uint64_t peer, uint32_t events) {
  if ((events & EPOLLOUT) != 0) Flush(peer);
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) Receive(peer);
}

void LineServer::Receive(uint64_t peer) {
  Connection* connection = Find(peer);
  if (connection == nullptr) return;
  char buffer[16384];
  const ssize_t count = ::recv(connection->fd.get(), buffer, sizeof buffer, 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) {
    Drop(peer);
    return;
  }
  if (connection->closing) return;
  connection->input.append(buffer, static_cast<size_t>(count));
  HandleLines(peer);
}

void LineServer::HandleLines(uint64_t peer) {
  Connection* connection = Find(peer);
  // Looked up anew after each callback: it may have dropped the peer.
  while (connection != nullptr && !connection->closing) {
    const size_t end = connection->input.find('\n');
    if (end == std::string::npos ? connection->input.size() > options_.line_limit : end > options_.line_limit) {
      connection->input.clear();
      if (callbacks_.on_too_long) callbacks_.on_too_long(peer);
      CloseAfterSending(peer);
      return;
    }
    if (end == std::string::npos) return;
    const std::string line = connection->input.substr(0, end);
    connection->input.erase(0, end + 1);
    loop_.Cancel(connection->timer);
    connection->timer = 0;
    if (!line.empty()) callbacks_.on_line(peer, line);
    connection = Find(peer);
  }
}

void LineServer::Send(uint64_t peer, std::string_view line) {
  Connection* connection = Find(peer);
  if (connection == nullptr || connection->closing) return;
  if (connection->output.size() + line.size() > options_.output_limit) {
    Drop(peer);
    return;
  }
  connection->output.append(line).append("\n");
  Flush(peer);
}

void LineServer::SendToAll(std::string_view line) {
  std::vector<uint64_t> peers;
  for (const auto& [peer, connection] : connections_) peers.push_back(peer);
  for (uint64_t peer : peers) Send(peer, line);
}

void LineServer::CloseAfterSending(uint64_t peer) {
  Connection* connection = Find(peer);
  if (connection == nullptr) return;
  connection->closing = true;
  Flush(peer);
}

void LineServer::Flush(uint64_t peer) {
  Connection* connection = Find(peer);
  if (connection == nullptr) return;
  while (!connection->output.empty()) {
    const ssize_t sent =
        ::send(connection->fd.get(), connection->output.data(), connection->output.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) break;
    if (sent <= 0) {
      Drop(peer);
      return;
    }
    connection->output.erase(0, static_cast<size_t>(sent));
  }
  if (connection->output.empty() && connection->closing) {
    Drop(peer);
    return;
  }
  loop_.Change(connection->fd.get(), connection->output.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

void LineServer::Drop(uint64_t peer) {
  Connection* connection = Find(peer);
  if (connection == nullptr) return;
  loop_.Cancel(connection->timer);
  loop_.Forget(connection->fd.get());
  connections_.erase(peer);
  if (callbacks_.on_closed) callbacks_.on_closed(peer);
}

}  // namespace thaw::init
