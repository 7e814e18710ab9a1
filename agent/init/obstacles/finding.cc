#include "agent/init/obstacles/finding.h"

namespace thaw::init {

const char* ObstacleName(Obstacle kind) {
  switch (kind) {
    case Obstacle::kFile: return "file";
    case Obstacle::kDeletedFile: return "deleted_file";
    case Obstacle::kTcp: return "tcp";
    case Obstacle::kUdp: return "udp";
    case Obstacle::kUnix: return "unix";
    case Obstacle::kEpoll: return "epoll";
    case Obstacle::kIoUring: return "io_uring";
    case Obstacle::kDevice: return "device";
    case Obstacle::kSharedMemory: return "shared_memory";
    case Obstacle::kPipe: return "pipe";
    case Obstacle::kInotify: return "inotify";
    case Obstacle::kOther: return "other";
  }
  return "other";
}

std::string_view RemedyFor(Obstacle kind) {
  switch (kind) {
    case Obstacle::kFile:
      return "only the image, /tmp and /dev/shm travel with a snapshot: keep the file below /tmp, close it before the "
             "checkpoint, or have a rule `reopen` or `close` it";
    case Obstacle::kDeletedFile:
      return "close it before the checkpoint, or have a rule `close` it; deleted files travel only below /tmp and "
             "/dev/shm, up to 256 MiB";
    case Obstacle::kTcp:
      return "close TCP connections before the checkpoint (beforeCheckpoint) and open them again after, or have a rule "
             "`close` it: the function then finds a connection that its peer has closed";
    case Obstacle::kUdp:
      return "close UDP sockets before the checkpoint (beforeCheckpoint) and open them again after, or have a rule "
             "`close` it";
    case Obstacle::kUnix:
      return "close connections to unix sockets outside the function before the checkpoint, or have a rule `close` it";
    case Obstacle::kEpoll:
      return "remove the descriptor from the epoll before it is closed, or passed on; a rule `close` takes the whole "
             "epoll away";
    case Obstacle::kIoUring:
      return "start the function through thaw-init, whose filter hides io_uring, or close the ring before the checkpoint";
    case Obstacle::kDevice:
      return "close the device before the checkpoint, or have a rule `close` it; only /dev/null, zero, full, random and "
             "urandom can be restored";
    case Obstacle::kSharedMemory:
      return "use POSIX shared memory (/dev/shm) or a shared mapping instead of System V segments, or detach before the "
             "checkpoint";
    case Obstacle::kPipe:
      return "a process outside the function holds the other end: end it, or have a rule `close` it";
    case Obstacle::kInotify:
      return "inotify watches can be kept on files below /tmp, /function and /etc only; remove others before the "
             "checkpoint, or have a rule `close` it";
    case Obstacle::kOther: return "";
  }
  return "";
}

}  // namespace thaw::init
