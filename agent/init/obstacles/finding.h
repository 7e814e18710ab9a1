#ifndef THAW_AGENT_INIT_OBSTACLES_FINDING_H_
#define THAW_AGENT_INIT_OBSTACLES_FINDING_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace thaw::init {

// The kinds of thaw.common.v1.ObstacleKind that a look at /proc, or CRIU's log, can tell.
enum class Obstacle {
  kFile,
  kDeletedFile,
  kTcp,
  kUdp,
  kUnix,
  kEpoll,
  kIoUring,
  kDevice,
  kSharedMemory,
  kPipe,
  kInotify,
  kOther,
};

// The proto's name without its prefix, in small letters: `deleted_file`.
const char* ObstacleName(Obstacle kind);

// Something that CRIU can't dump as it is, or that a restore elsewhere can't make again.
struct Finding {
  Obstacle kind = Obstacle::kOther;
  // The path, `10.0.0.2:41022 -> 10.0.0.7:5432`, or what else names it.
  std::string what;
  pid_t pid = 0;
  // -1: not a descriptor (a mapping, a working directory, something CRIU said).
  int fd = -1;
  std::string remedy;

  friend bool operator==(const Finding&, const Finding&) = default;
};

// What a person can do about an obstacle of this kind.
std::string_view RemedyFor(Obstacle kind);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_OBSTACLES_FINDING_H_
