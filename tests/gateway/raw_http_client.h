#ifndef THAW_TESTS_GATEWAY_RAW_HTTP_CLIENT_H_
#define THAW_TESTS_GATEWAY_RAW_HTTP_CLIENT_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace thaw::testing {

// One TCP connection that sends just the bytes it is told to. One thread at a time.
class RawHttpClient {
 public:
  struct Response {
    // 0 when the connection ended without one.
    int status = 0;
    std::string head;
    std::string body;

    // Empty when it is not there.
    std::string header(absl::string_view name) const {
      for (absl::string_view line : absl::StrSplit(head, "\r\n")) {
        const std::size_t colon = line.find(':');
        if (colon != absl::string_view::npos && absl::EqualsIgnoreCase(line.substr(0, colon), name)) {
          return std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
        }
      }
      return "";
    }
  };

  explicit RawHttpClient(int port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) Close();
  }
  ~RawHttpClient() { Close(); }
  RawHttpClient(const RawHttpClient&) = delete;
  RawHttpClient& operator=(const RawHttpClient&) = delete;

  bool connected() const { return fd_ >= 0; }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  // False when the other side has closed.
  bool Send(absl::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  // The next response, or what came of it within `limit`.
  Response Read(absl::Duration limit = absl::Seconds(10)) {
    const absl::Time deadline = absl::Now() + limit;
    Response response;
    std::size_t end;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!Fill(deadline)) return response;
    }
    response.head = buffer_.substr(0, end + 2);
    buffer_.erase(0, end + 4);
    if (response.head.size() > 12) (void)absl::SimpleAtoi(response.head.substr(9, 3), &response.status);
    std::size_t length = 0;
    (void)absl::SimpleAtoi(response.header("Content-Length"), &length);
    if (response.status == 100 || head_request_) length = 0;
    while (buffer_.size() < length) {
      if (!Fill(deadline)) break;
    }
    response.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
    return response;
  }

  Response Post(absl::string_view target, absl::string_view body, absl::string_view extra_headers = "") {
    Send(absl::StrCat("POST ", target, " HTTP/1.1\r\nHost: test\r\nContent-Length: ", body.size(), "\r\n",
                      extra_headers, "\r\n", body));
    return Read();
  }
  Response Get(absl::string_view target) {
    Send(absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: test\r\n\r\n"));
    return Read();
  }
  // Whether the other side closes within `limit`; what still comes is dropped.
  bool AwaitClose(absl::Duration limit = absl::Seconds(10)) {
    const absl::Time deadline = absl::Now() + limit;
    while (Fill(deadline)) buffer_.clear();
    return closed_;
  }
  void set_head_request(bool head_request) { head_request_ = head_request; }

 private:
  bool Fill(absl::Time deadline) {
    pollfd poll_fd{.fd = fd_, .events = POLLIN, .revents = 0};
    const auto wait = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (wait <= 0 || poll(&poll_fd, 1, static_cast<int>(wait)) <= 0) return false;
    char bytes[16384];
    const ssize_t got = recv(fd_, bytes, sizeof(bytes), 0);
    if (got <= 0) {
      closed_ = true;
      return false;
    }
    buffer_.append(bytes, static_cast<std::size_t>(got));
    return true;
  }

  int fd_;
  std::string buffer_;
  bool closed_ = false;
  bool head_request_ = false;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_GATEWAY_RAW_HTTP_CLIENT_H_
