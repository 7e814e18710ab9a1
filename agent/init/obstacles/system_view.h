#ifndef THAW_AGENT_INIT_OBSTACLES_SYSTEM_VIEW_H_
#define THAW_AGENT_INIT_OBSTACLES_SYSTEM_VIEW_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace thaw::init {

// One descriptor as /proc shows it.
struct OpenFile {
  int fd = -1;
  std::string target;  // of the link /proc/<pid>/fd/<fd>
  std::string info;    // fdinfo's text
  uint32_t mode = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  uint64_t links = 0;
  unsigned device_major = 0;  // of a device
  unsigned device_minor = 0;
  std::string protocol;  // of a socket: TCP, UDPv6, UNIX, …
};

struct ProcessView {
  pid_t pid = 0;
  pid_t tracer = 0;
  std::string working_dir;
  std::string maps;  // text
  std::vector<OpenFile> files;
};

// A unix socket as the kernel's sock_diag tells it.
struct UnixSocket {
  uint64_t peer = 0;  // inode; 0: none
  bool listening = false;
  bool stream = true;
  std::string name;  // abstract ones begin with '@'
};

// What a look for obstacles is made of: texts of /proc, so that looks can be recorded and tested.
struct SystemView {
  std::vector<ProcessView> processes;  // the function's
  std::string mounts;                  // /proc/self/mountinfo
  std::string tcp, tcp6, udp, udp6;    // /proc/net/…
  std::map<uint64_t, UnixSocket> unix_sockets;
  // `pipe:[1]` and the like that processes of this container hold that are not the function's; without init's own
  // pipes for the function's output.
  std::set<std::string> pipes_outside;
  std::string kernel_release;
  std::string criu_version;
  // The path of an inode below a directory, "" when it is not there (or there is too much to look through). Used for
  // inotify watches only. Never empty.
  std::function<std::string(const std::string& dir, uint64_t device, uint64_t inode)> find_inode;
};

// Reads it for these processes. `own_pipes`: the function's output pipes, which init holds.
SystemView ReadSystemView(const std::vector<pid_t>& processes, const std::set<std::string>& own_pipes,
                          const std::string& criu_version);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_OBSTACLES_SYSTEM_VIEW_H_
