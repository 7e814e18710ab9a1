#include "agent/init/obstacles/find_obstacles.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "agent/init/obstacles/proc_texts.h"

namespace thaw::init {
namespace {

constexpr uint64_t kGhostLimit = 256ull << 20;  // as given to CRIU
constexpr int kTcpListening = 10;
constexpr std::string_view kDeleted = " (deleted)";

// Linux 6.16 refuses SO_PASSCRED on sockets that are not unix sockets, and CRIU before 4.2 asks for it on all.
constexpr int kKernelThatRefuses = 6016;
constexpr int kCriuThatKnows = 4002;

// Where CRIU looks for an inode that is watched (its own list, and what init adds).
constexpr const char* kWatchableDirs[] = {"/function", "/etc", "/var/spool", "/var/log", "/var/lib"};

// Files that the container engine writes for each container.
constexpr std::string_view kEngineFiles[] = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"};

// The mount's part in a restore elsewhere.
enum class Place {
  kImage,      // the same in all containers of the version
  kTravels,    // /tmp and /dev/shm: saved and laid down
  kKernel,     // made by the kernel: /proc, /sys, /dev
  kElsewhere,  // another container may not have it
};

Place PlaceOf(const Mount* mount) {
  if (mount == nullptr) return Place::kElsewhere;
  if (mount->point == "/tmp" || mount->point == "/dev/shm") return Place::kTravels;
  for (std::string_view kernel : {"/proc", "/sys", "/dev"}) {
    if (mount->point == kernel) return Place::kKernel;
  }
  if (mount->type == "proc" || mount->type == "sysfs" || mount->type == "cgroup" || mount->type == "cgroup2" ||
      mount->type == "devpts") {
    return Place::kKernel;
  }
  if (mount->point == "/") return Place::kImage;
  for (std::string_view file : kEngineFiles) {
    if (mount->point == file) return Place::kElsewhere;
  }
  // What the operator mounts read-only is the same in all slots of a version.
  if (mount->read_only) return Place::kImage;
  return Place::kElsewhere;
}

uint64_t InodeIn(std::string_view target) {
  const size_t begin = target.find('[');
  uint64_t inode = 0;
  if (begin != std::string_view::npos) std::from_chars(target.data() + begin + 1, target.data() + target.size(), inode);
  return inode;
}

class Look {
 public:
  Look(const SystemView& view, Serving serving)
      : view_(view),
        serving_(serving),
        mounts_(ParseMounts(view.mounts)),
        tcp_(ParseInetSockets(view.tcp, false)),
        udp_(ParseInetSockets(view.udp, false)),
        inet_refused_(KernelNumber(view.kernel_release) >= kKernelThatRefuses &&
                      CriuNumber(view.criu_version) < kCriuThatKnows) {
    tcp_.merge(ParseInetSockets(view.tcp6, true));
    udp_.merge(ParseInetSockets(view.udp6, true));
    for (const ProcessView& process : view.processes) {
      for (const OpenFile& file : process.files) {
        if (file.target.starts_with("socket:")) inner_sockets_.insert(InodeIn(file.target));
      }
    }
  }

  std::vector<Finding> All() {
    for (const ProcessView& process : view_.processes) {
      process_ = &process;
      for (const OpenFile& file : process.files) LookAtDescriptor(file);
      LookAtMappings();
      LookAtProcess();
    }
    return std::move(findings_);
  }

 private:
  void Add(Obstacle kind, std::string what, int fd, std::string_view remedy = "") {
    findings_.push_back({.kind = kind,
                         .what = std::move(what),
                         .pid = process_->pid,
                         .fd = fd,
                         .remedy = std::string(remedy.empty() ? RemedyFor(kind) : remedy)});
  }

  void LookAtDescriptor(const OpenFile& file) {
    const std::string& target = file.target;
    if (target.starts_with("socket:")) {
      LookAtSocket(file);
    } else if (target.starts_with("pipe:")) {
      if (view_.pipes_outside.contains(target)) Add(Obstacle::kPipe, target, file.fd);
    } else if (target.starts_with("anon_inode:")) {
      LookAtAnonymous(file);
    } else if (target.starts_with("/")) {
      LookAtFile(file);
    }
  }

  void LookAtSocket(const OpenFile& file) {
    const uint64_t inode = InodeIn(file.target);
    const std::string& protocol = file.protocol;
    if (protocol.starts_with("TCP") || tcp_.contains(inode)) {
      const auto it = tcp_.find(inode);
      const bool connected = it != tcp_.end() && it->second.state != kTcpListening;
      if (connected) {
        Add(Obstacle::kTcp, it->second.local + " -> " + it->second.peer, file.fd);
      } else if (inet_refused_) {
        Add(Obstacle::kTcp, it == tcp_.end() ? "a socket that is not connected" : "listens on " + it->second.local, file.fd,
            kOldCriu);
      }
    } else if (protocol.starts_with("UDP") || udp_.contains(inode)) {
      if (!inet_refused_) return;
      const auto it = udp_.find(inode);
      std::string what = it == udp_.end() ? "a socket that is not bound" : it->second.local;
      if (it != udp_.end() && !it->second.peer.empty()) what += " -> " + it->second.peer;
      Add(Obstacle::kUdp, what, file.fd, kOldCriu);
    } else if (const auto unix_socket = view_.unix_sockets.find(inode); unix_socket != view_.unix_sockets.end()) {
      LookAtUnixSocket(file, unix_socket->second);
    } else if (protocol.starts_with("UNIX")) {
      // An accepted connection belongs to the network namespace of who connected, so that neither sock_diag nor CRIU sees
      // one that came from outside.
      if (serving_ == Serving::kNo) Add(Obstacle::kUnix, "a connection accepted from outside the container", file.fd);
    } else if (!protocol.empty() && protocol != "NETLINK") {
      Add(Obstacle::kOther, "a socket of protocol " + protocol, file.fd, "close it before the checkpoint");
    }
  }

  void LookAtUnixSocket(const OpenFile& file, const UnixSocket& socket) {
    if (socket.listening || socket.peer == 0 || inner_sockets_.contains(socket.peer)) return;
    const auto peer = view_.unix_sockets.find(socket.peer);
    std::string what = socket.name;
    if (peer != view_.unix_sockets.end() && !peer->second.name.empty()) what = peer->second.name;
    if (what.empty()) what = "a socket without a name";
    Add(Obstacle::kUnix, what, file.fd);
  }

  void LookAtAnonymous(const OpenFile& file) {
    const std::string_view name = std::string_view(file.target).substr(std::string_view("anon_inode:").size());
    if (name == "[eventpoll]") {
      LookAtEpoll(file);
    } else if (name == "[io_uring]") {
      Add(Obstacle::kIoUring, "io_uring", file.fd);
    } else if (name == "inotify") {
      LookAtInotify(file);
    } else if (name == "[perf_event]" || name == "[fanotify]" || name == "[userfaultfd]" || name.starts_with("kvm-") ||
               name.starts_with("bpf")) {
      Add(Obstacle::kOther, std::string(name), file.fd, "close it before the checkpoint, or have a rule `close` it");
    }
  }

  void LookAtEpoll(const OpenFile& file) {
    for (const EpollTarget& target : ParseDescriptorInfo(file.info).epoll) {
      // Anonymous inodes (event, timer and signal descriptors) share one number, so the same number is the best that can
      // be said; CRIU looks among all descriptors of the process.
      const bool there = std::any_of(process_->files.begin(), process_->files.end(), [&](const OpenFile& other) {
        return other.inode == target.inode;
      });
      if (there) continue;
      Add(Obstacle::kEpoll,
          "watches descriptor " + std::to_string(target.fd) + ", which is closed here or another process's", file.fd);
    }
  }

  void LookAtInotify(const OpenFile& file) {
    for (const InotifyWatch& watch : ParseDescriptorInfo(file.info).inotify) {
      std::vector<const Mount*> mounts;  // several can be of one device
      for (const Mount& mount : mounts_) {
        if (mount.device == watch.device) mounts.push_back(&mount);
      }
      const auto is_at = [&](std::string_view point) {
        return std::any_of(mounts.begin(), mounts.end(), [&](const Mount* mount) { return mount->point == point; });
      };
      if (is_at("/tmp")) continue;
      std::string where;
      if (is_at("/")) {
        for (const char* dir : kWatchableDirs) {
          if (where.empty()) where = view_.find_inode(dir, watch.device, watch.inode);
        }
        if (!where.empty()) continue;
      }
      for (const Mount* mount : mounts) {
        if (where.empty()) where = view_.find_inode(mount->point, watch.device, watch.inode);
      }
      if (where.empty()) where = "inode " + std::to_string(watch.inode);
      Add(Obstacle::kInotify, where, file.fd);
    }
  }

  void LookAtFile(const OpenFile& file) {
    const DescriptorInfo info = ParseDescriptorInfo(file.info);
    std::string_view path = file.target;
    const bool deleted = path.ends_with(kDeleted);
    if (deleted) path.remove_suffix(kDeleted.size());
    if (path.starts_with("/memfd:") || path.starts_with("/dev/zero") || path.starts_with("/[aio]")) return;
    const auto by_id = std::find_if(mounts_.begin(), mounts_.end(), [&](const Mount& m) { return m.id == info.mount_id; });
    const Mount* mount = by_id != mounts_.end() ? &*by_id : nullptr;
    if ((file.mode & S_IFMT) == S_IFCHR || (file.mode & S_IFMT) == S_IFBLK) {
      LookAtDevice(file, path);
      return;
    }
    const Place place = PlaceOf(mount);
    if (place == Place::kKernel) return;
    if (mount == nullptr && mounts_.empty()) return;  // nothing can be said without the mounts
    if (deleted && file.links == 0) {
      if (place == Place::kTravels && file.size <= kGhostLimit) return;
      Add(Obstacle::kDeletedFile, std::string(path), file.fd);
      return;
    }
    const bool writes = (info.flags & O_ACCMODE) != O_RDONLY;
    if (place == Place::kTravels || (place == Place::kImage && !(writes && !mount->read_only))) return;
    Add(Obstacle::kFile, std::string(path), file.fd);
  }

  void LookAtDevice(const OpenFile& file, std::string_view path) {
    constexpr unsigned kMemory = 1;
    constexpr unsigned kMinors[] = {3, 5, 7, 8, 9};  // null, zero, full, random, urandom
    constexpr unsigned kTerminals = 136;
    const bool character = (file.mode & S_IFMT) == S_IFCHR;
    if (character && file.device_major == kMemory &&
        std::find(std::begin(kMinors), std::end(kMinors), file.device_minor) != std::end(kMinors)) {
      return;
    }
    // A pair of pseudo terminals is CRIU's to dump when the function holds both ends.
    if (character && ((file.device_major == 5 && file.device_minor == 2) ||
                      (file.device_major >= kTerminals && file.device_major < kTerminals + 8))) {
      return;
    }
    Add(Obstacle::kDevice, std::string(path), file.fd);
  }

  void LookAtMappings() {
    for (const Mapping& mapping : ParseMappings(process_->maps)) {
      const std::string& path = mapping.path;
      if (path.starts_with("/SYSV")) {
        Add(Obstacle::kSharedMemory, "a System V segment, " + path.substr(1), -1);
      } else if (path.starts_with("anon_inode:[io_uring]")) {
        Add(Obstacle::kIoUring, "io_uring (mapped)", -1);
      } else if (path.starts_with("/") && !path.starts_with("/memfd:") && !path.starts_with("/[aio]") &&
                 !path.starts_with("/dev/zero") && !path.starts_with("/anon_hugepage")) {
        const Mount* mount = MountOfPath(mounts_, path);
        if (mount == nullptr) continue;
        const Place place = PlaceOf(mount);
        if (place == Place::kElsewhere) {
          Add(mapping.deleted ? Obstacle::kDeletedFile : Obstacle::kFile, path + " (mapped)", -1, kMapped);
        } else if (place == Place::kKernel && path.starts_with("/dev/")) {
          Add(Obstacle::kDevice, path + " (mapped)", -1, kMapped);
        }
      }
    }
  }

  void LookAtProcess() {
    if (process_->tracer != 0) {
      Add(Obstacle::kOther, "traced by process " + std::to_string(process_->tracer), -1, "detach the debugger");
    }
    const std::string& dir = process_->working_dir;
    if (dir.starts_with("/") && !mounts_.empty() && PlaceOf(MountOfPath(mounts_, dir)) == Place::kElsewhere) {
      Add(Obstacle::kFile, "the working directory " + dir, -1,
          "start the function in a directory of the image or below /tmp");
    }
  }

  static constexpr std::string_view kOldCriu =
      "this CRIU can't dump TCP or UDP sockets, not even listening ones, on this kernel; close them before the checkpoint "
      "(beforeCheckpoint) and open them again after, or have a rule `close` it";
  static constexpr std::string_view kMapped =
      "a mapping can't be taken from outside: unmap it before the checkpoint; only the image, /tmp and /dev/shm travel with "
      "a snapshot";

  const SystemView& view_;
  const Serving serving_;
  const std::vector<Mount> mounts_;
  std::map<uint64_t, InetSocket> tcp_;
  std::map<uint64_t, InetSocket> udp_;
  const bool inet_refused_;
  std::set<uint64_t> inner_sockets_;
  const ProcessView* process_ = nullptr;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> FindObstacles(const SystemView& view, Serving serving) { return Look(view, serving).All(); }

nlohmann::json ToJson(const std::vector<Finding>& findings) {
  nlohmann::json list = nlohmann::json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"kind", ObstacleName(finding.kind)},
                    {"what", finding.what},
                    {"pid", finding.pid},
                    {"fd", finding.fd},
                    {"remedy", finding.remedy}});
  }
  return list;
}

}  // namespace thaw::init
