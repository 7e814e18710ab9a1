#include "agent/init/process_table.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>

#include "agent/init/unique_fd.h"

namespace thaw::init {
namespace {

// Numeric entries of a directory such as /proc.
std::vector<pid_t> NumericEntries(const std::string& path) {
  std::vector<pid_t> result;
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  if (!dir) return result;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    pid_t pid = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (parsed.ec == std::errc() && parsed.ptr == name.data() + name.size()) result.push_back(pid);
  }
  return result;
}

}  // namespace

std::string ReadSmallFile(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  if (!file) return text;
  char buffer[4096];
  ssize_t count = 0;
  while (text.size() < 1024 * 1024 && (count = ::read(file.get(), buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<size_t>(count));
  }
  return text;
}

std::optional<ProcessInfo> ParseProcStat(std::string_view text) {
  ProcessInfo info;
  if (std::from_chars(text.data(), text.data() + text.size(), info.pid).ec != std::errc()) return std::nullopt;
  // The name in parentheses is the process's own choice and may hold blanks and parentheses.
  const size_t end = text.rfind(')');
  if (end == std::string_view::npos || text.size() < end + 5) return std::nullopt;
  info.state = text[end + 2];
  const std::string_view rest = text.substr(end + 4);
  if (std::from_chars(rest.data(), rest.data() + rest.size(), info.parent).ec != std::errc()) return std::nullopt;
  return info;
}

std::vector<ProcessInfo> SelectFunctionProcesses(const std::vector<ProcessInfo>& all, pid_t init,
                                                 const std::vector<pid_t>& own) {
  std::map<pid_t, pid_t> parent;
  for (const ProcessInfo& process : all) parent[process.pid] = process.parent;
  std::vector<ProcessInfo> result;
  for (const ProcessInfo& process : all) {
    if (process.pid == init || process.state == 'Z' || process.state == 'X') continue;
    bool foreign = false;
    pid_t ancestor = process.pid;
    // Bounded, because the table is not read in one instant and may hold a loop.
    for (size_t steps = 0; steps <= all.size(); ++steps) {
      if (ancestor == init) break;
      if (ancestor == 0 || std::find(own.begin(), own.end(), ancestor) != own.end()) {
        foreign = true;
        break;
      }
      auto it = parent.find(ancestor);
      if (it == parent.end()) break;
      ancestor = it->second;
    }
    if (!foreign) result.push_back(process);
  }
  return result;
}

std::vector<ProcessInfo> ListProcesses() {
  std::vector<ProcessInfo> result;
  for (pid_t pid : NumericEntries("/proc")) {
    if (auto info = ParseProcStat(ReadSmallFile("/proc/" + std::to_string(pid) + "/stat"))) result.push_back(*info);
  }
  return result;
}

uint64_t ResidentBytes(pid_t pid) {
  const std::string text = ReadSmallFile("/proc/" + std::to_string(pid) + "/statm");
  unsigned long long size = 0;
  unsigned long long resident = 0;
  if (std::sscanf(text.c_str(), "%llu %llu", &size, &resident) != 2) return 0;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::vector<pid_t> ThreadsOf(pid_t pid) { return NumericEntries("/proc/" + std::to_string(pid) + "/task"); }

pid_t TracerOf(pid_t pid) {
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  for (pid_t thread : NumericEntries(tasks)) {
    const std::string text = ReadSmallFile(tasks + "/" + std::to_string(thread) + "/status");
    const size_t at = text.find("TracerPid:");
    if (at == std::string::npos) continue;
    const pid_t tracer = std::atoi(text.c_str() + at + 10);
    if (tracer != 0) return tracer;
  }
  return 0;
}

bool SetLastPid(pid_t pid) {
  UniqueFd file(::open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC));
  const std::string text = std::to_string(pid);
  return file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

pid_t HighestPid() {
  pid_t highest = kFunctionPids;
  for (pid_t pid : NumericEntries("/proc")) {
    for (pid_t thread : NumericEntries("/proc/" + std::to_string(pid) + "/task")) highest = std::max(highest, thread);
  }
  return highest;
}

uint64_t ParseOomKills(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    constexpr std::string_view kKey = "oom_kill ";
    if (line.starts_with(kKey)) {
      uint64_t count = 0;
      std::from_chars(line.data() + kKey.size(), line.data() + line.size(), count);
      return count;
    }
    at = end + 1;
  }
  return 0;
}

uint64_t OomKills() {
  for (const char* path : {"/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"}) {
    const std::string text = ReadSmallFile(path);
    if (!text.empty()) return ParseOomKills(text);
  }
  return 0;
}

}  // namespace thaw::init
