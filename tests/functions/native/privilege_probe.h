// What a function could do to its host if it tried: each attempt and how it ended, seen from inside. For the test functions,
// which are static programs of their own, so this needs nothing but the C library.
#ifndef THAW_TESTS_FUNCTIONS_NATIVE_PRIVILEGE_PROBE_H_
#define THAW_TESTS_FUNCTIONS_NATIVE_PRIVILEGE_PROBE_H_

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>

namespace privilege_probe {

// Runs `attempt` in a child, so that a success changes nothing here; "succeeded" or the errno's name.
inline std::string Try(const std::function<bool()>& attempt) {
  const pid_t child = fork();
  if (child < 0) return "no fork";
  if (child == 0) _exit(attempt() ? 0 : errno == 0 ? 255 : errno);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  if (!WIFEXITED(status)) return "killed";
  if (WEXITSTATUS(status) == 0) return "succeeded";
  return WEXITSTATUS(status) == 255 ? "refused" : strerrorname_np(WEXITSTATUS(status));
}

inline bool Opens(const char* path, int flags) { return open(path, flags, 0600) >= 0; }

// Some files of /proc let everybody open them, and ask for a capability only then.
inline bool Writes(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY);
  return fd >= 0 && write(fd, text, strlen(text)) > 0;
}

inline bool Connects(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  return connect(socket(AF_UNIX, SOCK_STREAM, 0), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

// Of each thread, and nothing of the rest of /proc/self/status.
inline std::string Status() {
  std::string text;
  DIR* tasks = opendir("/proc/self/task");
  while (const dirent* task = tasks == nullptr ? nullptr : readdir(tasks)) {
    if (task->d_name[0] == '.') continue;
    FILE* file = fopen((std::string("/proc/self/task/") + task->d_name + "/status").c_str(), "r");
    char line[512];
    while (file != nullptr && fgets(line, sizeof line, file) != nullptr) {
      for (const char* key : {"Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "Seccomp:"}) {
        if (strncmp(line, key, strlen(key)) == 0) text += line;
      }
    }
    if (file != nullptr) fclose(file);
  }
  if (tasks != nullptr) closedir(tasks);
  return text;
}

// The status lines, then one line `name: result` for each attempt. The one named `control` succeeds everywhere.
inline std::string Report() {
  struct Attempt {
    const char* name;
    std::function<bool()> act;
  };
  const Attempt attempts[] = {
      {"control", [] { return Opens("/tmp/privilege-probe", O_RDWR | O_CREAT); }},
      {"list /cracdata", [] { return Opens("/cracdata", O_RDONLY | O_DIRECTORY); }},
      {"write /cracdata", [] { return Opens("/cracdata/x", O_WRONLY | O_CREAT); }},
      {"list CRIU's work directory", [] { return Opens("/run/thaw/work", O_RDONLY | O_DIRECTORY); }},
      {"write CRIU's work directory", [] { return Opens("/run/thaw/work/x", O_WRONLY | O_CREAT); }},
      {"list the control directory", [] { return Opens("/run/thaw/ctl", O_RDONLY | O_DIRECTORY); }},
      {"connect to init's control socket", [] { return Connects("/run/thaw/ctl/init.sock"); }},
      {"read the function's log", [] { return Opens("/run/thaw/ctl/function.log", O_RDONLY); }},
      {"forge a resume marker", [] { return Opens("/run/thaw/fn/resume-forged", O_WRONLY | O_CREAT); }},
      {"write criu.kdat", [] { return Opens("/run/criu.kdat", O_WRONLY); }},
      {"make a file in /thaw", [] { return Opens("/thaw/x", O_WRONLY | O_CREAT); }},
      {"write /thaw/init", [] { return Opens("/thaw/init", O_WRONLY); }},
      {"make a file in /etc", [] { return Opens("/etc/x", O_WRONLY | O_CREAT); }},
      {"read init's memory", [] { return Opens("/proc/1/mem", O_RDONLY); }},
      {"read init's environment", [] { return Opens("/proc/1/environ", O_RDONLY); }},
      {"enter init's root", [] { return Opens("/proc/1/root", O_RDONLY | O_DIRECTORY); }},
      {"list init's descriptors", [] { return Opens("/proc/1/fd", O_RDONLY | O_DIRECTORY); }},
      {"set the PID cursor", [] { return Writes("/proc/sys/kernel/ns_last_pid", "100"); }},
      {"set the core pattern", [] { return Opens("/proc/sys/kernel/core_pattern", O_WRONLY); }},
      {"drop the host's caches", [] { return Opens("/proc/sys/vm/drop_caches", O_WRONLY); }},
      {"setuid(0)", [] { return setuid(0) == 0; }},
      {"setgid(0)", [] { return setgid(0) == 0; }},
      {"setgroups", [] { return setgroups(0, nullptr) == 0; }},
      {"mount", [] { return mount("tmpfs", "/tmp", "tmpfs", 0, nullptr) == 0; }},
      {"umount", [] { return umount2("/cracdata", MNT_DETACH) == 0; }},
      {"chroot", [] { return chroot("/tmp") == 0; }},
      {"mknod", [] { return mknod("/tmp/privilege-device", S_IFCHR | 0666, makedev(1, 1)) == 0; }},
      {"ptrace init", [] { return ptrace(PTRACE_ATTACH, 1, nullptr, nullptr) == 0; }},
      {"ptrace its parent", [] { return ptrace(PTRACE_SEIZE, getppid(), nullptr, nullptr) == 0; }},
      {"kill init", [] { return kill(1, SIGURG) == 0; }},
      {"a user namespace", [] { return unshare(CLONE_NEWUSER) == 0; }},
      {"a mount namespace", [] { return unshare(CLONE_NEWNS) == 0; }},
      {"raise its priority", [] { return setpriority(PRIO_PROCESS, 0, -20) == 0; }},
      {"sethostname", [] { return sethostname("x", 1) == 0; }},
      {"bpf", [] { return syscall(SYS_bpf, 0, nullptr, 0) >= 0; }},
      {"io_uring", [] { return syscall(SYS_io_uring_setup, 1, nullptr) >= 0; }},
      {"take off no_new_privs", [] { return prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0; }},
      {"a raw socket", [] { return socket(AF_INET, SOCK_RAW, 1) >= 0; }},
  };
  std::string report = Status();
  for (const Attempt& attempt : attempts) report += std::string(attempt.name) + ": " + Try(attempt.act) + "\n";
  return report;
}

}  // namespace privilege_probe

#endif  // THAW_TESTS_FUNCTIONS_NATIVE_PRIVILEGE_PROBE_H_
