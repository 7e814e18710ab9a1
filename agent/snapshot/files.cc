#include "agent/snapshot/files.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::agent::files {
namespace {

constexpr int kReadDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

}  // namespace

absl::Status ErrnoError(int error, absl::string_view act) {
  const std::string message = absl::StrCat(act, ": ", std::strerror(error));
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return WithReason(absl::ResourceExhaustedError(absl::StrCat(
                            message, "; free space below the agent's data directory or remove snapshots")),
                        reason::kDiskFull);
    case ENOENT:
      return absl::NotFoundError(message);
    default:
      return absl::InternalError(message);
  }
}

absl::StatusOr<Fd> MakeDirectory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoError(errno, absl::StrCat("make directory ", path));
  }
  ASSIGN_OR_RETURN(Fd dir, OpenDirectory(path));
  if (::fchmod(dir.get(), 0700) != 0) return ErrnoError(errno, absl::StrCat("make directory ", path, " root's alone"));
  return dir;
}

absl::StatusOr<Fd> OpenDirectory(const std::string& path) {
  Fd dir(::open(path.c_str(), kReadDirectory));
  if (dir.get() < 0) return ErrnoError(errno, absl::StrCat("open directory ", path));
  return dir;
}

absl::StatusOr<Fd> OpenDirectoryAt(int dir, const std::string& name) {
  Fd child(::openat(dir, name.c_str(), kReadDirectory));
  if (child.get() < 0) return ErrnoError(errno, absl::StrCat("open directory ", name));
  return child;
}

absl::StatusOr<Place> OpenParentBelow(int dir, absl::string_view path) {
  Fd parent(::fcntl(dir, F_DUPFD_CLOEXEC, 0));
  if (parent.get() < 0) return ErrnoError(errno, "duplicate a directory's descriptor");
  std::size_t begin = 0;
  for (std::size_t slash = path.find('/'); slash != absl::string_view::npos; slash = path.find('/', begin)) {
    ASSIGN_OR_RETURN(parent, OpenDirectoryAt(parent.get(), std::string(path.substr(begin, slash - begin))));
    begin = slash + 1;
  }
  return Place{std::move(parent), std::string(path.substr(begin))};
}

absl::StatusOr<Fd> OpenBelow(int dir, absl::string_view path, int flags) {
  if (path.empty()) path = ".";
  ASSIGN_OR_RETURN(Place place, OpenParentBelow(dir, path));
  Fd fd(::openat(place.parent.get(), place.name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC));
  if (fd.get() < 0) return ErrnoError(errno, absl::StrCat("open ", path));
  return fd;
}

absl::StatusOr<std::vector<std::string>> List(int dir) {
  const int copy = ::openat(dir, ".", kReadDirectory);
  if (copy < 0) return ErrnoError(errno, "open a directory for listing");
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(copy), ::closedir);
  if (stream == nullptr) {
    const int error = errno;
    ::close(copy);
    return ErrnoError(error, "list a directory");
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    const absl::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) return ErrnoError(errno, "list a directory");
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<std::string> ReadAt(int dir, const std::string& name, std::uint64_t max_bytes) {
  ASSIGN_OR_RETURN(Fd fd, OpenBelow(dir, name, O_RDONLY | O_NONBLOCK));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return ErrnoError(errno, absl::StrCat("stat ", name));
  if (!S_ISREG(info.st_mode)) return absl::InternalError(absl::StrCat(name, " is no regular file"));
  if (static_cast<std::uint64_t>(info.st_size) > max_bytes) {
    return absl::DataLossError(absl::StrCat(name, " has ", info.st_size, " bytes, more than it can have"));
  }
  std::string data(static_cast<std::size_t>(info.st_size), '\0');
  RETURN_IF_ERROR(PreadAll(fd.get(), data.data(), data.size(), 0));
  return data;
}

absl::Status WriteNewAt(int dir, const std::string& name, absl::string_view data) {
  Fd fd(::openat(dir, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (fd.get() < 0) return ErrnoError(errno, absl::StrCat("create ", name));
  RETURN_IF_ERROR(PwriteAll(fd.get(), data, 0));
  // With the blocks under way already, the later wait for many such files is one for all.
  ::sync_file_range(fd.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
  return absl::OkStatus();
}

absl::Status RenameAt(int from_dir, const std::string& from, int to_dir, const std::string& to) {
  if (::renameat(from_dir, from.c_str(), to_dir, to.c_str()) != 0) {
    return ErrnoError(errno, absl::StrCat("rename ", from, " to ", to));
  }
  return absl::OkStatus();
}

absl::Status UnlinkAt(int dir, const std::string& name) {
  if (::unlinkat(dir, name.c_str(), 0) != 0 && errno != ENOENT) {
    return ErrnoError(errno, absl::StrCat("remove ", name));
  }
  return absl::OkStatus();
}

absl::Status SyncAt(int dir, const std::string& name) {
  ASSIGN_OR_RETURN(Fd fd, OpenBelow(dir, name, O_RDONLY | O_NONBLOCK));
  return Sync(fd.get(), name);
}

absl::Status Sync(int fd, absl::string_view what) {
  if (::fsync(fd) != 0) return ErrnoError(errno, absl::StrCat("sync ", what));
  return absl::OkStatus();
}

absl::Status PreadAll(int fd, char* data, std::size_t size, std::uint64_t offset) {
  while (size > 0) {
    const ssize_t got = ::pread(fd, data, size, static_cast<off_t>(offset));
    if (got < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(errno, "read");
    }
    if (got == 0) return absl::OutOfRangeError(absl::StrCat("the file ends ", size, " bytes early"));
    data += got;
    size -= static_cast<std::size_t>(got);
    offset += static_cast<std::uint64_t>(got);
  }
  return absl::OkStatus();
}

absl::Status PwriteAll(int fd, absl::string_view data, std::uint64_t offset) {
  while (!data.empty()) {
    const ssize_t put = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (put < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(errno, "write");
    }
    data.remove_prefix(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
  return absl::OkStatus();
}

absl::Status RemoveTree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return ErrnoError(error.value(), absl::StrCat("remove ", path));
  return absl::OkStatus();
}

}  // namespace thaw::agent::files
