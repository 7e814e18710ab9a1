#include "tests/support/scripted_unix_server.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace thaw::testing {
namespace {

[[noreturn]] void Die(const char* act) {
  std::perror(act);
  std::abort();
}

}  // namespace

bool ScriptedUnixServer::Connection::Fill() {
  char part[65536];
  const ssize_t got = ::recv(fd_, part, sizeof(part), 0);
  if (got <= 0) return false;
  buffer_.append(part, static_cast<std::size_t>(got));
  return true;
}

bool ScriptedUnixServer::Connection::ReadHead() {
  std::size_t end;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!Fill()) return false;
  }
  head_ = buffer_.substr(0, end + 4);
  buffer_.erase(0, end + 4);
  return true;
}

bool ScriptedUnixServer::Connection::ReadRequest() {
  if (!ReadHead()) return false;
  const std::string lower = absl::AsciiStrToLower(head_);
  std::size_t length = 0;
  const std::size_t at = lower.find("content-length: ");
  if (at != std::string::npos) length = std::strtoull(lower.c_str() + at + 16, nullptr, 10);
  if (absl::StrContains(lower, "transfer-encoding: chunked")) {
    std::size_t last;
    while ((last = buffer_.find("0\r\n\r\n")) == std::string::npos) {
      if (!Fill()) return false;
    }
    length = last + 5;
  }
  while (buffer_.size() < length) {
    if (!Fill()) return false;
  }
  body_ = buffer_.substr(0, length);
  buffer_.erase(0, length);
  return true;
}

bool ScriptedUnixServer::Connection::Send(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return true;
}

bool ScriptedUnixServer::Connection::Answer(absl::string_view body, absl::string_view extra_headers,
                                            absl::string_view status) {
  return Send(absl::StrCat("HTTP/1.1 ", status, "\r\nContent-Length: ", body.size(), "\r\n", extra_headers, "\r\n", body));
}

void ScriptedUnixServer::Connection::AwaitClose() {
  while (Fill()) buffer_.clear();
}

ScriptedUnixServer::ScriptedUnixServer(Handler handler, std::string path, int backlog)
    : handler_(std::move(handler)), path_(std::move(path)) {
  if (path_.empty()) {
    dir_ = std::make_unique<TempDir>();
    path_ = dir_->File("s.sock");
  }
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_.data(), std::min(path_.size(), sizeof(address.sun_path) - 1));
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) Die(path_.c_str());
  if (::listen(listener_, backlog) != 0) Die("listen");
  acceptor_ = std::thread([this] { Accept(); });
}

ScriptedUnixServer::~ScriptedUnixServer() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
  }
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  std::vector<std::thread> handlers;
  {
    absl::MutexLock lock(&mu_);
    handlers.swap(handlers_);
  }
  for (std::thread& handler : handlers) handler.join();
  ::close(listener_);
}

int ScriptedUnixServer::accepted() const {
  absl::MutexLock lock(&mu_);
  return accepted_;
}

int ScriptedUnixServer::open() const {
  absl::MutexLock lock(&mu_);
  return static_cast<int>(open_.size());
}

void ScriptedUnixServer::Accept() {
  while (true) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    absl::MutexLock lock(&mu_);
    if (stopping_) {
      ::close(fd);
      return;
    }
    const int number = accepted_++;
    open_.push_back(fd);
    handlers_.emplace_back([this, fd, number] {
      Connection connection(fd, number);
      handler_(connection);
      absl::MutexLock lock(&mu_);
      open_.erase(std::find(open_.begin(), open_.end(), fd));
      ::close(fd);
    });
  }
}

}  // namespace thaw::testing
