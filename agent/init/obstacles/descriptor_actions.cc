#include "agent/init/obstacles/descriptor_actions.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "agent/init/obstacles/injector.h"
#include "agent/init/obstacles/proc_texts.h"
#include "agent/init/process_table.h"
#include "agent/init/unique_fd.h"

namespace thaw::init {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kHere = static_cast<uint64_t>(static_cast<int64_t>(AT_FDCWD));

std::string Named(const Finding& finding) {
  return std::string(ObstacleName(finding.kind)) + " " + finding.what + " (process " + std::to_string(finding.pid) +
         ", descriptor " + std::to_string(finding.fd) + ")";
}

// A call that must succeed.
Outcome Do(Injector& process, const char* act, long number, const std::array<uint64_t, 6>& arguments, long* result) {
  if (Outcome outcome = process.Call(number, arguments, result); !outcome.ok()) return outcome;
  if (*result >= 0) return {};
  return ErrnoOutcome(static_cast<int>(-*result), std::string("the function could not be made to ") + act);
}

// Puts the file at `from` under the number `to`, and frees `from`.
Outcome MoveDescriptor(Injector& process, int from, int to, int flags) {
  if (from == to) return {};
  long result = 0;
  const uint64_t close_on_exec = flags & O_CLOEXEC;
  if (Outcome outcome = Do(process, "replace a descriptor", SYS_dup3,
                           {static_cast<uint64_t>(from), static_cast<uint64_t>(to), close_on_exec, 0, 0, 0}, &result);
      !outcome.ok()) {
    return outcome;
  }
  return Do(process, "close a descriptor", SYS_close, {static_cast<uint64_t>(from), 0, 0, 0, 0, 0}, &result);
}

Outcome ReplaceByNothing(Injector& process, int fd, int flags) {
  uint64_t path = 0;
  long opened = 0;
  if (Outcome outcome = process.WriteScratch(std::string_view("/", 2), &path); !outcome.ok()) return outcome;
  if (Outcome outcome = Do(process, "open /", SYS_openat, {kHere, path, O_PATH | O_CLOEXEC, 0, 0, 0}, &opened);
      !outcome.ok()) {
    return outcome;
  }
  return MoveDescriptor(process, static_cast<int>(opened), fd, flags);
}

Outcome ReplaceByDeadSocket(Injector& process, int fd, int flags) {
  uint64_t address = 0;
  long result = 0;
  int ends[2] = {-1, -1};
  if (Outcome outcome = process.WriteScratch(std::string_view(reinterpret_cast<char*>(ends), sizeof ends), &address);
      !outcome.ok()) {
    return outcome;
  }
  const int type = SOCK_STREAM | SOCK_CLOEXEC | ((flags & O_NONBLOCK) != 0 ? SOCK_NONBLOCK : 0);
  if (Outcome outcome = Do(process, "make a socket", SYS_socketpair,
                           {AF_UNIX, static_cast<uint64_t>(type), 0, address, 0, 0}, &result);
      !outcome.ok()) {
    return outcome;
  }
  if (Outcome outcome = process.ReadScratch(ends, sizeof ends); !outcome.ok()) return outcome;
  if (Outcome outcome = Do(process, "close a socket", SYS_close, {static_cast<uint64_t>(ends[1]), 0, 0, 0, 0, 0}, &result);
      !outcome.ok()) {
    return outcome;
  }
  return MoveDescriptor(process, ends[0], fd, flags);
}

// The kernel took the old socket out of the epolls that watched it: without this nobody would hear of its end.
Outcome WatchAgain(Injector& process, const ProcessView& view, const OpenFile& old) {
  for (const OpenFile& epoll : view.files) {
    if (epoll.target != "anon_inode:[eventpoll]") continue;
    for (const EpollTarget& target : ParseDescriptorInfo(epoll.info).epoll) {
      if (target.fd != old.fd || target.inode != old.inode) continue;
      epoll_event event{};
      event.events = target.events;
      event.data.u64 = target.data;
      uint64_t address = 0;
      if (Outcome outcome =
              process.WriteScratch(std::string_view(reinterpret_cast<const char*>(&event), sizeof event), &address);
          !outcome.ok()) {
        return outcome;
      }
      long ignored = 0;  // an epoll that was taken away itself refuses, and may
      if (Outcome outcome = process.Call(SYS_epoll_ctl,
                                         {static_cast<uint64_t>(epoll.fd), EPOLL_CTL_ADD, static_cast<uint64_t>(old.fd),
                                          address, 0, 0},
                                         &ignored);
          !outcome.ok()) {
        return outcome;
      }
    }
  }
  return {};
}

Outcome TakeOne(Injector& process, const ProcessView& view, const OpenFile& file, const Finding& finding, Action action,
                std::vector<Reopening>* reopen) {
  const DescriptorInfo info = ParseDescriptorInfo(file.info);
  if (action == Action::kReopen) {
    if (finding.kind != Obstacle::kFile || !file.target.starts_with("/")) {
      return Outcome(Code::kInvalidArgument,
                     "only files can be opened again, not " + Named(finding) + "; have a rule `close` it");
    }
    reopen->push_back({.pid = finding.pid,
                       .fd = file.fd,
                       .path = file.target,
                       .flags = info.flags,
                       .position = info.position});
  }
  if (!file.target.starts_with("socket:")) return ReplaceByNothing(process, file.fd, info.flags);
  if (Outcome outcome = ReplaceByDeadSocket(process, file.fd, info.flags); !outcome.ok()) return outcome;
  return WatchAgain(process, view, file);
}

Outcome OpenOne(Injector& process, const Reopening& wanted) {
  uint64_t path = 0;
  if (Outcome outcome = process.WriteScratch(std::string_view(wanted.path.c_str(), wanted.path.size() + 1), &path);
      !outcome.ok()) {
    return outcome;
  }
  // fdinfo has no creation flags, but O_LARGEFILE, which is no matter.
  auto flags = static_cast<uint64_t>(wanted.flags) & ~static_cast<uint64_t>(O_CREAT | O_EXCL | O_TRUNC);
  long opened = 0;
  if (Outcome outcome = process.Call(SYS_openat, {kHere, path, flags, 0, 0, 0}, &opened); !outcome.ok()) return outcome;
  if (opened == -ENOENT && (wanted.flags & O_ACCMODE) != O_RDONLY) {
    if (Outcome outcome = process.Call(SYS_openat, {kHere, path, flags | O_CREAT, 0644, 0, 0}, &opened); !outcome.ok()) {
      return outcome;
    }
  }
  if (opened < 0) {
    return Outcome(Code::kNotFound, "file " + wanted.path + " can't be opened again: " +
                                        std::strerror(static_cast<int>(-opened)) +
                                        "; mount it into every container of the function, or have a rule `close` it");
  }
  long ignored = 0;
  if (Outcome outcome = MoveDescriptor(process, static_cast<int>(opened), wanted.fd, wanted.flags); !outcome.ok()) {
    return outcome;
  }
  // Of no matter where it can't be sought.
  return process.Call(SYS_lseek, {static_cast<uint64_t>(wanted.fd), static_cast<uint64_t>(wanted.position), SEEK_SET, 0, 0, 0},
                      &ignored);
}

}  // namespace

Outcome TakeAway(const SystemView& view, const std::vector<Finding>& findings, const std::vector<DescriptorAction>& actions,
                 std::vector<Reopening>* reopen) {
  for (const ProcessView& process : view.processes) {
    std::unique_ptr<Injector> injector;
    std::vector<int> taken;
    for (const Finding& finding : findings) {
      if (finding.pid != process.pid) continue;
      const auto action = std::find_if(actions.begin(), actions.end(),
                                       [&](const DescriptorAction& candidate) { return candidate.Fits(finding); });
      if (action == actions.end() || action->action == Action::kIgnore) continue;
      if (finding.fd < 0) {
        return Outcome(Code::kInvalidArgument, Named(finding) + " is no descriptor and can't be closed from outside");
      }
      // One descriptor can have several findings: an epoll with two lost targets.
      if (std::find(taken.begin(), taken.end(), finding.fd) != taken.end()) continue;
      taken.push_back(finding.fd);
      const auto file = std::find_if(process.files.begin(), process.files.end(),
                                     [&](const OpenFile& candidate) { return candidate.fd == finding.fd; });
      if (file == process.files.end()) return Outcome(Code::kInternal, Named(finding) + " is gone");
      if (!injector) {
        if (Outcome outcome = Injector::Attach(process.pid, &injector); !outcome.ok()) return outcome;
      }
      if (Outcome outcome = TakeOne(*injector, process, *file, finding, action->action, reopen); !outcome.ok()) {
        return Outcome(outcome.code(), "cannot take away " + Named(finding) + ": " + outcome.message());
      }
    }
  }
  return {};
}

Outcome OpenAgain(const std::vector<Reopening>& reopen) {
  std::map<pid_t, std::unique_ptr<Injector>> injectors;
  for (const Reopening& wanted : reopen) {
    std::unique_ptr<Injector>& injector = injectors[wanted.pid];
    if (!injector) {
      if (Outcome outcome = Injector::Attach(wanted.pid, &injector); !outcome.ok()) return outcome;
    }
    if (Outcome outcome = OpenOne(*injector, wanted); !outcome.ok()) return outcome;
  }
  return {};
}

Outcome WriteUndoing(const std::string& images_dir, const Undoing& undoing) {
  Json json = {{"stopped", undoing.stopped}, {"reopen", Json::array()}};
  for (const Reopening& wanted : undoing.reopen) {
    json["reopen"].push_back({{"pid", wanted.pid},
                              {"fd", wanted.fd},
                              {"path", wanted.path},
                              {"flags", wanted.flags},
                              {"position", wanted.position}});
  }
  const std::string path = images_dir + "/" + kUndoingFile;
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return ErrnoOutcome(errno, "cannot write " + path);
  }
  return {};
}

Outcome ReadUndoing(const std::string& images_dir, Undoing* undoing) {
  const std::string path = images_dir + "/" + kUndoingFile;
  if (::access(path.c_str(), F_OK) != 0) return {};
  const Json json = Json::parse(ReadSmallFile(path), nullptr, false);
  const Outcome damaged(Code::kDataLoss, path + " can't be read; the snapshot is damaged");
  if (!json.is_object() || !json.contains("stopped") || !json.contains("reopen")) return damaged;
  for (const Json& pid : json["stopped"]) {
    if (!pid.is_number_integer()) return damaged;
    undoing->stopped.push_back(pid.get<pid_t>());
  }
  for (const Json& item : json["reopen"]) {
    if (!item.is_object() || !item.contains("path") || !item["path"].is_string()) return damaged;
    undoing->reopen.push_back({.pid = item.value("pid", 0),
                               .fd = item.value("fd", -1),
                               .path = item["path"].get<std::string>(),
                               .flags = item.value("flags", 0),
                               .position = item.value("position", int64_t{0})});
  }
  return {};
}

}  // namespace thaw::init
