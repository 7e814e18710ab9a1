#include "agent/init/random_facts.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "agent/init/process_table.h"
#include "agent/init/unique_fd.h"

namespace thaw::init {
namespace {

void AddOnce(std::vector<std::string>* list, const std::string& item) {
  if (std::find(list->begin(), list->end(), item) == list->end()) list->push_back(item);
}

}  // namespace

const BinaryFacts& RandomFacts::Facts(const std::string& path) {
  static const BinaryFacts kNone;
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_size == 0) return kNone;
  const std::tuple key(static_cast<uint64_t>(info.st_dev), static_cast<uint64_t>(info.st_ino),
                       static_cast<int64_t>(info.st_mtim.tv_sec));
  const auto known = known_.find(key);
  if (known != known_.end()) return known->second;
  const auto size = static_cast<size_t>(info.st_size);
  void* content = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (content == MAP_FAILED) return kNone;
  const BinaryFacts facts = ReadBinary(std::string_view(static_cast<const char*>(content), size));
  ::munmap(content, size);
  return known_[key] = facts;
}

ProcessFacts RandomFacts::Of(pid_t pid) {
  ProcessFacts process;
  process.pid = pid;
  const std::string proc = "/proc/" + std::to_string(pid);
  char program[4096];
  const ssize_t length = ::readlink((proc + "/exe").c_str(), program, sizeof program - 1);
  if (length <= 0) return process;
  process.program.assign(program, static_cast<size_t>(length));
  const BinaryFacts& own = Facts(proc + "/exe");
  process.is_static = own.is_elf && own.interpreter.empty();
  process.go_version = own.go_version;

  std::set<std::string> paths;
  FILE* maps = ::fopen((proc + "/maps").c_str(), "re");
  char line[8192];
  while (maps != nullptr && ::fgets(line, sizeof line, maps) != nullptr) {
    char mode[5] = "";
    int path_at = 0;
    if (std::sscanf(line, "%*s %4s %*s %*s %*s %n", mode, &path_at) < 1 || path_at == 0 || line[path_at] != '/') continue;
    if (mode[2] != 'x') continue;
    std::string path(line + path_at);
    while (!path.empty() && path.back() == '\n') path.pop_back();
    paths.insert(std::move(path));
  }
  if (maps != nullptr) ::fclose(maps);
  for (const std::string& path : paths) {
    const BinaryFacts& facts = path == process.program ? own : Facts(proc + "/root" + path);
    process.has_openssl = process.has_openssl || facts.exports_rand_poll;
    process.has_python = process.has_python || facts.exports_python;
    process.has_node = process.has_node || facts.exports_node;
    process.has_java = process.has_java || facts.exports_java;
    if (facts.hides_openssl) AddOnce(&process.hidden_openssl, path);
    const std::string runtime = UnreachableRuntime(std::string_view(path).substr(path.rfind('/') + 1));
    if (!runtime.empty()) AddOnce(&process.unreachable, runtime);
  }
  return process;
}

}  // namespace thaw::init
