// A function for the host tests of thaw-init: static, so that it runs in any image. It serves one line per
// connection on /tmp/iofs/lsnr.sock, as Fn's contract names it (bound under another name, reached by a link).
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "tests/functions/native/privilege_probe.h"
#include "tests/functions/native/sockets.h"

namespace {

constexpr char kSocket[] = "/tmp/iofs/abc.sock";
constexpr char kLink[] = "/tmp/iofs/lsnr.sock";

int UnixSocket(const char* path, bool listens) {
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  const auto* any = reinterpret_cast<const sockaddr*>(&address);
  if (!listens) {
    if (connect(fd, any, sizeof address) == 0) return fd;
    close(fd);
    return -1;
  }
  unlink(path);
  if (bind(fd, any, sizeof address) != 0 || listen(fd, 8) != 0) abort();
  chmod(path, 0666);
  return fd;
}

int Listen() {
  const int fd = UnixSocket(kSocket, true);
  unlink(kLink);
  if (symlink("abc.sock", kLink) != 0) abort();
  return fd;
}

char* MapFile(const char* path, const char* text, bool unlink_it) {
  const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0640);
  if (fd < 0 || ftruncate(fd, 4096) != 0) abort();
  auto* memory = static_cast<char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  strcpy(memory, text);
  close(fd);
  if (unlink_it) unlink(path);
  return memory;
}

std::string ReadLine(int fd) {
  std::string line;
  char c = 0;
  while (read(fd, &c, 1) == 1 && c != '\n') line += c;
  return line;
}

int64_t Nanos(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

std::atomic<long> ticks{0};
std::atomic<long> steps_back{0};

// A fixed-rate schedule of 100 ms, as schedulers make them: what was missed is made up for at once.
void* Tick(void*) {
  int64_t next = Nanos(CLOCK_MONOTONIC);
  int64_t last = next;
  while (true) {
    next += 100'000'000;
    const timespec until{static_cast<time_t>(next / 1'000'000'000), static_cast<long>(next % 1'000'000'000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) != 0) {
    }
    ++ticks;
    const int64_t now = Nanos(CLOCK_MONOTONIC);
    if (now < last) ++steps_back;
    last = now;
  }
}

std::string ReadFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY);
  if (fd < 0) return strerror(errno);
  std::string content(65536, '\0');
  const ssize_t size = read(fd, content.data(), content.size());
  close(fd);
  content.resize(size < 0 ? 0 : static_cast<size_t>(size));
  return content;
}

// An epoll that watches a pipe which only a child still has.
int LoseEpollTarget() {
  int ends[2];
  if (pipe(ends) != 0) return -1;
  const int epoll = epoll_create1(0);
  epoll_event event{};
  event.events = EPOLLIN;
  epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
  if (fork() == 0) {
    for (int fd = 3; fd < 64; ++fd) {
      if (fd != ends[0] && fd != ends[1]) close(fd);
    }
    while (true) pause();
  }
  close(ends[0]);
  close(ends[1]);
  return epoll;
}

std::string Result(long value) { return value < 0 ? strerror(errno) : std::to_string(value); }

// Orders that leave something open, each answered with the descriptor's number, and those that use it.
bool Obstacle(const std::string& word, const std::string& argument, std::string* answer) {
  static epoll_event awaited{};
  const int fd = atoi(argument.c_str());
  char buffer[64] = {};
  if (word == "hold") {
    *answer = Result(open(argument.c_str(), argument.find("append") != std::string::npos ? O_RDWR | O_APPEND : O_RDWR));
  } else if (word == "hold-read") {
    *answer = Result(open(argument.c_str(), O_RDONLY));
  } else if (word == "deleted") {
    *answer = Result(open(argument.c_str(), O_RDWR | O_CREAT, 0600));
    unlink(argument.c_str());
  } else if (word == "connect") {
    *answer = Result(UnixSocket(argument.c_str(), false));
  } else if (word == "udp") {
    *answer = Result(socket(AF_INET, SOCK_DGRAM, 0));
  } else if (word == "epoll-lost") {
    *answer = Result(LoseEpollTarget());
  } else if (word == "sysv") {
    const int segment = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    *answer = shmat(segment, nullptr, 0) == reinterpret_cast<void*>(-1) ? strerror(errno) : "-1";
  } else if (word == "pipe") {
    int ends[2];
    *answer = Result(pipe(ends) == 0 ? ends[0] : -1);
  } else if (word == "map") {
    const int file = open(argument.c_str(), O_RDONLY);
    *answer = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file, 0) == MAP_FAILED ? strerror(errno) : "-1";
    close(file);
  } else if (word == "fd-read") {
    const ssize_t count = read(fd, buffer, sizeof buffer - 1);
    *answer = count < 0 ? strerror(errno) : "\"" + std::string(buffer, static_cast<size_t>(count)) + "\"";
  } else if (word == "fd-read8") {
    const ssize_t count = read(fd, buffer, 8);
    *answer = count < 0 ? strerror(errno) : "\"" + std::string(buffer, static_cast<size_t>(count)) + "\"";
  } else if (word == "fd-write") {
    signal(SIGPIPE, SIG_IGN);
    *answer = Result(write(fd, "written\n", 8));
  } else if (word == "fd-watch") {
    const int epoll = epoll_create1(0);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = 0x1234567890ull;
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    *answer = Result(epoll);
  } else if (word == "fd-wait") {
    awaited = {};
    const int count = epoll_wait(fd, &awaited, 1, 100);
    *answer = count == 1 ? std::to_string(awaited.data.u64) : Result(count);
  } else if (word == "fd-close") {
    *answer = Result(close(fd));
  } else if (word == "fd-next") {
    const int next = open("/dev/null", O_RDONLY);
    close(next);
    *answer = std::to_string(next);
  } else {
    return false;
  }
  return true;
}

std::string Checkpoint(int* listener) {
  close(*listener);
  unlink(kLink);
  unlink(kSocket);
  const int request = UnixSocket("/run/thaw/fn/request.sock", false);
  if (request < 0) return "no request socket";
  (void)!write(request, "checkpoint\n", 11);
  const std::string line = ReadLine(request);
  close(request);
  if (line.compare(0, 5, "wait ") == 0) {
    struct stat info {};
    while (stat(line.c_str() + 5, &info) != 0) usleep(1000);
  }
  *listener = Listen();
  return line;
}

}  // namespace

int main() {
  long count = 0;
  const long token = static_cast<long>(getpid()) * 1000003 + time(nullptr);
  char* mapped = MapFile("/tmp/mapped", "mapped-text", false);
  char* shared = MapFile("/dev/shm/shared", "shared-text", false);
  char* deleted = MapFile("/tmp/deleted", "deleted-text", true);
  std::vector<int> tcp;
  int watch = -1;
  std::string last_wait = "-";
  std::string kept;
  int listener = Listen();
  printf("up\n");
  fflush(stdout);
  fprintf(stderr, "warned\n");
  while (true) {
    const int peer = accept(listener, nullptr, nullptr);
    if (peer < 0) continue;
    const std::string line = ReadLine(peer);
    const size_t blank = line.find(' ');
    const std::string word = line.substr(0, blank);
    const std::string argument = blank == std::string::npos ? "" : line.substr(blank + 1);
    std::string answer = "ok";
    bool checkpoint = false;
    if (word == "hello") {
      answer = std::to_string(getpid()) + " " + std::to_string(++count) + " " + std::to_string(token) + " " + mapped +
               " " + shared + " " + deleted;
    } else if (word == "privileges") {
      answer = privilege_probe::Report();
    } else if (word == "tcp") {
      const auto made = thaw::testing::ConnectToItself();
      tcp = {made.listener, made.client, made.accepted};
    } else if (word == "notcp") {
      for (int fd : tcp) close(fd);
    } else if (word == "print") {
      const std::string text(999, 'x');
      for (long left = atol(argument.c_str()); left > 0; left -= 1000) printf("%s\n", text.c_str());
      fflush(stdout);
    } else if (word == "say") {
      printf("%s\n", argument.c_str());
      fflush(stdout);
    } else if (word == "linger") {
      if (fork() == 0) {
        close(peer);
        close(listener);
        setsid();
        signal(SIGTERM, SIG_IGN);
        while (true) pause();
      }
    } else if (word == "ignore") {
      signal(SIGTERM, SIG_IGN);
    } else if (word == "exit") {
      exit(atoi(argument.c_str()));
    } else if (word == "eat") {
      const size_t size = static_cast<size_t>(atol(argument.c_str())) << 20;
      auto* memory = static_cast<char*>(malloc(size));
      for (size_t i = 0; i < size; i += 4096) memory[i] = 1;
      answer = std::to_string(memory[size / 2]);
    } else if (word == "iouring") {
      char parameters[256] = {};
      answer = syscall(SYS_io_uring_setup, 1, parameters) < 0 ? strerror(errno) : "a ring";
    } else if (word == "open") {
      const int fd = open(argument.c_str(), O_RDONLY);
      answer = fd < 0 ? strerror(errno) : "opened";
      if (fd >= 0) close(fd);
    } else if (word == "clocks") {
      answer = std::to_string(Nanos(CLOCK_MONOTONIC)) + " " + std::to_string(Nanos(CLOCK_BOOTTIME)) + " " +
               std::to_string(Nanos(CLOCK_REALTIME));
    } else if (word == "tick") {
      pthread_t thread;
      pthread_create(&thread, nullptr, Tick, nullptr);
    } else if (word == "ticks") {
      answer = std::to_string(ticks) + " " + std::to_string(steps_back);
    } else if (word == "read") {
      answer = ReadFile(argument);
    } else if (word == "keep") {
      kept = ReadFile(argument);
    } else if (word == "kept") {
      answer = kept;
    } else if (word == "touch") {
      const int fd = open(argument.c_str(), O_WRONLY | O_CREAT, 0644);
      answer = fd < 0 ? strerror(errno) : "ok";
      if (fd >= 0) close(fd);
    } else if (word == "watch") {
      watch = inotify_init1(IN_NONBLOCK);
      answer = inotify_add_watch(watch, argument.c_str(), IN_CREATE) >= 0 ? "ok" : strerror(errno);
    } else if (word == "watched") {
      alignas(inotify_event) char event[4096];
      answer = read(watch, event, sizeof event) > 0 ? reinterpret_cast<inotify_event*>(event)->name : "nothing";
    } else if (word == "checkpoint") {
      checkpoint = true;
    } else if (Obstacle(word, argument, &answer)) {
      // Done.
    } else if (word == "wait") {
      answer = last_wait;
    } else {
      answer = "what?";
    }
    answer += "\n";
    (void)!write(peer, answer.data(), answer.size());
    close(peer);
    if (checkpoint) last_wait = Checkpoint(&listener);
  }
}
