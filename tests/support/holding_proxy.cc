#include "tests/support/holding_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace thaw::testing {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool SendAll(int to, const char* bytes, ssize_t count) {
  for (ssize_t at = 0; at < count;) {
    const ssize_t sent = send(to, bytes + at, static_cast<std::size_t>(count - at), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    at += sent;
  }
  return true;
}

}  // namespace

struct HoldingProxy::Connection {
  Connection(int client_fd, int server_fd) : client(client_fd), server(server_fd) {}
  ~Connection() {
    close(client);
    close(server);
  }
  // Ends what both threads wait for.
  void Cut() const {
    shutdown(client, SHUT_RDWR);
    shutdown(server, SHUT_RDWR);
  }
  const int client, server;
};

HoldingProxy::HoldingProxy() {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  if (bind(listener_, reinterpret_cast<const sockaddr*>(&address), size) != 0 || listen(listener_, 64) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    abort();
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

HoldingProxy::~HoldingProxy() {
  shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  close(listener_);
  std::vector<std::thread> carriers;
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    for (const auto& connection : connections_) connection->Cut();
    carriers.swap(carriers_);
  }
  for (std::thread& carrier : carriers) carrier.join();
}

void HoldingProxy::HoldAfter(std::int64_t bytes) {
  absl::MutexLock lock(&mu_);
  limited_ = true;
  allowed_ = bytes;
}

void HoldingProxy::Release() {
  absl::MutexLock lock(&mu_);
  limited_ = false;
}

bool HoldingProxy::holding() const {
  absl::MutexLock lock(&mu_);
  return held_ > 0;
}

void HoldingProxy::Accept() {
  while (true) {
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    const auto connection = std::make_shared<Connection>(client, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int at_once = 1;
    setsockopt(connection->client, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
    setsockopt(connection->server, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
    const sockaddr_in target = Loopback(target_);
    if (connect(connection->server, reinterpret_cast<const sockaddr*>(&target), sizeof target) != 0) continue;
    absl::MutexLock lock(&mu_);
    connections_.push_back(connection);
    // One thread each way: requests go on while answers are held.
    carriers_.emplace_back([this, connection] { CarryRequests(*connection); });
    carriers_.emplace_back([this, connection] { CarryAnswers(*connection); });
  }
}

void HoldingProxy::CarryRequests(const Connection& connection) {
  char buffer[65536];
  ssize_t got;
  while ((got = read(connection.client, buffer, sizeof buffer)) > 0 && SendAll(connection.server, buffer, got)) {
  }
  shutdown(connection.server, SHUT_WR);
}

void HoldingProxy::CarryAnswers(const Connection& connection) {
  char buffer[16384];
  ssize_t got;
  while ((got = read(connection.server, buffer, sizeof buffer)) > 0) {
    {
      const auto may_pass = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return stopping_ || !limited_ || allowed_ > 0;
      };
      absl::MutexLock lock(&mu_);
      ++held_;
      mu_.Await(absl::Condition(&may_pass));
      --held_;
      if (limited_) allowed_ -= got;
    }
    if (!SendAll(connection.client, buffer, got)) break;
  }
  connection.Cut();
}

}  // namespace thaw::testing
