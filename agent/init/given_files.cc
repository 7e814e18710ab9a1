#include "agent/init/given_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "agent/init/paths.h"
#include "agent/init/unique_fd.h"

namespace thaw::init {
namespace {

Outcome WriteAll(int fd, std::string_view data, const std::string& path) {
  while (!data.empty()) {
    const ssize_t put = ::write(fd, data.data(), data.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return ErrnoOutcome(errno, "cannot write " + path);
    data.remove_prefix(static_cast<size_t>(put));
  }
  return {};
}

// Written under a name that only root can reach, and renamed when owner and mode are right: nobody ever reads half a
// file, or one that is not for them.
Outcome Replace(const std::string& root, const std::string& path, std::string_view content, uid_t uid, gid_t gid,
                mode_t mode) {
  const std::string fresh = root + "/.given";
  ::unlink(fresh.c_str());
  UniqueFd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return ErrnoOutcome(errno, "cannot make " + fresh);
  Outcome outcome = WriteAll(file.get(), content, path);
  if (outcome.ok() && (::fchmod(file.get(), mode) != 0 || ::fchown(file.get(), uid, gid) != 0)) {
    outcome = ErrnoOutcome(errno, "cannot give " + path + " to its reader");
  }
  if (outcome.ok() && ::rename(fresh.c_str(), path.c_str()) != 0) outcome = ErrnoOutcome(errno, "cannot make " + path);
  if (!outcome.ok()) ::unlink(fresh.c_str());
  return outcome;
}

std::vector<std::string> Names(const std::string& dir) {
  std::vector<std::string> names;
  DIR* open_dir = ::opendir(dir.c_str());
  if (open_dir == nullptr) return names;
  while (const dirent* entry = ::readdir(open_dir)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  ::closedir(open_dir);
  return names;
}

}  // namespace

bool IsSecretName(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
                  c == '.';
         });
}

std::optional<std::string> DecodeBase64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string result;
  result.reserve(text.size() / 4 * 3);
  for (size_t at = 0; at < text.size(); at += 4) {
    uint32_t bits = 0;
    int padding = 0;
    for (size_t i = 0; i < 4; ++i) {
      const char c = text[at + i];
      uint32_t six = 0;
      if (c >= 'A' && c <= 'Z') {
        six = static_cast<uint32_t>(c - 'A');
      } else if (c >= 'a' && c <= 'z') {
        six = static_cast<uint32_t>(c - 'a' + 26);
      } else if (c >= '0' && c <= '9') {
        six = static_cast<uint32_t>(c - '0' + 52);
      } else if (c == '+') {
        six = 62;
      } else if (c == '/') {
        six = 63;
      } else if (c == '=' && i >= 2 && at + 4 == text.size()) {
        ++padding;
      } else {
        return std::nullopt;
      }
      if (c != '=' && padding > 0) return std::nullopt;
      bits = bits << 6 | six;
    }
    for (int i = 0; i < 3 - padding; ++i) result += static_cast<char>(bits >> (16 - 8 * i) & 0xff);
  }
  return result;
}

Outcome WriteGivenFilesBelow(const std::string& root, const GivenFiles& given, uid_t uid, gid_t gid) {
  const std::string secrets = root + "/secrets";
  if (::mkdir(secrets.c_str(), 0755) != 0 && errno != EEXIST) return ErrnoOutcome(errno, "cannot make " + secrets);
  for (const std::string& name : Names(secrets)) {
    if (given.secrets.contains(name)) continue;
    if (::unlink((secrets + "/" + name).c_str()) != 0) return ErrnoOutcome(errno, "cannot remove secret " + name);
  }
  for (const auto& [name, content] : given.secrets) {
    if (Outcome outcome = Replace(root, secrets + "/" + name, content, uid, gid, 0400); !outcome.ok()) return outcome;
  }
  nlohmann::json config = nlohmann::json::object();
  for (const auto& [key, value] : given.config) config[key] = value ? nlohmann::json(*value) : nlohmann::json();
  // Last: who sees that this file is new finds the secrets of the same order.
  return Replace(root, root + "/fn/config.json",
                 config.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n", 0, 0, 0444);
}

Outcome WriteGivenFiles(const GivenFiles& given, uid_t uid, gid_t gid) {
  return WriteGivenFilesBelow(kRunDir, given, uid, gid);
}

}  // namespace thaw::init
