#include "agent/init/output_capture.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>

#include "agent/init/child_process.h"

namespace thaw::init {

OutputCapture::OutputCapture(EventLoop& loop, FunctionLog& log, UniqueFd read_end, std::string instance,
                             std::string stream)
    : loop_(loop),
      log_(log),
      fd_(std::move(read_end)),
      instance_(std::move(instance)),
      stream_(std::move(stream)),
      pipe_name_(PipeName(fd_.get())) {
  loop_.Watch(fd_.get(), EPOLLIN, [this](uint32_t) { ReadOnce(); });
}

OutputCapture::~OutputCapture() {
  if (fd_) loop_.Forget(fd_.get());
}

bool OutputCapture::ReadOnce() {
  if (!fd_) return false;
  char buffer[64 * 1024];
  const ssize_t count = ::read(fd_.get(), buffer, sizeof buffer);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (count <= 0) {
    // Every writer has closed it: watching on would spin.
    loop_.Forget(fd_.get());
    fd_.reset();
    return false;
  }
  cutter_.Feed(std::string_view(buffer, static_cast<size_t>(count)),
               [this](std::string_view line) { log_.Write(instance_, stream_, line); });
  return true;
}

void OutputCapture::Drain() {
  for (int i = 0; i < 32 && ReadOnce(); ++i) {
  }
  cutter_.Finish([this](std::string_view line) { log_.Write(instance_, stream_, line); });
}

}  // namespace thaw::init
