#ifndef THAW_AGENT_SNAPSHOT_FILES_H_
#define THAW_AGENT_SNAPSHOT_FILES_H_

#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// Thin wrappers over the file system calls that the store needs: relative to an open directory, never through a
// symbolic link, root-only modes. Names are single path parts unless said otherwise.
namespace thaw::agent::files {

// Owns a file descriptor and closes it.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      if (fd_ >= 0) ::close(fd_);
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

// The error of the last system call: "<act>: <the kernel's words>". No space or quota left is RESOURCE_EXHAUSTED with
// reason DISK_FULL, a missing file NOT_FOUND, others INTERNAL.
absl::Status ErrnoError(int error, absl::string_view act);

// Makes the directory with mode 0700, or gives an existing one that mode, and opens it.
absl::StatusOr<Fd> MakeDirectory(const std::string& path);
absl::StatusOr<Fd> OpenDirectory(const std::string& path);
absl::StatusOr<Fd> OpenDirectoryAt(int dir, const std::string& name);
// Opens a file or directory by a path of several parts below `dir`. Each part is opened by itself with O_NOFOLLOW, so a
// symbolic link anywhere in it is an error. An empty path is `dir` itself.
absl::StatusOr<Fd> OpenBelow(int dir, absl::string_view path, int flags);
// Splits "a/b/c" into an open "a/b" and "c".
struct Place {
  Fd parent;
  std::string name;
};
absl::StatusOr<Place> OpenParentBelow(int dir, absl::string_view path);

// Names in a directory, sorted, without . and ..
absl::StatusOr<std::vector<std::string>> List(int dir);

absl::StatusOr<std::string> ReadAt(int dir, const std::string& name, std::uint64_t max_bytes);
// Makes a new file (0600) with `data` and starts its way to the disk without waiting for it.
absl::Status WriteNewAt(int dir, const std::string& name, absl::string_view data);
absl::Status RenameAt(int from_dir, const std::string& from, int to_dir, const std::string& to);
// OK when it is not there.
absl::Status UnlinkAt(int dir, const std::string& name);
// Waits until a file's content, or a directory's names, are on the disk.
absl::Status SyncAt(int dir, const std::string& name);
absl::Status Sync(int fd, absl::string_view what);

// All of [offset, offset + size) or an error; fewer bytes in the file is OUT_OF_RANGE.
absl::Status PreadAll(int fd, char* data, std::size_t size, std::uint64_t offset);
absl::Status PwriteAll(int fd, absl::string_view data, std::uint64_t offset);

// Removes what is there, directories with all they hold; follows no link. OK when it is not there.
absl::Status RemoveTree(const std::string& path);

}  // namespace thaw::agent::files

#endif  // THAW_AGENT_SNAPSHOT_FILES_H_
