#include "cli/metrics/scraper.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

namespace thaw::cli {
namespace {

constexpr absl::Duration kTimeLimit = absl::Seconds(5);
constexpr std::size_t kMaxPage = 16u << 20;

absl::Status Failed(const std::string& address, absl::string_view why) {
  return absl::UnavailableError(absl::StrCat("can't read the metrics of ", address, ": ", why,
                                             "; name the right address with --metrics NODE=HOST:PORT"));
}

bool WaitFor(int fd, short events, absl::Time deadline) {
  pollfd waiting = {fd, events, 0};
  const auto left = absl::ToInt64Milliseconds(deadline - absl::Now());
  return left > 0 && poll(&waiting, 1, static_cast<int>(left)) == 1;
}

}  // namespace

absl::StatusOr<std::string> HttpMetricsScraper::Scrape(const std::string& address) {
  const auto colon = address.rfind(':');
  if (colon == std::string::npos) return Failed(address, "it is not host:port");
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  const std::string port = address.substr(colon + 1);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return Failed(address, gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);
  const absl::Time deadline = absl::Now() + kTimeLimit;
  std::string why = "no address";
  for (const addrinfo* it = found; it != nullptr; it = it->ai_next) {
    const int fd = socket(it->ai_family, it->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, it->ai_protocol);
    if (fd < 0) continue;
    struct Closer {
      int fd;
      ~Closer() { close(fd); }
    } closer{fd};
    if (connect(fd, it->ai_addr, it->ai_addrlen) != 0) {
      int error = errno;
      if (error == EINPROGRESS) {
        socklen_t size = sizeof(error);
        if (!WaitFor(fd, POLLOUT, deadline)) {
          error = ETIMEDOUT;
        } else {
          getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
        }
      }
      if (error != 0) {
        why = strerror(error);
        continue;
      }
    }
    const std::string request = absl::StrCat("GET /metrics HTTP/1.0\r\nHost: ", address,
                                             "\r\nAccept: text/plain\r\nConnection: close\r\n\r\n");
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) {
      why = strerror(errno);
      continue;
    }
    std::string answer;
    std::string buffer(65536, '\0');
    ssize_t got = -1;
    while (answer.size() < kMaxPage && WaitFor(fd, POLLIN, deadline)) {
      got = recv(fd, buffer.data(), buffer.size(), 0);
      if (got <= 0) break;
      answer.append(buffer, 0, static_cast<std::size_t>(got));
    }
    if (got != 0) {
      why = "the answer did not end in time";
      continue;
    }
    const auto body = answer.find("\r\n\r\n");
    if (body == std::string::npos || !absl::StartsWith(answer, "HTTP/1.") || answer.substr(8, 5) != " 200 ") {
      return Failed(address, absl::StrCat("it answered `", answer.substr(0, answer.find('\r')), "`"));
    }
    return answer.substr(body + 4);
  }
  return Failed(address, why);
}

std::vector<MetricSample> SamplesOf(absl::string_view page, absl::string_view name) {
  std::vector<MetricSample> samples;
  for (absl::string_view line : absl::StrSplit(page, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (!absl::StartsWith(line, name)) continue;
    line.remove_prefix(name.size());
    MetricSample sample;
    if (absl::StartsWith(line, "{")) {
      line.remove_prefix(1);
      while (!line.empty() && line[0] != '}') {
        const auto equals = line.find("=\"");
        if (equals == absl::string_view::npos) break;
        const std::string label(absl::StripAsciiWhitespace(line.substr(0, equals)));
        line.remove_prefix(equals + 2);
        std::string value;
        std::size_t i = 0;
        for (; i < line.size() && line[i] != '"'; ++i) {
          if (line[i] == '\\' && i + 1 < line.size()) {
            ++i;
            value += line[i] == 'n' ? '\n' : line[i];
          } else {
            value += line[i];
          }
        }
        line.remove_prefix(std::min(line.size(), i + 1));
        sample.labels[label] = value;
        while (!line.empty() && (line[0] == ',' || line[0] == ' ')) line.remove_prefix(1);
      }
      if (line.empty()) continue;
      line.remove_prefix(1);
    } else if (line.empty() || line[0] != ' ') {
      continue;  // a longer name that begins with this one
    }
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (fields.empty() || !absl::SimpleAtod(fields[0], &sample.value)) continue;
    samples.push_back(std::move(sample));
  }
  return samples;
}

}  // namespace thaw::cli
