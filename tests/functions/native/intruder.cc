// A shared object that an image brings for whoever may load it: as it is loaded, it says in /cracdata, which is root's alone, that
// it was. What it stands for would have CRIU's capabilities by then.
#include <fcntl.h>
#include <unistd.h>

namespace {

[[gnu::constructor]] void Loaded() {
  const int fd = open("/cracdata/intruder", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return;
  (void)!write(fd, "loaded\n", 7);
  close(fd);
}

}  // namespace
