// A function that misbehaves on demand, for the fault tests: static, so that it runs in any image, and small, so that it
// is dumped and restored in a moment. README.md lists the orders. No FDK: it speaks Fn's http-stream contract itself.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/functions/native/privilege_probe.h"
#include "tests/functions/native/sockets.h"

namespace {


long calls = 0;
std::string token;
std::vector<char*> held_memory;

std::string Hex(const unsigned char* bytes, std::size_t count) {
  std::string text;
  char digits[3];
  for (std::size_t i = 0; i < count; ++i) {
    snprintf(digits, sizeof digits, "%02x", bytes[i]);
    text += digits;
  }
  return text;
}

std::string RandomHex() {
  unsigned char bytes[16];
  if (getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes)) abort();
  return Hex(bytes, sizeof bytes);
}

std::string ReadFile(const std::string& path) {
  FILE* file = fopen(path.c_str(), "r");
  if (file == nullptr) return std::string("errno ") + strerror(errno);
  std::string text;
  char buffer[4096];
  std::size_t got;
  while ((got = fread(buffer, 1, sizeof buffer, file)) > 0) text.append(buffer, got);
  fclose(file);
  return text;
}

// "opened" or the errno's name.
std::string TryOpen(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY);
  if (fd >= 0) {
    close(fd);
    return "opened";
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  const int error = errno;
  const int peer = socket(AF_UNIX, SOCK_STREAM, 0);
  const bool connected = connect(peer, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  close(peer);
  return connected ? "connected" : strerror(error);
}

void Print(long megabytes) {
  const std::string line(1023, 'x');
  for (long i = 0; i < megabytes * 1024; ++i) puts(line.c_str());
  fflush(stdout);
}

void Eat(long megabytes) {
  for (long i = 0; i < megabytes; ++i) {
    char* memory = static_cast<char*>(malloc(1 << 20));
    memset(memory, static_cast<int>(i), 1 << 20);
    held_memory.push_back(memory);
  }
}

// What makes a snapshot large in the store too.
void Noise(long megabytes) {
  for (long i = 0; i < megabytes; ++i) {
    char* memory = static_cast<char*>(malloc(1 << 20));
    // getrandom() gives large pieces in parts.
    for (std::size_t at = 0; at < 1 << 20;) {
      const ssize_t got = getrandom(memory + at, (1 << 20) - at, 0);
      if (got < 0) abort();
      at += static_cast<std::size_t>(got);
    }
    held_memory.push_back(memory);
  }
}

// What the order gives; `status` and `raw` may be changed. With `raw` the text goes out as it is.
std::string Obey(const std::string& order, int& status, bool& raw) {
  const std::size_t blank = order.find(' ');
  const std::string word = order.substr(0, blank);
  const std::string argument = blank == std::string::npos ? "" : order.substr(blank + 1);
  // Each execution leaves a line in the function's log, where it outlives the process.
  printf("executed %s\n", order.c_str());
  fflush(stdout);
  if (word == "exit") _exit(atoi(argument.c_str()));
  if (word == "hang") {
    while (true) pause();
  }
  if (word == "slow") {
    usleep(static_cast<useconds_t>(atol(argument.c_str()) * 1000));
    return "slept";
  }
  if (word == "warm-after") {
    if (calls < atol(argument.c_str())) usleep(15'000);
    return std::string("calls=") + std::to_string(calls);
  }
  if (word == "print") {
    Print(atol(argument.c_str()));
    return "printed";
  }
  if (word == "eat") {
    Eat(atol(argument.c_str()));
    return "ate";
  }
  if (word == "noise") {
    Noise(atol(argument.c_str()));
    return "noisy";
  }
  if (word == "status") {
    status = atoi(argument.c_str());
    return "as told";
  }
  if (word == "garbage") {
    raw = true;
    return "\x01\x02 this is no HTTP \xff\r\n\r\n";
  }
  if (word == "tcp") {
    // Kept open: CRIU can't dump it.
    thaw::testing::ConnectToItself();
    return "connected";
  }
  if (word == "env") {
    const char* value = getenv(argument.c_str());
    return value == nullptr ? "unset" : value;
  }
  if (word == "open") return TryOpen(argument);
  if (word == "read") return ReadFile(argument);
  if (word == "random") return RandomHex();
  if (word == "privileges") return privilege_probe::Report();
  return std::string("token=") + token + " calls=" + std::to_string(calls);
}

struct Peer {
  int fd;
  std::string bytes;
};

// Takes one whole request off the front of `bytes`; false when it is not whole yet.
bool TakeRequest(std::string& bytes, std::string& body) {
  const std::size_t head_end = bytes.find("\r\n\r\n");
  if (head_end == std::string::npos) return false;
  std::string head = bytes.substr(0, head_end);
  std::transform(head.begin(), head.end(), head.begin(), [](unsigned char c) { return static_cast<char>(tolower(c)); });
  std::size_t at = head_end + 4;
  body.clear();
  if (head.find("transfer-encoding: chunked") != std::string::npos) {
    while (true) {
      const std::size_t line = bytes.find("\r\n", at);
      if (line == std::string::npos) return false;
      const std::size_t size = strtoul(bytes.c_str() + at, nullptr, 16);
      if (bytes.size() < line + 2 + size + 2) return false;
      body.append(bytes, line + 2, size);
      at = line + 2 + size + 2;
      if (size == 0) break;
    }
  } else if (const std::size_t length = head.find("content-length: "); length != std::string::npos) {
    const std::size_t size = strtoul(head.c_str() + length + 16, nullptr, 10);
    if (bytes.size() < at + size) return false;
    body = bytes.substr(at, size);
    at += size;
  }
  bytes.erase(0, at);
  return true;
}

bool Answer(int fd, const std::string& body) {
  ++calls;
  int status = 200;
  bool raw = false;
  std::string out = Obey(body, status, raw);
  if (!raw) {
    out = "HTTP/1.1 " + std::to_string(status) + " Told\r\nContent-Type: text/plain\r\nContent-Length: " +
          std::to_string(out.size()) + "\r\n\r\n" + out;
  }
  return send(fd, out.data(), out.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(out.size()) && !raw;
}

[[noreturn]] void Serve() {
  const int listener = thaw::testing::ListenInIofs("native.sock");
  std::vector<Peer> peers;
  while (true) {
    std::vector<pollfd> polled = {{listener, POLLIN, 0}};
    for (const Peer& peer : peers) polled.push_back({peer.fd, POLLIN, 0});
    if (poll(polled.data(), polled.size(), -1) < 0) continue;
    for (std::size_t i = peers.size(); i-- > 0;) {
      if (polled[i + 1].revents == 0) continue;
      Peer& peer = peers[i];
      char buffer[65536];
      const ssize_t got = read(peer.fd, buffer, sizeof buffer);
      bool keep = got > 0;
      if (keep) peer.bytes.append(buffer, static_cast<std::size_t>(got));
      std::string body;
      while (keep && TakeRequest(peer.bytes, body)) keep = Answer(peer.fd, body);
      if (keep) continue;
      close(peer.fd);
      peers.erase(peers.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (polled[0].revents != 0) {
      const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) peers.push_back({fd, ""});
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "serve";
  token = RandomHex();
  printf("up as %s\n", mode.c_str());
  fflush(stdout);
  if (mode == "exits-at-start") return 9;
  if (mode == "never-listens") {
    while (true) pause();
  }
  if (mode == "listens-late") sleep(6);
  Serve();
}
