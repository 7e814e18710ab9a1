// The program in the contract suite's image: static, so that it needs nothing else there.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

void CopyLines(const char* path, const char* start) {
  std::FILE* const file = std::fopen(path, "re");
  if (file == nullptr) {
    std::printf("%s: %s\n", path, std::strerror(errno));
    return;
  }
  char line[4096];
  while (std::fgets(line, sizeof(line), file) != nullptr) {
    if (std::strncmp(line, start, std::strlen(start)) == 0) std::fputs(line, stdout);
  }
  std::fclose(file);
}

void TryWrite(const char* path) {
  const int fd = ::open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  std::printf("write %s: %s\n", path, fd >= 0 ? "ok" : std::strerror(errno));
  if (fd >= 0) ::close(fd);
}

void Report() {
  std::printf("uid %d pid %d\n", static_cast<int>(::getuid()), static_cast<int>(::getpid()));
  CopyLines("/proc/self/status", "Cap");
  CopyLines("/proc/self/status", "Seccomp:");
  TryWrite("/root-file");
  TryWrite("/tmp/file");
  TryWrite("/data/file");
  TryWrite("/readonly/file");
  // Read-only where the engine's default paths are in force.
  TryWrite("/proc/sys/kernel/ns_last_pid");
  struct stat keys {};
  std::printf("masked %s\n", ::stat("/proc/kcore", &keys) == 0 && S_ISCHR(keys.st_mode) ? "yes" : "no");
  std::FILE* const mounts = std::fopen("/proc/self/mounts", "re");
  char line[4096];
  while (mounts != nullptr && std::fgets(line, sizeof(line), mounts) != nullptr) {
    if (std::strstr(line, " /tmp ") != nullptr) std::printf("mount %s", line);
  }
  char target[256] = "";
  if (::readlink("/proc/self/fd/0", target, sizeof(target) - 1) > 0) std::printf("stdin %s\n", target);
  CopyLines("/sys/fs/cgroup/memory/memory.limit_in_bytes", "");
  CopyLines("/sys/fs/cgroup/memory.max", "");
  CopyLines("/sys/fs/cgroup/pids/pids.max", "");
  CopyLines("/sys/fs/cgroup/pids.max", "");
  CopyLines("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "");
  CopyLines("/sys/fs/cgroup/cpu.max", "");
}

}  // namespace

int main(int argc, char** argv) {
  const char* const what = argc > 1 ? argv[1] : "sleep";
  if (std::strcmp(what, "exit") == 0) return std::atoi(argv[2]);
  if (std::strcmp(what, "print") == 0) {
    for (int i = 1; i <= std::atoi(argv[2]); ++i) std::printf("line %d\n", i);
    return 0;
  }
  if (std::strcmp(what, "report") == 0) {
    Report();
    return 0;
  }
  if (std::strcmp(what, "eat") == 0) {
    // Until the kernel has had enough.
    for (std::size_t eaten = 0; eaten < (std::size_t{1} << 30); eaten += 1 << 20) {
      void* const part = std::malloc(1 << 20);
      if (part != nullptr) std::memset(part, 1, 1 << 20);
    }
    return 0;
  }
  sigset_t stop;
  ::sigemptyset(&stop);
  ::sigaddset(&stop, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &stop, nullptr);
  int signal = 0;
  ::sigwait(&stop, &signal);
  return 0;
}
