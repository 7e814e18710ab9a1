// Parsers of what /proc says of descriptors, sockets and mounts. Pure; what they can't read they leave out.
#ifndef THAW_AGENT_INIT_OBSTACLES_PROC_TEXTS_H_
#define THAW_AGENT_INIT_OBSTACLES_PROC_TEXTS_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace thaw::init {

// One watched descriptor of an epoll.
struct EpollTarget {
  int fd = -1;
  uint32_t events = 0;
  uint64_t data = 0;
  uint64_t inode = 0;
};

struct InotifyWatch {
  uint64_t inode = 0;
  // As (major << 20) | minor.
  uint64_t device = 0;
};

// /proc/<pid>/fdinfo/<fd>
struct DescriptorInfo {
  int64_t position = 0;
  // Of open(2), with O_CLOEXEC as the descriptor has it.
  int flags = 0;
  int mount_id = -1;
  std::vector<EpollTarget> epoll;
  std::vector<InotifyWatch> inotify;
};
DescriptorInfo ParseDescriptorInfo(std::string_view text);

// A line of /proc/net/{tcp,tcp6,udp,udp6}.
struct InetSocket {
  std::string local;  // 10.0.0.2:41022, [::1]:80
  std::string peer;   // "" when it has none
  int state = 0;      // of TCP: 1 established, 10 listening
};
// By inode. `v6`: addresses are of 128 bits.
std::map<uint64_t, InetSocket> ParseInetSockets(std::string_view text, bool v6);

// A line of /proc/<pid>/mountinfo.
struct Mount {
  int id = -1;
  std::string point;
  std::string type;
  uint64_t device = 0;  // (major << 20) | minor
  bool read_only = false;
};
std::vector<Mount> ParseMounts(std::string_view text);
// The mount that a path lies on: of the longest mount point above it, the one mounted last. Null when there is none.
const Mount* MountOfPath(const std::vector<Mount>& mounts, std::string_view path);

// A named mapping of /proc/<pid>/maps.
struct Mapping {
  std::string path;
  bool deleted = false;
};
// Each path once.
std::vector<Mapping> ParseMappings(std::string_view text);

// "6.18.44-x" is 6018; 0 when it can't be read.
int KernelNumber(std::string_view release);
// "4.1.1" is 4001; 0 when it can't be read.
int CriuNumber(std::string_view version);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_OBSTACLES_PROC_TEXTS_H_
