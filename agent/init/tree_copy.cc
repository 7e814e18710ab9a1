#include "agent/init/tree_copy.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <utility>

#include "agent/init/unique_fd.h"

namespace thaw::init {
namespace {

constexpr int kDirectoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr size_t kBlock = 256 * 1024;

Outcome ListNames(int dir, const std::string& path, std::vector<std::string>* names) {
  const int copy = ::openat(dir, ".", kDirectoryFlags);
  if (copy < 0) return ErrnoOutcome(errno, "cannot open directory " + path);
  std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(copy), ::closedir);
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names->emplace_back(name);
  }
  if (errno != 0) return ErrnoOutcome(errno, "cannot list directory " + path);
  std::sort(names->begin(), names->end());
  return {};
}

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Outcome WriteAll(int fd, const char* data, size_t size, off_t offset, const std::string& path) {
  while (size > 0) {
    const ssize_t written = ::pwrite(fd, data, size, offset);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return ErrnoOutcome(written < 0 ? errno : ENOSPC, "cannot write " + path);
    data += written;
    size -= static_cast<size_t>(written);
    offset += written;
  }
  return {};
}

class Copier {
 public:
  // `root` is the target's root and stays open meanwhile; `root_path` is the source's.
  Copier(const TreeCopyOptions& options, int root, std::string root_path, TreeCopyResult* result)
      : options_(options), root_(root), root_path_(std::move(root_path)), result_(result), buffer_(kBlock) {}

  Outcome Directory(int from, int to, const std::string& path, bool is_root) {
    std::vector<std::string> names;
    if (Outcome outcome = ListNames(from, path, &names); !outcome.ok()) return outcome;
    for (const std::string& name : names) {
      if (is_root && Contains(options_.skip, name)) continue;
      if (Outcome outcome = Entry(from, to, name, path + "/" + name); !outcome.ok()) return outcome;
    }
    return {};
  }

  // Last, because making entries in a directory changes its time, and a mode may forbid making them.
  static Outcome Finish(int fd, const struct stat& info, const std::string& path) {
    if (::fchown(fd, info.st_uid, info.st_gid) != 0) return ErrnoOutcome(errno, "cannot set the owner of " + path);
    if (::fchmod(fd, info.st_mode & 07777) != 0) return ErrnoOutcome(errno, "cannot set the mode of " + path);
    const timespec times[2] = {info.st_atim, info.st_mtim};
    if (::futimens(fd, times) != 0) return ErrnoOutcome(errno, "cannot set the times of " + path);
    return {};
  }

 private:
  Outcome Entry(int from, int to, const std::string& name, const std::string& path) {
    struct stat info {};
    if (::fstatat(from, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      // Gone since the listing: possible only where the tree is not frozen.
      return errno == ENOENT ? Outcome() : ErrnoOutcome(errno, "cannot stat " + path);
    }
    if (options_.only_links && !S_ISLNK(info.st_mode)) return {};
    if (S_ISDIR(info.st_mode)) return SubDirectory(from, to, name, path, info);
    if (!S_ISREG(info.st_mode) && !S_ISLNK(info.st_mode) && !S_ISFIFO(info.st_mode)) {
      ++result_->left_out;
      return {};
    }
    if (::unlinkat(to, name.c_str(), 0) != 0 && errno != ENOENT) {
      return ErrnoOutcome(errno, "cannot replace " + path);
    }
    ++result_->entries;
    if (info.st_nlink > 1) {
      const auto [it, is_first] =
          first_names_.try_emplace({info.st_dev, info.st_ino}, path.substr(root_path_.size() + 1));
      if (!is_first) {
        if (::linkat(root_, it->second.c_str(), to, name.c_str(), 0) == 0) return {};
        return ErrnoOutcome(errno, "cannot link " + path);
      }
    }
    if (S_ISREG(info.st_mode)) return File(from, to, name, path, info);
    if (S_ISLNK(info.st_mode)) {
      char target[4096];
      const ssize_t size = ::readlinkat(from, name.c_str(), target, sizeof target - 1);
      if (size < 0) return ErrnoOutcome(errno, "cannot read link " + path);
      target[size] = '\0';
      if (::symlinkat(target, to, name.c_str()) != 0) return ErrnoOutcome(errno, "cannot make link " + path);
    } else {
      if (::mkfifoat(to, name.c_str(), 0600) != 0) return ErrnoOutcome(errno, "cannot make FIFO " + path);
      // `to` is reached by root alone until the copy is done, so nobody can have put a link in its place.
      if (::fchmodat(to, name.c_str(), info.st_mode & 07777, 0) != 0) {
        return ErrnoOutcome(errno, "cannot set the mode of " + path);
      }
    }
    if (::fchownat(to, name.c_str(), info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoOutcome(errno, "cannot set the owner of " + path);
    }
    const timespec times[2] = {info.st_atim, info.st_mtim};
    if (::utimensat(to, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoOutcome(errno, "cannot set the times of " + path);
    }
    return {};
  }

  Outcome SubDirectory(int from, int to, const std::string& name, const std::string& path, const struct stat& info) {
    UniqueFd source(::openat(from, name.c_str(), kDirectoryFlags));
    if (!source) return ErrnoOutcome(errno, "cannot open directory " + path);
    if (::mkdirat(to, name.c_str(), 0700) != 0 && errno != EEXIST) {
      return ErrnoOutcome(errno, "cannot make directory " + path);
    }
    UniqueFd target(::openat(to, name.c_str(), kDirectoryFlags));
    if (!target) return ErrnoOutcome(errno, "cannot open directory " + path);
    ++result_->entries;
    if (Outcome outcome = Directory(source.get(), target.get(), path, /*is_root=*/false); !outcome.ok()) return outcome;
    return Finish(target.get(), info, path);
  }

  Outcome File(int from, int to, const std::string& name, const std::string& path, const struct stat& info) {
    UniqueFd source(::openat(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (!source) return ErrnoOutcome(errno, "cannot open " + path);
    UniqueFd target(::openat(to, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!target) return ErrnoOutcome(errno, "cannot make " + path);
    if (::ftruncate(target.get(), info.st_size) != 0) return ErrnoOutcome(errno, "cannot size " + path);
    off_t at = 0;
    while (at < info.st_size) {
      off_t data = ::lseek(source.get(), at, SEEK_DATA);
      if (data < 0 && errno == ENXIO) break;  // only a hole is left
      off_t end = data < 0 ? -1 : ::lseek(source.get(), data, SEEK_HOLE);
      if (data < 0 || end < 0) {
        data = at;
        end = info.st_size;
      }
      end = std::min<off_t>(end, info.st_size);
      if (Outcome outcome = Extent(source.get(), target.get(), data, end, path); !outcome.ok()) return outcome;
      at = end;
    }
    return Finish(target.get(), info, path);
  }

  Outcome Extent(int source, int target, off_t at, off_t end, const std::string& path) {
    while (at < end) {
      const size_t want = static_cast<size_t>(std::min<off_t>(end - at, static_cast<off_t>(buffer_.size())));
      const ssize_t count = ::pread(source, buffer_.data(), want, at);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return ErrnoOutcome(errno, "cannot read " + path);
      if (count == 0) return {};
      if (Outcome outcome = WriteAll(target, buffer_.data(), static_cast<size_t>(count), at, path); !outcome.ok()) {
        return outcome;
      }
      at += count;
      result_->bytes += static_cast<uint64_t>(count);
    }
    return {};
  }

  const TreeCopyOptions& options_;
  const int root_;
  const std::string root_path_;
  TreeCopyResult* result_;
  std::vector<char> buffer_;
  // Where the first name of an inode with several names was made, relative to the root.
  std::map<std::pair<dev_t, ino_t>, std::string> first_names_;
};

Outcome RemoveBelow(int dir, const std::string& path, const std::vector<std::string>& keep) {
  std::vector<std::string> names;
  if (Outcome outcome = ListNames(dir, path, &names); !outcome.ok()) return outcome;
  for (const std::string& name : names) {
    if (Contains(keep, name)) continue;
    if (::unlinkat(dir, name.c_str(), 0) == 0 || errno == ENOENT) continue;
    if (errno != EISDIR && errno != EPERM) return ErrnoOutcome(errno, "cannot remove " + path + "/" + name);
    UniqueFd child(::openat(dir, name.c_str(), kDirectoryFlags));
    if (!child) return ErrnoOutcome(errno, "cannot open directory " + path + "/" + name);
    if (Outcome outcome = RemoveBelow(child.get(), path + "/" + name, {}); !outcome.ok()) return outcome;
    if (::unlinkat(dir, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
      return ErrnoOutcome(errno, "cannot remove directory " + path + "/" + name);
    }
  }
  return {};
}

uint64_t BytesBelow(int dir) {
  uint64_t sum = 0;
  std::vector<std::string> names;
  if (!ListNames(dir, "", &names).ok()) return 0;
  for (const std::string& name : names) {
    struct stat info {};
    if (::fstatat(dir, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISREG(info.st_mode)) sum += static_cast<uint64_t>(info.st_size);
    if (!S_ISDIR(info.st_mode)) continue;
    UniqueFd child(::openat(dir, name.c_str(), kDirectoryFlags));
    if (child) sum += BytesBelow(child.get());
  }
  return sum;
}

}  // namespace

Outcome CopyTree(const std::string& from, const std::string& to, const TreeCopyOptions& options,
                 TreeCopyResult* result) {
  UniqueFd source(::open(from.c_str(), kDirectoryFlags));
  if (!source) return ErrnoOutcome(errno, "cannot open directory " + from);
  UniqueFd target(::open(to.c_str(), kDirectoryFlags));
  if (!target) return ErrnoOutcome(errno, "cannot open directory " + to);
  Copier copier(options, target.get(), from, result);
  return copier.Directory(source.get(), target.get(), from, /*is_root=*/true);
}

Outcome EmptyDirectory(const std::string& dir, const std::vector<std::string>& keep) {
  UniqueFd fd(::open(dir.c_str(), kDirectoryFlags));
  if (!fd) return errno == ENOENT ? Outcome() : ErrnoOutcome(errno, "cannot open directory " + dir);
  return RemoveBelow(fd.get(), dir, keep);
}

uint64_t TreeBytes(const std::string& dir) {
  UniqueFd fd(::open(dir.c_str(), kDirectoryFlags));
  return fd ? BytesBelow(fd.get()) : 0;
}

}  // namespace thaw::init
