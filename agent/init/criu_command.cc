#include "agent/init/criu_command.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "agent/init/protobuf_reader.h"

namespace thaw::init {
namespace {

// Errors that CRIU reports on every run here, or only to say that it gives up.
constexpr std::string_view kNoReason[] = {
    "Can't setup RLIMIT_NOFILE for self",  // no CAP_SYS_RESOURCE; harmless
    "Dumping FAILED",
    "Restoring FAILED",
    "Dump core (pid:",
    "Dump files (pid:",
    "Unable to create tun",
};

struct Advice {
  std::string_view sign;
  Obstacle kind;
  std::string_view remedy;
};

constexpr Advice kAdvice[] = {
    {"Connected TCP socket", Obstacle::kTcp,
     "close TCP connections before the checkpoint (beforeCheckpoint) and open them again after"},
    // A peer has connected, and nobody has accepted it yet.
    {"In-flight connection", Obstacle::kTcp,
     "close TCP connections before the checkpoint (beforeCheckpoint), those not yet accepted too, and open them again after"},
    // Linux 6.16 refuses SO_PASSCRED and SO_PASSSEC on sockets that are not unix sockets; CRIU 4.1.1 asks for them.
    {"Can't get 1:16 opt", Obstacle::kTcp,
     "this CRIU can't dump TCP or UDP sockets, not even listening ones, on this kernel; close them before the checkpoint "
     "(beforeCheckpoint) and open them again after"},
    {"Can't dump that handle", Obstacle::kInotify,
     "inotify watches can be kept on files below /tmp only; remove others before the checkpoint"},
    {"External socket is used", Obstacle::kUnix,
     "close connections to unix sockets outside the function before the checkpoint"},
    {"Can't dump half of stream unix connection", Obstacle::kUnix,
     "close connections to unix sockets outside the function before the checkpoint"},
    {"unix: Unix socket", Obstacle::kUnix,
     "a connection that somebody outside the container has opened was not closed in time; try again later"},
    {"Dangling in-flight connection", Obstacle::kUnix,
     "a peer outside has connected to a unix socket of the function and was not accepted; try again later"},
    {"is tracing", Obstacle::kOther, "detach the debugger"},
    {"Can't freeze", Obstacle::kOther, "the process is in an uninterruptible system call; try again later"},
    {"io_uring", Obstacle::kIoUring, "start the function through thaw-init, whose filter hides io_uring"},
    {"Can't open file", Obstacle::kFile, "the file is not in the snapshot; only /tmp and /dev/shm travel with it"},
    {"Can't lookup mount", Obstacle::kFile, "it lies on a mount that other containers have not; close it before the checkpoint"},
    {"has bad size", Obstacle::kFile,
     "the file differs in this container; keep files that change below /tmp, or have a rule `close` or `reopen` it"},
    {"ghost file", Obstacle::kDeletedFile,
     "a deleted file that is still open is larger than the limit; close it before the checkpoint"},
    {"SysVIPC shmem", Obstacle::kSharedMemory,
     "use POSIX shared memory (/dev/shm) instead of System V segments, or detach before the checkpoint"},
    {"Unable to find tfd", Obstacle::kEpoll, "remove the descriptor from the epoll before it is closed, or passed on"},
    {"epoll target", Obstacle::kEpoll, "remove the descriptor from the epoll before it is closed, or passed on"},
    {"Can't dump file", Obstacle::kDevice, "close it before the checkpoint, or have a rule `close` it"},
    {"Can't fork for", Obstacle::kOther, "a PID of the snapshot is taken in this container"},
    {"Unable to create a thread", Obstacle::kOther, "a PID of the snapshot is taken in this container"},
};

// "tail" of "(00.012345) 123: Error (criu/x.c:12): tail"; empty when the line is no error.
std::string_view ErrorText(std::string_view line) {
  const size_t error = line.find("Error (");
  if (error == std::string_view::npos) return {};
  const size_t end = line.find("): ", error);
  return end == std::string_view::npos ? std::string_view() : line.substr(end + 3);
}

bool ContainsAny(std::string_view text, std::initializer_list<std::string_view> signs) {
  return std::any_of(signs.begin(), signs.end(),
                     [text](std::string_view sign) { return text.find(sign) != std::string_view::npos; });
}

void AppendCommon(std::vector<std::string>* arguments, const std::string& images_dir, const std::string& work_dir,
                  int log_level) {
  arguments->insert(arguments->end(), {"--images-dir", images_dir, "--work-dir", work_dir, "--log-file", kCriuLogName,
                                       "-v" + std::to_string(log_level),
                                       // CRIU runs with init's capabilities: of an image, whoever made it, it takes
                                       // neither options nor plugins. A plugins' directory must be there; this one
                                       // has none.
                                       "--no-default-config", "--libdir", work_dir,
                                       // The container's cgroup is the runtime's business, and /sys/fs/cgroup is
                                       // read-only here.
                                       "--manage-cgroups=ignore", "--file-locks"});
}

}  // namespace

std::vector<std::string> DumpArguments(const CriuDump& dump) {
  std::vector<std::string> arguments = {dump.criu, "dump", "--tree", std::to_string(dump.pid)};
  AppendCommon(&arguments, dump.images_dir, dump.work_dir, dump.log_level);
  arguments.insert(arguments.end(), {"--action-script", dump.action_script,
                                     // Files that were deleted while open: those with another name get a link
                                     // again for the time of the dump, those without travel in the images.
                                     "--link-remap", "--ghost-limit", "256M",
                                     // Without CAP_DAC_READ_SEARCH a watched file can't be found by its handle,
                                     // so CRIU looks for it by its inode: here, beside /etc and the like.
                                     "--irmap-scan-path", "/tmp", "--irmap-scan-path", "/function"});
  if (dump.leave_running) arguments.emplace_back("--leave-running");
  return arguments;
}

std::vector<std::string> RestoreArguments(const CriuRestore& restore) {
  std::vector<std::string> arguments = {restore.criu, "restore", "--restore-detached", "--pidfile", kCriuPidFile};
  AppendCommon(&arguments, restore.images_dir, restore.work_dir, restore.log_level);
  if (!restore.action_script.empty()) arguments.insert(arguments.end(), {"--action-script", restore.action_script});
  for (const InheritedFd& inherited : restore.inherited) {
    arguments.insert(arguments.end(), {"--inherit-fd", "fd[" + std::to_string(inherited.fd) + "]:" + inherited.name});
  }
  return arguments;
}

std::string FindCriu() {
  for (const char* path : {"/thaw/criu/criu", "/usr/local/sbin/criu", "/usr/sbin/criu", "/usr/local/bin/criu",
                           "/usr/bin/criu", "/sbin/criu"}) {
    if (::access(path, X_OK) == 0) return path;
  }
  return "";
}

std::string ParseCriuVersion(std::string_view text) {
  constexpr std::string_view kKey = "Version: ";
  const size_t at = text.find(kKey);
  if (at == std::string_view::npos) return "";
  text.remove_prefix(at + kKey.size());
  size_t end = 0;
  while (end < text.size() && std::isspace(static_cast<unsigned char>(text[end])) == 0) ++end;
  return std::string(text.substr(0, end));
}

std::vector<Finding> FindingsOfCriuLog(std::string_view log) {
  constexpr size_t kMost = 3;
  std::vector<Finding> findings;
  for (size_t at = 0; at < log.size() && findings.size() < kMost;) {
    const size_t end = std::min(log.find('\n', at), log.size());
    const std::string_view error = ErrorText(log.substr(at, end - at));
    at = end + 1;
    if (error.empty()) continue;
    if (std::any_of(std::begin(kNoReason), std::end(kNoReason),
                    [error](std::string_view noise) { return error.find(noise) != std::string_view::npos; })) {
      continue;
    }
    Finding finding{.kind = Obstacle::kOther, .what = std::string(error), .pid = 0, .fd = -1, .remedy = ""};
    const auto* advice = std::find_if(std::begin(kAdvice), std::end(kAdvice), [error](const Advice& candidate) {
      return error.find(candidate.sign) != std::string_view::npos;
    });
    if (advice != std::end(kAdvice)) {
      finding.kind = advice->kind;
      finding.remedy = advice->remedy;
    }
    if (std::find(findings.begin(), findings.end(), finding) == findings.end()) findings.push_back(std::move(finding));
  }
  return findings;
}

Outcome ExplainCriuFailure(std::string_view log, bool is_dump, const std::string& how_it_ended) {
  const std::vector<Finding> reasons = FindingsOfCriuLog(log);
  const auto advised = std::find_if(reasons.begin(), reasons.end(), [](const Finding& f) { return !f.remedy.empty(); });
  std::string message = is_dump ? "criu dump failed" : "criu restore failed";
  if (reasons.empty()) {
    message += " without a reason in its log: " + how_it_ended;
  } else {
    const char* separator = ": ";
    for (const Finding& reason : reasons) {
      message.append(separator).append(reason.what);
      separator = "; ";
    }
    if (advised != reasons.end()) message.append(" (").append(advised->remedy).append(")");
  }
  Code code = is_dump ? Code::kFailedPrecondition : Code::kInternal;
  if (ContainsAny(log, {"No space left on device", "Disk quota exceeded", "Cannot allocate memory"})) {
    code = Code::kResourceExhausted;
  }
  return Outcome(code, message);
}

std::string LogTail(std::string_view log, size_t lines) {
  constexpr size_t kMost = 4096;
  while (!log.empty() && log.back() == '\n') log.remove_suffix(1);
  size_t start = log.size();
  while (start > 0 && lines > 0) {
    const size_t newline = log.rfind('\n', start - 1);
    if (newline == std::string_view::npos) {
      start = 0;
      break;
    }
    start = newline;
    --lines;
  }
  if (start < log.size() && log[start] == '\n') ++start;
  if (log.size() - start > kMost) start = log.size() - kMost;
  return std::string(log.substr(start));
}

uint64_t ParseFrozenMicroseconds(std::string_view stats_image) {
  // StatsEntry.dump = 1, DumpStatsEntry.frozen_time = 2 in CRIU's images/stats.proto.
  CriuImageReader image(stats_image);
  const auto message = image.Next();
  if (!message) return 0;
  ProtobufReader stats(*message);
  while (const auto field = stats.Next()) {
    if (field->number != 1) continue;
    ProtobufReader dump(field->bytes);
    while (const auto inner = dump.Next()) {
      if (inner->number == 2) return inner->value;
    }
  }
  return 0;
}

}  // namespace thaw::init
