// A shared object that an image brings for whoever may load it: as it is loaded, it says in /cracdata, which is root's alone, by
// whom. What it stands for would have CRIU's capabilities by then.
#include <fcntl.h>
#include <unistd.h>

namespace {

[[gnu::constructor]] void Loaded() {
  const int fd = open("/cracdata/intruder", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return;
  char command[512];
  const int self = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  ssize_t size = read(self, command, sizeof command - 1);
  for (ssize_t i = 0; i < size; ++i) {
    if (command[i] == 0) command[i] = ' ';
  }
  if (size < 0) size = 0;
  command[size] = '\n';
  (void)!write(fd, command, static_cast<size_t>(size) + 1);
  close(self);
  close(fd);
}

}  // namespace
