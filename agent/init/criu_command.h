// What thaw-init knows of CRIU's command line, log and statistics.
#ifndef THAW_AGENT_INIT_CRIU_COMMAND_H_
#define THAW_AGENT_INIT_CRIU_COMMAND_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/init/obstacles/finding.h"
#include "agent/init/outcome.h"

namespace thaw::init {

// CRIU's own log level: 2 keeps errors and warnings, 4 is for people who look for a fault; each level above 2
// costs a restore several milliseconds.
struct CriuDump {
  std::string criu;
  pid_t pid = 0;
  std::string images_dir;
  std::string work_dir;
  std::string action_script;
  bool leave_running = false;
  int log_level = 2;
};

struct InheritedFd {
  int fd = -1;
  std::string name;  // pipe:[123]
};

struct CriuRestore {
  std::string criu;
  std::string images_dir;
  std::string work_dir;
  std::vector<InheritedFd> inherited;
  std::string action_script;  // empty: none
  int log_level = 2;
};

// The environment of each run of CRIU. It would run tools that it finds by PATH (`sh -c iptables …`, when it looks what the kernel
// can do): those of the image, with init's capabilities. There is none here, and it needs none.
inline constexpr char kCriuEnvironment[] = "PATH=/thaw/criu";

inline constexpr char kCriuLogName[] = "criu.log";
inline constexpr char kCriuPidFile[] = "pid";

std::vector<std::string> DumpArguments(const CriuDump& dump);
std::vector<std::string> RestoreArguments(const CriuRestore& restore);

// The criu program that the agent has mounted, else the image's own; "" when there is none.
std::string FindCriu();
// "4.1.1" from the text of `criu --version`; "" when it says nothing of that kind.
std::string ParseCriuVersion(std::string_view text);

// The errors of a failed run's log that say a reason, at most three, in the form of what a look finds.
std::vector<Finding> FindingsOfCriuLog(std::string_view log);

// Turns a failed run's log into what to tell the agent: the first errors that say a reason (CRIU goes on to
// report every level that it falls through), and what the owner of the function can do where that is known.
//   ResourceExhausted   disk or memory is full.
//   FailedPrecondition  a dump that CRIU refused.
//   Internal            a restore that failed.
Outcome ExplainCriuFailure(std::string_view log, bool is_dump, const std::string& how_it_ended);

// At most `lines` last lines and 4 KiB.
std::string LogTail(std::string_view log, size_t lines = 20);

// Microseconds that the processes were frozen, from a stats-dump image; 0 when it can't be read.
uint64_t ParseFrozenMicroseconds(std::string_view stats_image);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_CRIU_COMMAND_H_
