#ifndef THAW_AGENT_INVOKE_LISTENER_H_
#define THAW_AGENT_INVOKE_LISTENER_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace thaw::agent {

// A file descriptor that is closed with its owner.
class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  ~OwnedFd();
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

// Opens (O_PATH) the socket that `iofs_dir`/lsnr.sock is or leads to. The function owns that directory: the link may
// name only an entry of the same directory, and that entry must be a socket itself.
//
//   NOT_FOUND  nothing there yet (or a link to nothing)
//   INTERNAL   it leads elsewhere or is no socket (FUNCTION_BAD_ANSWER)
absl::StatusOr<OwnedFd> OpenListener(const std::string& iofs_dir);

// A connected, non-blocking socket to what OpenListener() has opened, whatever the names lead to by now.
//
//   RESOURCE_EXHAUSTED  the listener's queue of connections is full; it may be tried again
//   UNAVAILABLE         nobody listens
absl::StatusOr<OwnedFd> ConnectTo(const OwnedFd& listener);

}  // namespace thaw::agent

#endif  // THAW_AGENT_INVOKE_LISTENER_H_
