#include "bench/function_socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

namespace thaw::bench {
namespace {

constexpr absl::Duration kLookEvery = absl::Milliseconds(1);
constexpr timeval kSilenceLimit{30, 0};

// Past the last chunk and its empty line; 0 while there is more to come.
std::size_t ChunkedEnd(const std::string& bytes, std::size_t at) {
  while (true) {
    const std::size_t line_end = bytes.find("\r\n", at);
    if (line_end == std::string::npos) return 0;
    const std::size_t size = std::strtoul(bytes.c_str() + at, nullptr, 16);
    at = line_end + 2 + size + 2;
    if (at > bytes.size()) return 0;
    if (size == 0) return at;
  }
}

}  // namespace

absl::StatusOr<std::size_t> AnswerLength(const std::string& bytes) {
  if (!absl::StartsWith("HTTP/1.1 ", bytes.substr(0, 9))) return absl::InternalError("the answer is not HTTP/1.1");
  const std::size_t head_end = bytes.find("\r\n\r\n");
  if (head_end == std::string::npos) return 0;
  for (const absl::string_view line : absl::StrSplit(absl::string_view(bytes).substr(0, head_end), "\r\n")) {
    const std::pair<absl::string_view, absl::string_view> field = absl::StrSplit(line, absl::MaxSplits(':', 1));
    const absl::string_view value = absl::StripAsciiWhitespace(field.second);
    if (absl::EqualsIgnoreCase(field.first, "content-length")) {
      std::size_t length = 0;
      if (!absl::SimpleAtoi(value, &length)) return absl::InternalError("the answer has no good Content-Length");
      const std::size_t total = head_end + 4 + length;
      return bytes.size() < total ? 0 : total;
    }
    if (absl::EqualsIgnoreCase(field.first, "transfer-encoding")) return ChunkedEnd(bytes, head_end + 4);
  }
  return absl::InternalError("the answer has neither Content-Length nor chunks");
}

int AnswerStatus(const std::string& bytes) {
  int status = 0;
  return bytes.size() >= 12 && absl::SimpleAtoi(bytes.substr(9, 3), &status) ? status : 0;
}

FunctionSocket::~FunctionSocket() {
  if (fd_ >= 0) close(fd_);
}

absl::Status FunctionSocket::Connect(absl::Time deadline) {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  while (absl::Now() < deadline) {
    // The link names a place inside the container; the socket lies beside it.
    std::error_code error;
    const std::string link = iofs_dir_ + "/lsnr.sock";
    const auto target = std::filesystem::read_symlink(link, error);
    const std::string path = error ? link : absl::StrCat(iofs_dir_, "/", target.filename().string());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kSilenceLimit, sizeof kSilenceLimit);
      fd_ = fd;
      return absl::OkStatus();
    }
    close(fd);
    absl::SleepFor(kLookEvery);
  }
  return absl::DeadlineExceededError(absl::StrCat("nothing listens in ", iofs_dir_));
}

absl::Status FunctionSocket::Call(const std::string& body) {
  const std::string request =
      absl::StrCat("POST /call HTTP/1.1\r\nHost: localhost\r\nFn-Call-Id: bench\r\nFn-Deadline: ",
                   absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now() + absl::Seconds(30), absl::UTCTimeZone()),
                   "\r\nContent-Type: text/plain\r\nContent-Length: ", body.size(), "\r\n\r\n", body);
  if (send(fd_, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) {
    return absl::InternalError(absl::StrCat("the function took no call: ", strerror(errno)));
  }
  std::string answer;
  char buffer[65536];
  while (true) {
    const ssize_t got = recv(fd_, buffer, sizeof buffer, 0);
    if (got <= 0) return absl::InternalError("the function broke the connection, or was silent for 30 s");
    answer.append(buffer, static_cast<std::size_t>(got));
    const absl::StatusOr<std::size_t> length = AnswerLength(answer);
    if (!length.ok()) return length.status();
    if (*length == 0) continue;
    if (AnswerStatus(answer) == 200) return absl::OkStatus();
    return absl::InternalError(absl::StrCat("the function answered: ", answer));
  }
}

}  // namespace thaw::bench
