#include "agent/init/obstacles/system_view.h"

#include <fcntl.h>
#include <ftw.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <memory>

#include "agent/init/process_table.h"
#include "agent/init/unique_fd.h"

namespace thaw::init {
namespace {

constexpr int kListening = 10;  // TCP_LISTEN, which unix sockets use too
constexpr int kMostEntries = 20'000;

std::string ReadLink(const std::string& path) {
  char target[4096];
  const ssize_t size = ::readlink(path.c_str(), target, sizeof target);
  return size > 0 ? std::string(target, static_cast<size_t>(size)) : "";
}

OpenFile ReadOpenFile(const std::string& process_dir, int fd) {
  OpenFile file;
  file.fd = fd;
  const std::string name = std::to_string(fd);
  const std::string link = process_dir + "/fd/" + name;
  file.target = ReadLink(link);
  if (file.target.empty()) return file;
  file.info = ReadSmallFile(process_dir + "/fdinfo/" + name);
  struct stat info {};
  if (::stat(link.c_str(), &info) == 0) {
    file.mode = info.st_mode;
    file.inode = info.st_ino;
    file.size = static_cast<uint64_t>(info.st_size);
    file.links = info.st_nlink;
    file.device_major = major(info.st_rdev);
    file.device_minor = minor(info.st_rdev);
  }
  if (file.target.starts_with("socket:")) {
    char protocol[64];
    const ssize_t size = ::getxattr(link.c_str(), "system.sockprotoname", protocol, sizeof protocol);
    // With its NUL.
    if (size > 1) file.protocol.assign(protocol, static_cast<size_t>(size - 1));
  }
  return file;
}

std::vector<int> DescriptorsOf(const std::string& process_dir) {
  std::vector<int> result;
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir((process_dir + "/fd").c_str()), ::closedir);
  if (!dir) return result;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_name[0] != '.') result.push_back(std::atoi(entry->d_name));
  }
  std::sort(result.begin(), result.end());
  return result;
}

// All unix sockets of this network namespace. Only sock_diag knows their peers.
std::map<uint64_t, UnixSocket> ReadUnixSockets() {
  std::map<uint64_t, UnixSocket> sockets;
  UniqueFd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!netlink) return sockets;
  const timeval limit{2, 0};
  ::setsockopt(netlink.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  struct {
    nlmsghdr header;
    unix_diag_req request;
  } question{};
  question.header.nlmsg_len = sizeof question;
  question.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  question.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  question.request.sdiag_family = AF_UNIX;
  question.request.udiag_states = ~0u;
  question.request.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER;
  if (::send(netlink.get(), &question, sizeof question, 0) < 0) return sockets;
  alignas(nlmsghdr) char buffer[32768];
  while (true) {
    const ssize_t size = ::recv(netlink.get(), buffer, sizeof buffer, 0);
    if (size <= 0) return sockets;
    auto left = static_cast<unsigned>(size);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR) return sockets;
      const auto* message = static_cast<const unix_diag_msg*>(NLMSG_DATA(header));
      UnixSocket socket;
      socket.listening = message->udiag_state == kListening;
      socket.stream = message->udiag_type != SOCK_DGRAM;
      auto attributes = static_cast<unsigned>(header->nlmsg_len - NLMSG_LENGTH(sizeof *message));
      for (auto* item = reinterpret_cast<const rtattr*>(message + 1); RTA_OK(item, attributes);
           item = RTA_NEXT(item, attributes)) {
        if (item->rta_type == UNIX_DIAG_NAME) {
          socket.name.assign(static_cast<const char*>(RTA_DATA(item)), RTA_PAYLOAD(item));
          while (!socket.name.empty() && socket.name.back() == '\0') socket.name.pop_back();
          if (!socket.name.empty() && socket.name[0] == '\0') socket.name[0] = '@';
        } else if (item->rta_type == UNIX_DIAG_PEER) {
          uint32_t peer = 0;
          std::memcpy(&peer, RTA_DATA(item), sizeof peer);
          socket.peer = peer;
        }
      }
      sockets.emplace(message->udiag_ino, std::move(socket));
    }
  }
}

// For nftw(), which takes no context; looks are made by init's one thread.
struct InodeSearch {
  dev_t device = 0;
  uint64_t inode = 0;
  int left = 0;
  std::string found;
};
InodeSearch* g_search = nullptr;

int VisitEntry(const char* path, const struct stat* info, int, FTW*) {
  if (--g_search->left < 0) return 1;
  if (info->st_ino != g_search->inode || info->st_dev != g_search->device) return 0;
  g_search->found = path;
  return 1;
}

std::string FindInode(const std::string& dir, uint64_t device, uint64_t inode) {
  InodeSearch search{.device = makedev(static_cast<unsigned>(device >> 20), static_cast<unsigned>(device & 0xfffff)),
                     .inode = inode,
                     .left = kMostEntries,
                     .found = ""};
  g_search = &search;
  ::nftw(dir.c_str(), VisitEntry, 16, FTW_PHYS | FTW_MOUNT);
  g_search = nullptr;
  return search.found;
}

}  // namespace

SystemView ReadSystemView(const std::vector<pid_t>& processes, const std::set<std::string>& own_pipes,
                          const std::string& criu_version) {
  SystemView view;
  std::set<std::string> protocols;  // of the function's sockets; "" where the kernel does not tell
  for (pid_t pid : processes) {
    const std::string dir = "/proc/" + std::to_string(pid);
    ProcessView process;
    process.pid = pid;
    process.tracer = TracerOf(pid);
    process.working_dir = ReadLink(dir + "/cwd");
    process.maps = ReadSmallFile(dir + "/maps");
    for (int fd : DescriptorsOf(dir)) {
      OpenFile file = ReadOpenFile(dir, fd);
      if (file.target.empty()) continue;  // closed meanwhile
      if (file.target.starts_with("socket:")) protocols.insert(file.protocol);
      process.files.push_back(std::move(file));
    }
    view.processes.push_back(std::move(process));
  }
  view.mounts = ReadSmallFile("/proc/self/mountinfo");
  // The kernel walks the host's whole table for each of these, some milliseconds, so only what is needed is read.
  const auto read_net = [&](const char* protocol, const char* path, std::string* text) {
    if (protocols.contains(protocol) || protocols.contains("")) *text = ReadSmallFile(path);
  };
  read_net("TCP", "/proc/net/tcp", &view.tcp);
  read_net("TCPv6", "/proc/net/tcp6", &view.tcp6);
  read_net("UDP", "/proc/net/udp", &view.udp);
  read_net("UDPv6", "/proc/net/udp6", &view.udp6);
  if (!protocols.empty()) view.unix_sockets = ReadUnixSockets();
  for (const ProcessInfo& other : ListProcesses()) {
    if (std::find(processes.begin(), processes.end(), other.pid) != processes.end()) continue;
    const std::string dir = "/proc/" + std::to_string(other.pid);
    for (int fd : DescriptorsOf(dir)) {
      std::string target = ReadLink(dir + "/fd/" + std::to_string(fd));
      if (target.starts_with("pipe:") && !own_pipes.contains(target)) view.pipes_outside.insert(std::move(target));
    }
  }
  utsname host{};
  ::uname(&host);
  view.kernel_release = host.release;
  view.criu_version = criu_version;
  view.find_inode = FindInode;
  return view;
}

}  // namespace thaw::init
