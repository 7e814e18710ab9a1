#include "agent/invoke/listener.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status/reasons.h"

namespace thaw::agent {
namespace {

constexpr char kLink[] = "lsnr.sock";

absl::Status LeadsElsewhere(const std::string& iofs_dir, absl::string_view what) {
  return WithReason(
      absl::InternalError(absl::StrCat("the function's socket ", iofs_dir, "/", kLink, " ", what,
                                       "; its FDK must make it a socket, or a relative link to one beside it")),
      reason::kFunctionBadAnswer);
}

}  // namespace

OwnedFd::~OwnedFd() {
  if (fd_ >= 0) ::close(fd_);
}

absl::StatusOr<OwnedFd> OpenListener(const std::string& iofs_dir) {
  const OwnedFd dir(::open(iofs_dir.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (dir.get() < 0) {
    return absl::NotFoundError(absl::StrCat("can't open ", iofs_dir, ": ", std::strerror(errno)));
  }
  std::string name = kLink;
  char target[PATH_MAX];
  const ssize_t length = ::readlinkat(dir.get(), kLink, target, sizeof(target));
  if (length >= 0) {
    absl::string_view led(target, static_cast<std::size_t>(length));
    absl::ConsumePrefix(&led, "./");
    if (led.empty() || led == "." || led == ".." || led.find('/') != absl::string_view::npos) {
      return LeadsElsewhere(iofs_dir, "leads out of its directory");
    }
    name = std::string(led);
  } else if (errno == ENOENT) {
    return absl::NotFoundError(absl::StrCat(iofs_dir, "/", kLink, " is not there"));
  } else if (errno != EINVAL) {  // EINVAL: it is no link.
    return absl::InternalError(absl::StrCat("can't read ", iofs_dir, "/", kLink, ": ", std::strerror(errno)));
  }
  OwnedFd entry(::openat(dir.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (entry.get() < 0) {
    if (errno == ENOENT) return absl::NotFoundError(absl::StrCat(iofs_dir, "/", kLink, " leads to nothing"));
    return absl::InternalError(absl::StrCat("can't open ", iofs_dir, "/", name, ": ", std::strerror(errno)));
  }
  struct stat found {};
  if (::fstat(entry.get(), &found) != 0) {
    return absl::InternalError(absl::StrCat("can't stat ", iofs_dir, "/", name, ": ", std::strerror(errno)));
  }
  if (!S_ISSOCK(found.st_mode)) {
    return LeadsElsewhere(iofs_dir, S_ISLNK(found.st_mode) ? "leads to another link" : "is no socket");
  }
  return entry;
}

absl::StatusOr<OwnedFd> ConnectTo(const OwnedFd& listener) {
  OwnedFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket.get() < 0) {
    return absl::UnavailableError(
        absl::StrCat("can't make a socket: ", std::strerror(errno), "; raise the agent's limit of open files"));
  }
  // Through the descriptor: what is dialled is the file that was checked, though the function may have swapped the
  // names since.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = absl::StrCat("/proc/self/fd/", listener.get());
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof(address.sun_path) - 1));
  while (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    const int error = errno;
    if (error == EINTR) continue;
    if (error == EAGAIN) return absl::ResourceExhaustedError("the function's queue of connections is full");
    return absl::UnavailableError(absl::StrCat("can't connect to the function's socket: ", std::strerror(error)));
  }
  return socket;
}

}  // namespace thaw::agent
