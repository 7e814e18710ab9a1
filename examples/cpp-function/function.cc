// A function in plain C++, with no FDK: it speaks Fn's http-stream contract, which is HTTP/1.1 over a unix socket.
//
// Started with FN_FORMAT=http-stream and FN_LISTENER=unix:<path>, it binds a socket beside <path>, lets everybody connect,
// and only then makes <path> a relative symbolic link to it: whoever sees the link can connect. Then it answers
// `POST /call`, one call at a time. Nothing here knows of checkpoints; it is frozen and thawed as it is.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

// The function itself: what one call gives. The count lives in memory, so a thawed instance goes on counting.
std::string Handle(const std::string& body) {
  static long calls = 0;
  return "Hello, " + (body.empty() ? "world" : body) + "! This is call " + std::to_string(++calls) + ".\n";
}

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

// Bytes of one connection, read as they are needed.
class Reader {
 public:
  explicit Reader(int fd) : fd_(fd) {}

  // The next line without its end; false when the peer has gone.
  bool Line(std::string* line) {
    size_t end;
    while ((end = buffer_.find("\r\n")) == std::string::npos) {
      if (buffer_.size() > kLongestLine || !More()) return false;
    }
    *line = buffer_.substr(0, end);
    buffer_.erase(0, end + 2);
    return true;
  }
  // Appends the next `count` bytes to `text`.
  bool Bytes(size_t count, std::string* text) {
    while (buffer_.size() < count) {
      if (!More()) return false;
    }
    text->append(buffer_, 0, count);
    buffer_.erase(0, count);
    return true;
  }

 private:
  static constexpr size_t kLongestLine = 64 * 1024;

  bool More() {
    char bytes[16384];
    const ssize_t count = read(fd_, bytes, sizeof bytes);
    if (count > 0) buffer_.append(bytes, static_cast<size_t>(count));
    return count > 0;
  }

  const int fd_;
  std::string buffer_;
};

bool ReadChunks(Reader& reader, std::string* body) {
  std::string line;
  while (reader.Line(&line)) {
    const size_t size = std::strtoul(line.c_str(), nullptr, 16);
    if (size == 0) return reader.Line(&line);
    if (!reader.Bytes(size, body) || !reader.Line(&line)) return false;
  }
  return false;
}

bool ReadRequest(Reader& reader, std::string* body) {
  std::string line;
  if (!reader.Line(&line)) return false;
  size_t length = 0;
  bool chunked = false;
  while (reader.Line(&line)) {
    if (line.empty()) return chunked ? ReadChunks(reader, body) : reader.Bytes(length, body);
    for (char& c : line) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (line.rfind("content-length:", 0) == 0) length = std::strtoul(line.c_str() + 15, nullptr, 10);
    if (line.rfind("transfer-encoding:", 0) == 0) chunked = line.find("chunked") != std::string::npos;
  }
  return false;
}

bool WriteAll(int fd, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t count = send(fd, text.data() + done, text.size() - done, MSG_NOSIGNAL);
    if (count <= 0) return false;
    done += static_cast<size_t>(count);
  }
  return true;
}

int Listen(const std::string& listener) {
  const size_t slash = listener.rfind('/');
  const std::string name = "cpp-" + std::to_string(getpid()) + ".sock";
  const std::string path = listener.substr(0, slash + 1) + name;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) Fail("FN_LISTENER is too long: " + listener);
  std::memcpy(address.sun_path, path.c_str(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || chmod(path.c_str(), 0666) != 0 ||
      listen(fd, 16) != 0) {
    Fail("can't listen on " + path);
  }
  if (symlink(name.c_str(), listener.c_str()) != 0) Fail("can't make " + listener);
  return fd;
}

}  // namespace

int main() {
  const char* format = std::getenv("FN_FORMAT");
  const char* listener = std::getenv("FN_LISTENER");
  if (format == nullptr || std::strcmp(format, "http-stream") != 0 || listener == nullptr ||
      std::strncmp(listener, "unix:/", 6) != 0) {
    std::fprintf(stderr, "this function is started by Fn or Thaw, with FN_FORMAT=http-stream and FN_LISTENER=unix:/…\n");
    return 1;
  }
  const int fd = Listen(listener + 5);
  while (true) {
    const int connection = accept4(fd, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) continue;
    Reader reader(connection);
    for (std::string body; ReadRequest(reader, &body); body.clear()) {
      const std::string answer = Handle(body);
      if (!WriteAll(connection, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " +
                                    std::to_string(answer.size()) + "\r\n\r\n" + answer)) {
        break;
      }
    }
    close(connection);
  }
}
