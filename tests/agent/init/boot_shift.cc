// boot_shift SECONDS PROGRAM ARG…: becomes the program in a time namespace whose monotonic and boot-time clocks are
// that much ahead (or, below zero, behind): as on a host that was booted earlier (or later).
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  if (unshare(CLONE_NEWTIME) != 0) {
    perror("boot_shift: unshare");
    return 1;
  }
  const std::string offsets = std::string("monotonic ") + argv[1] + " 0\nboottime " + argv[1] + " 0\n";
  const int fd = open("/proc/self/timens_offsets", O_WRONLY);
  if (fd < 0 || write(fd, offsets.data(), offsets.size()) != static_cast<ssize_t>(offsets.size())) {
    perror("boot_shift: timens_offsets");
    return 1;
  }
  close(fd);
  // The program enters the namespace at its exec.
  execv(argv[2], argv + 2);
  perror("boot_shift: exec");
  return 1;
}
