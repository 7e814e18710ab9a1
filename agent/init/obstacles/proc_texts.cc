#include "agent/init/obstacles/proc_texts.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <set>

namespace thaw::init {
namespace {

template <typename Handler>
void ForEachLine(std::string_view text, Handler handler) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    handler(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  size_t at = 0;
  while (at < line.size()) {
    const size_t begin = line.find_first_not_of(" \t", at);
    if (begin == std::string_view::npos) break;
    at = std::min(line.find_first_of(" \t", begin), line.size());
    words.push_back(line.substr(begin, at - begin));
  }
  return words;
}

template <typename Number>
bool Read(std::string_view text, int base, Number* number) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), *number, base);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

// "0100007F:1F90", the address in words of the host's byte order.
bool ReadAddress(std::string_view text, bool v6, std::string* address, bool* any) {
  const size_t colon = text.find(':');
  const size_t digits = v6 ? 32 : 8;
  unsigned port = 0;
  if (colon != digits || !Read(text.substr(colon + 1), 16, &port)) return false;
  unsigned char bytes[16] = {};
  for (size_t word = 0; word < digits / 8; ++word) {
    uint32_t value = 0;
    if (!Read(text.substr(word * 8, 8), 16, &value)) return false;
    std::memcpy(bytes + word * 4, &value, 4);
  }
  char name[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, name, sizeof name);
  std::string host = v6 ? "[" + std::string(name) + "]" : name;
  // An IPv4 peer of an IPv6 socket is known by its IPv4 name to whoever writes rules.
  if (v6 && std::strncmp(name, "::ffff:", 7) == 0 && std::strchr(name, '.') != nullptr) host = name + 7;
  *address = host + ":" + std::to_string(port);
  *any = port == 0 && std::all_of(std::begin(bytes), std::end(bytes), [](unsigned char byte) { return byte == 0; });
  return true;
}

// mountinfo writes blanks and the like as \040.
std::string Unescaped(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    int value = 0;
    if (text[i] == '\\' && i + 3 < text.size() && Read(text.substr(i + 1, 3), 8, &value)) {
      result += static_cast<char>(value);
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

int TwoParts(std::string_view text) {
  int major = 0;
  int minor = 0;
  const auto first = std::from_chars(text.data(), text.data() + text.size(), major);
  if (first.ec != std::errc() || first.ptr == text.data() + text.size() || *first.ptr != '.') return 0;
  if (std::from_chars(first.ptr + 1, text.data() + text.size(), minor).ec != std::errc()) return 0;
  return major * 1000 + minor;
}

}  // namespace

DescriptorInfo ParseDescriptorInfo(std::string_view text) {
  DescriptorInfo info;
  ForEachLine(text, [&](std::string_view line) {
    const std::vector<std::string_view> words = Words(line);
    if (words.size() < 2) return;
    if (words[0] == "pos:") Read(words[1], 10, &info.position);
    if (words[0] == "flags:") Read(words[1], 8, &info.flags);
    if (words[0] == "mnt_id:") Read(words[1], 10, &info.mount_id);
    if (words[0] == "tfd:") {
      const std::string copy(line);
      unsigned long long data = 0;
      unsigned long inode = 0;
      long long position = 0;
      EpollTarget target;
      if (std::sscanf(copy.c_str(), "tfd: %d events: %x data: %llx pos:%lli ino:%lx", &target.fd, &target.events, &data,
                      &position, &inode) == 5) {
        target.data = data;
        target.inode = inode;
        info.epoll.push_back(target);
      }
    }
    if (words[0] == "inotify") {
      InotifyWatch watch;
      for (std::string_view word : words) {
        if (word.starts_with("ino:")) Read(word.substr(4), 16, &watch.inode);
        if (word.starts_with("sdev:")) Read(word.substr(5), 16, &watch.device);
      }
      info.inotify.push_back(watch);
    }
  });
  return info;
}

std::map<uint64_t, InetSocket> ParseInetSockets(std::string_view text, bool v6) {
  std::map<uint64_t, InetSocket> sockets;
  ForEachLine(text, [&](std::string_view line) {
    const std::vector<std::string_view> words = Words(line);
    if (words.size() < 10) return;
    InetSocket socket;
    uint64_t inode = 0;
    bool any = false;
    bool no_peer = false;
    if (!ReadAddress(words[1], v6, &socket.local, &any) || !ReadAddress(words[2], v6, &socket.peer, &no_peer) ||
        !Read(words[3], 16, &socket.state) || !Read(words[9], 10, &inode) || inode == 0) {
      return;
    }
    if (no_peer) socket.peer.clear();
    sockets.emplace(inode, std::move(socket));
  });
  return sockets;
}

std::vector<Mount> ParseMounts(std::string_view text) {
  std::vector<Mount> mounts;
  ForEachLine(text, [&](std::string_view line) {
    const std::vector<std::string_view> words = Words(line);
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 7 || words.end() - dash < 2) return;
    Mount mount;
    unsigned major = 0;
    unsigned minor = 0;
    const size_t colon = words[2].find(':');
    if (!Read(words[0], 10, &mount.id) || colon == std::string_view::npos || !Read(words[2].substr(0, colon), 10, &major) ||
        !Read(words[2].substr(colon + 1), 10, &minor)) {
      return;
    }
    mount.device = (static_cast<uint64_t>(major) << 20) | minor;
    mount.point = Unescaped(words[4]);
    mount.read_only = words[5] == "ro" || words[5].starts_with("ro,");
    mount.type = std::string(dash[1]);
    mounts.push_back(std::move(mount));
  });
  return mounts;
}

const Mount* MountOfPath(const std::vector<Mount>& mounts, std::string_view path) {
  const Mount* best = nullptr;
  for (const Mount& mount : mounts) {
    const bool above = mount.point == "/" || path == mount.point ||
                       (path.starts_with(mount.point) && path.size() > mount.point.size() && path[mount.point.size()] == '/');
    if (above && (best == nullptr || mount.point.size() >= best->point.size())) best = &mount;
  }
  return best;
}

std::vector<Mapping> ParseMappings(std::string_view text) {
  std::vector<Mapping> mappings;
  std::set<std::string> seen;
  ForEachLine(text, [&](std::string_view line) {
    // 7f..-7f.. r-xp 00000000 fe:00 1234    /path with blanks (deleted)
    size_t at = 0;
    for (int field = 0; field < 5; ++field) {
      at = line.find(' ', at);
      if (at == std::string_view::npos) return;
      at = line.find_first_not_of(' ', at);
      if (at == std::string_view::npos) return;
    }
    std::string_view path = line.substr(at);
    if (path.empty() || path[0] == '[') return;
    if (!seen.emplace(path).second) return;
    Mapping mapping;
    constexpr std::string_view kDeleted = " (deleted)";
    if (path.ends_with(kDeleted)) {
      mapping.deleted = true;
      path.remove_suffix(kDeleted.size());
    }
    mapping.path = std::string(path);
    mappings.push_back(std::move(mapping));
  });
  return mappings;
}

int KernelNumber(std::string_view release) { return TwoParts(release); }
int CriuNumber(std::string_view version) { return TwoParts(version); }

}  // namespace thaw::init
