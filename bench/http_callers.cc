#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bench/function_socket.h"
#include "bench/load.h"
#include "common/status/status_macros.h"

namespace thaw::bench {
namespace {

using testing::LoadResult;

constexpr int kSilenceLimitMs = 30'000;

struct Caller {
  int fd = -1;
  absl::Time sent;
  std::string answer;
};

absl::StatusOr<int> Dial(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return absl::UnavailableError(absl::StrCat("can't connect to the gateway: ", strerror(errno)));
}

class HttpCallers {
 public:
  explicit HttpCallers(const std::string& request) : request_(request), epoll_(epoll_create1(EPOLL_CLOEXEC)) {}
  ~HttpCallers() {
    for (const Caller& caller : callers_) close(caller.fd);
    close(epoll_);
  }

  absl::StatusOr<LoadResult> Run(int port, int count, absl::Duration time) {
    callers_.resize(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < callers_.size(); ++i) {
      ASSIGN_OR_RETURN(callers_[i].fd, Dial(port));
      epoll_event event{EPOLLIN, {.u64 = i}};
      epoll_ctl(epoll_, EPOLL_CTL_ADD, callers_[i].fd, &event);
    }
    const absl::Time begun = absl::Now();
    end_ = begun + time;
    for (Caller& caller : callers_) RETURN_IF_ERROR(Send(caller));
    under_way_ = callers_.size();
    // Those that are under way at the end are waited for, and counted.
    while (under_way_ > 0) {
      epoll_event events[128];
      const int ready = epoll_wait(epoll_, events, 128, kSilenceLimitMs);
      if (ready == 0) return absl::DeadlineExceededError(absl::StrCat(under_way_, " HTTP calls have had no answer for 30 s"));
      for (int i = 0; i < ready; ++i) RETURN_IF_ERROR(OnReadable(callers_[events[i].data.u64]));
    }
    result_.time = absl::Now() - begun;
    return std::move(result_);
  }

 private:
  absl::Status Send(Caller& caller) {
    caller.sent = absl::Now();
    caller.answer.clear();
    if (send(caller.fd, request_.data(), request_.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request_.size())) {
      return absl::OkStatus();
    }
    return absl::UnavailableError(absl::StrCat("the gateway took no request: ", strerror(errno)));
  }

  absl::Status OnReadable(Caller& caller) {
    char buffer[16384];
    const ssize_t got = recv(caller.fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return absl::OkStatus();
    if (got <= 0) return absl::UnavailableError("the gateway closed a connection in the middle of a call");
    caller.answer.append(buffer, static_cast<std::size_t>(got));
    ASSIGN_OR_RETURN(const std::size_t length, AnswerLength(caller.answer));
    if (length == 0) return absl::OkStatus();
    const absl::Time now = absl::Now();
    result_.latencies.push_back(now - caller.sent);
    if (AnswerStatus(caller.answer) != 200) {
      if (result_.errors++ == 0) result_.first_error = caller.answer;
    }
    if (now < end_) return Send(caller);
    --under_way_;
    return absl::OkStatus();
  }

  const std::string& request_;
  const int epoll_;
  std::vector<Caller> callers_;
  absl::Time end_;
  std::size_t under_way_ = 0;
  LoadResult result_;
};

}  // namespace

absl::StatusOr<LoadResult> LoadHttp(const std::string& address, const std::string& request, int callers,
                                    absl::Duration time) {
  int port = 0;
  if (!absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port)) {
    return absl::InvalidArgumentError(absl::StrCat("'", address, "' is no host:port"));
  }
  return HttpCallers(request).Run(port, callers, time);
}

}  // namespace thaw::bench
