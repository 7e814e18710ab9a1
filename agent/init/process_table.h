#ifndef THAW_AGENT_INIT_PROCESS_TABLE_H_
#define THAW_AGENT_INIT_PROCESS_TABLE_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace thaw::init {

struct ProcessInfo {
  pid_t pid = 0;
  pid_t parent = 0;
  char state = '?';
};

// Reads the text of /proc/<pid>/stat; nullopt when it is not such a text.
std::optional<ProcessInfo> ParseProcStat(std::string_view text);

// What belongs to the function: every live process of the PID namespace but init itself, those in `own`
// (init's helpers) and their descendants, and processes that somebody brought in from outside
// (`docker exec`) with their descendants. Zombies are left out.
std::vector<ProcessInfo> SelectFunctionProcesses(const std::vector<ProcessInfo>& all, pid_t init,
                                                 const std::vector<pid_t>& own);

std::vector<ProcessInfo> ListProcesses();

// Resident bytes of the process; 0 when it is gone.
uint64_t ResidentBytes(pid_t pid);

// Of the process; empty when it is gone.
std::vector<pid_t> ThreadsOf(pid_t pid);

// The PID that traces any thread of the process, or 0.
pid_t TracerOf(pid_t pid);

// Sets where the kernel goes on looking for free PIDs in this namespace.
//
// A snapshot's PIDs must be free where it is restored. So functions, and everything they fork, live above
// kFunctionPids, while CRIU and init's helpers are given PIDs from the bottom.
inline constexpr pid_t kFunctionPids = 10'000;
inline constexpr pid_t kHelperPids = 100;
bool SetLastPid(pid_t pid);
// Highest live PID or thread id of the namespace, at least kFunctionPids.
pid_t HighestPid();

// OOM kills that the container's memory cgroup has counted (v1 and v2); 0 when it can't be read.
uint64_t OomKills();
// Reads the `oom_kill <n>` line of memory.events or memory.oom_control.
uint64_t ParseOomKills(std::string_view text);

// The whole of a small file, or "".
std::string ReadSmallFile(const std::string& path);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_PROCESS_TABLE_H_
