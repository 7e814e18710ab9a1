#include "agent/init/random_facts.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>
#include <set>

#include "agent/init/process_table.h"
#include "agent/init/unique_fd.h"

namespace thaw::init {
namespace {

// A message of OpenSSL's generator, in every copy of it since 1.1.1, and in nothing that only uses it.
constexpr std::string_view kOpensslSign = "error instantiating drbg";
constexpr std::string_view kGoSign = "\xff Go buildinf:";
constexpr size_t kGoHeaderBytes = 32;
constexpr size_t kGoAlignment = 16;
constexpr uint8_t kGoInlineStrings = 2;

struct Runtime {
  std::string_view file;  // how the name of its program or library begins
  const char* name;
};
constexpr Runtime kUnreachable[] = {
    {"libruby", "ruby"}, {"ruby", "ruby"},   {"libphp", "php"},          {"php", "php"},        {"perl", "perl"},
    {"libperl", "perl"}, {"beam.smp", "erlang"}, {"libcoreclr.so", "dotnet"},
};

template <typename T>
std::optional<T> Read(std::string_view content, uint64_t offset) {
  if (offset > content.size() || content.size() - offset < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, content.data() + offset, sizeof value);
  return value;
}

std::string_view Part(std::string_view content, uint64_t offset, uint64_t size) {
  if (offset > content.size() || content.size() - offset < size) return {};
  return content.substr(offset, size);
}

// The string at the front of `text`, up to its NUL.
std::string_view CString(std::string_view text) { return text.substr(0, std::min(text.find('\0'), text.size())); }

// Programs that read other programs have the sign too, so what follows has to fit.
std::string GoVersion(std::string_view content) {
  for (size_t at = content.find(kGoSign); at != std::string_view::npos; at = content.find(kGoSign, at + 1)) {
    const auto pointer_bytes = Read<uint8_t>(content, at + kGoSign.size());
    const auto flags = Read<uint8_t>(content, at + kGoSign.size() + 1);
    if (!pointer_bytes || !flags) return "";
    if ((*flags & kGoInlineStrings) == 0) {
      // Go before 1.18 has pointers there; its name will do.
      if (*flags <= 1 && (*pointer_bytes == 4 || *pointer_bytes == 8) && at % kGoAlignment == 0) return "go1";
      continue;
    }
    const auto size = Read<uint8_t>(content, at + kGoHeaderBytes);
    const std::string_view version = size ? Part(content, at + kGoHeaderBytes + 1, *size) : std::string_view();
    if (version.starts_with("go") || version.starts_with("devel go")) return std::string(version);
  }
  return "";
}

void ReadDynamicSymbols(std::string_view content, const Elf64_Ehdr& header, BinaryFacts* facts) {
  for (uint16_t i = 0; i < header.e_shnum; ++i) {
    const auto section = Read<Elf64_Shdr>(content, header.e_shoff + uint64_t{i} * header.e_shentsize);
    if (!section) return;
    if (section->sh_type != SHT_DYNSYM) continue;
    const auto names = Read<Elf64_Shdr>(content, header.e_shoff + uint64_t{section->sh_link} * header.e_shentsize);
    if (!names) return;
    const std::string_view strings = Part(content, names->sh_offset, names->sh_size);
    for (uint64_t at = 0; at + sizeof(Elf64_Sym) <= section->sh_size; at += sizeof(Elf64_Sym)) {
      const auto symbol = Read<Elf64_Sym>(content, section->sh_offset + at);
      if (!symbol) return;
      if (symbol->st_shndx == SHN_UNDEF || symbol->st_name >= strings.size()) continue;
      const std::string_view name = CString(strings.substr(symbol->st_name));
      if (name == "RAND_poll") facts->exports_rand_poll = true;
      if (name == "Py_IsInitialized") facts->exports_python = true;
      if (name == "napi_create_function") facts->exports_node = true;
      if (name == "JNI_GetCreatedJavaVMs") facts->exports_java = true;
    }
  }
}

void AddOnce(std::vector<std::string>* list, const std::string& item) {
  if (std::find(list->begin(), list->end(), item) == list->end()) list->push_back(item);
}

}  // namespace

BinaryFacts ReadBinary(std::string_view content) {
  BinaryFacts facts;
  const auto header = Read<Elf64_Ehdr>(content, 0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64 ||
      header->e_ident[EI_DATA] != ELFDATA2LSB) {
    return facts;
  }
  facts.is_elf = true;
  for (uint16_t i = 0; i < header->e_phnum; ++i) {
    const auto segment = Read<Elf64_Phdr>(content, header->e_phoff + uint64_t{i} * header->e_phentsize);
    if (!segment) break;
    if (segment->p_type == PT_INTERP) facts.interpreter = CString(Part(content, segment->p_offset, segment->p_filesz));
  }
  ReadDynamicSymbols(content, *header, &facts);
  facts.go_version = GoVersion(content);
  if (!facts.exports_rand_poll) facts.hides_openssl = content.find(kOpensslSign) != std::string_view::npos;
  return facts;
}

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
    const std::string_view name = std::string_view(path).substr(path.rfind('/') + 1);
    for (const Runtime& runtime : kUnreachable) {
      if (name.starts_with(runtime.file)) AddOnce(&process.unreachable, runtime.name);
    }
  }
  return process;
}

}  // namespace thaw::init
