#include "common/randomness/binary_facts.h"

#include <elf.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

namespace thaw {
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

bool IsPie(std::string_view dynamic) {
  for (uint64_t at = 0; const auto entry = Read<Elf64_Dyn>(dynamic, at); at += sizeof(Elf64_Dyn)) {
    if (entry->d_tag == DT_FLAGS_1 && (entry->d_un.d_val & DF_1_PIE) != 0) return true;
  }
  return false;
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

}  // namespace

BinaryFacts ReadBinary(std::string_view content) {
  BinaryFacts facts;
  const auto header = Read<Elf64_Ehdr>(content, 0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64 ||
      header->e_ident[EI_DATA] != ELFDATA2LSB) {
    return facts;
  }
  facts.is_elf = true;
  bool is_pie = false;
  for (uint16_t i = 0; i < header->e_phnum; ++i) {
    const auto segment = Read<Elf64_Phdr>(content, header->e_phoff + uint64_t{i} * header->e_phentsize);
    if (!segment) break;
    if (segment->p_type == PT_DYNAMIC) is_pie = IsPie(Part(content, segment->p_offset, segment->p_filesz));
    if (segment->p_type == PT_INTERP) facts.interpreter = CString(Part(content, segment->p_offset, segment->p_filesz));
  }
  // A static PIE has no interpreter either, and is what no library is: asked to be executed.
  facts.is_program = header->e_type == ET_EXEC || !facts.interpreter.empty() || is_pie;
  ReadDynamicSymbols(content, *header, &facts);
  facts.go_version = GoVersion(content);
  if (!facts.exports_rand_poll) facts.hides_openssl = content.find(kOpensslSign) != std::string_view::npos;
  return facts;
}

int GoMinor(std::string_view version) {
  constexpr std::string_view kPrefix = "go1.";
  int minor = 0;
  if (version.starts_with(kPrefix)) std::from_chars(version.data() + kPrefix.size(), version.data() + version.size(), minor);
  return minor;
}

std::string UnreachableRuntime(std::string_view file_name) {
  for (const Runtime& runtime : kUnreachable) {
    if (file_name.starts_with(runtime.file)) return runtime.name;
  }
  return "";
}

std::vector<std::string> UncuredOf(const BinaryFacts& facts, std::string_view file_name) {
  std::vector<std::string> uncured;
  if (facts.is_program && facts.interpreter.empty() && facts.exports_rand_poll) {
    uncured.emplace_back("openssl: it is statically linked, so no library can be preloaded; link it dynamically");
  }
  if (facts.hides_openssl) {
    uncured.emplace_back("openssl: it has an OpenSSL of its own inside and does not export RAND_poll, so nothing can make it "
                         "reseed; link it against a shared libcrypto");
  }
  if (!facts.go_version.empty() && GoMinor(facts.go_version) < kFirstCurableGo) {
    uncured.push_back("go-random: it was built by " + facts.go_version +
                      ", whose math/rand can't be seeded from outside; build it with go1.22 or newer");
  }
  if (const std::string runtime = UnreachableRuntime(file_name); !runtime.empty()) {
    uncured.push_back(runtime + ": there is no cure for its random numbers; seed them anew in each call that needs "
                                "unguessable ones");
  }
  return uncured;
}

}  // namespace thaw
