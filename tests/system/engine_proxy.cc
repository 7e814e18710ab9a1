#include "tests/system/engine_proxy.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace thaw::testing {
namespace {

sockaddr_un Address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  return address;
}

// False at the end of the stream.
bool Pass(int from, int to) {
  char buffer[65536];
  const ssize_t got = read(from, buffer, sizeof buffer);
  if (got <= 0) {
    shutdown(to, SHUT_WR);
    return false;
  }
  for (ssize_t at = 0; at < got;) {
    const ssize_t sent = send(to, buffer + at, static_cast<std::size_t>(got - at), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    at += sent;
  }
  return true;
}

}  // namespace

EngineProxy::EngineProxy(std::string path, std::string engine) : path_(std::move(path)), engine_(std::move(engine)) {
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un address = Address(path_);
  unlink(path_.c_str());
  if (bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || listen(listener_, 64) != 0) {
    abort();
  }
  acceptor_ = std::thread([this] { Accept(); });
}

EngineProxy::~EngineProxy() {
  stopping_ = true;
  SetOpen(false);
  shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  close(listener_);
  std::vector<std::thread> carriers;
  {
    absl::MutexLock lock(&mu_);
    carriers.swap(carriers_);
  }
  for (std::thread& carrier : carriers) carrier.join();
  unlink(path_.c_str());
}

void EngineProxy::SetOpen(bool open) {
  open_ = open;
  if (open) return;
  absl::MutexLock lock(&mu_);
  for (const int fd : carried_) shutdown(fd, SHUT_RDWR);
}

void EngineProxy::Accept() {
  while (!stopping_) {
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    const int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_un address = Address(engine_);
    absl::MutexLock lock(&mu_);
    if (!open_ || connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      ++refused_;
      close(client);
      close(server);
      continue;
    }
    carried_.insert({client, server});
    carriers_.emplace_back([this, client, server] { Carry(client, server); });
  }
}

void EngineProxy::Carry(int client, int server) {
  pollfd ends[] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    if (poll(ends, 2, -1) < 0) continue;
    if (ends[0].fd >= 0 && ends[0].revents != 0 && !Pass(client, server)) ends[0].fd = -1;
    if (ends[1].fd >= 0 && ends[1].revents != 0 && !Pass(server, client)) break;
  }
  absl::MutexLock lock(&mu_);
  carried_.erase(client);
  carried_.erase(server);
  close(client);
  close(server);
}

}  // namespace thaw::testing
