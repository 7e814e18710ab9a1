// What an ELF file draws random numbers with: thaw-init asks it of what a function has mapped, `thaw deploy` of an image's
// program. Plain C++, because thaw-init is built without Abseil.
#ifndef THAW_COMMON_RANDOMNESS_BINARY_FACTS_H_
#define THAW_COMMON_RANDOMNESS_BINARY_FACTS_H_

#include <string>
#include <string_view>
#include <vector>

namespace thaw {

// One ELF file, as far as it concerns random numbers.
struct BinaryFacts {
  bool is_elf = false;
  bool is_program = false;  // and no shared library
  // The dynamic loader that it asks for; empty for static programs and for libraries.
  std::string interpreter;
  // "go1.24.4"; empty when it was not built by Go.
  std::string go_version;
  bool exports_rand_poll = false;  // OpenSSL's
  bool exports_python = false;     // Py_IsInitialized
  bool exports_node = false;       // napi_create_function
  bool exports_java = false;       // JNI_GetCreatedJavaVMs
  // It has OpenSSL's generator inside, and does not export it.
  bool hides_openssl = false;
};

// Reads an ELF file's content (64 bit, this machine's byte order); anything else is no ELF file.
BinaryFacts ReadBinary(std::string_view content);

// From this Go on math/rand draws from generators that can be recognised in memory.
inline constexpr int kFirstCurableGo = 22;
// The 24 of "go1.24.4"; 0 when it says no such thing.
int GoMinor(std::string_view version);

// A runtime whose generators no cure reaches, by the name of its program or library (`ruby3.3`, `libphp.so`); "" for others.
std::string UnreachableRuntime(std::string_view file_name);

// What a program is seen to leave uncured before it has run, for people: `openssl: it is statically linked and …`.
std::vector<std::string> UncuredOf(const BinaryFacts& facts, std::string_view file_name);

}  // namespace thaw

#endif  // THAW_COMMON_RANDOMNESS_BINARY_FACTS_H_
