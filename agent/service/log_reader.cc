#include "agent/service/log_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace thaw::agent {
namespace {

constexpr std::uint64_t kLongestRead = 4 << 20;

// Appends the whole lines of `path` from `offset` on; returns where the next ones begin.
std::uint64_t ReadLines(int fd, std::uint64_t offset, std::vector<std::string>& lines) {
  std::string text;
  char buffer[65536];
  ssize_t got;
  while (text.size() < kLongestRead &&
         (got = pread(fd, buffer, sizeof buffer, static_cast<off_t>(offset + text.size()))) > 0) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  const std::size_t end = text.rfind('\n');
  if (end == std::string::npos) return offset;
  text.resize(end);
  for (absl::string_view line : absl::StrSplit(text, '\n')) lines.emplace_back(line);
  return offset + end + 1;
}

}  // namespace

std::vector<std::string> LogReader::ReadNew(const std::vector<std::string>& control_dirs) {
  std::vector<std::string> lines;
  for (const std::string& dir : control_dirs) {
    const std::string path = absl::StrCat(dir, "/function.log");
    Position& position = positions_[path];
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) continue;
    struct stat now;
    fstat(fd, &now);
    if (now.st_ino != position.inode) {
      // Rotated, or seen for the first time: the rest of the old file comes first.
      const int old = open(absl::StrCat(path, ".1").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
      if (old >= 0) {
        struct stat before;
        fstat(old, &before);
        if (first_ || before.st_ino == position.inode) {
          ReadLines(old, before.st_ino == position.inode ? position.offset : 0, lines);
        }
        close(old);
      }
      position.inode = now.st_ino;
      position.offset = 0;
    }
    position.offset = ReadLines(fd, position.offset, lines);
    close(fd);
  }
  // Lines begin with their time in a form that sorts.
  std::stable_sort(lines.begin(), lines.end(), [](const std::string& a, const std::string& b) {
    return a.substr(0, a.find(' ')) < b.substr(0, b.find(' '));
  });
  if (first_ && lines.size() > tail_) lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(tail_));
  first_ = false;
  return lines;
}

}  // namespace thaw::agent
