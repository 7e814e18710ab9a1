// What a process draws random numbers with, as far as its files and mappings tell.
#ifndef THAW_AGENT_INIT_RANDOM_FACTS_H_
#define THAW_AGENT_INIT_RANDOM_FACTS_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace thaw::init {

// One ELF file, as far as it concerns random numbers.
struct BinaryFacts {
  bool is_elf = false;
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

struct ProcessFacts {
  pid_t pid = 0;
  std::string program;  // its executable's path
  bool is_static = false;
  std::string go_version;
  bool has_openssl = false;
  bool has_python = false;
  bool has_node = false;
  bool has_java = false;
  // Files with an OpenSSL of their own that nothing can reach.
  std::vector<std::string> hidden_openssl;
  // Runtimes whose generators nothing of ours reaches: "ruby", "php", "perl", "dotnet", "erlang".
  std::vector<std::string> unreachable;
};

// Reads what the processes have mapped. A file is read once, as long as it does not change.
//
// Threads: one.
class RandomFacts {
 public:
  ProcessFacts Of(pid_t pid);

 private:
  const BinaryFacts& Facts(const std::string& path);

  std::map<std::tuple<uint64_t, uint64_t, int64_t>, BinaryFacts> known_;
};

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_RANDOM_FACTS_H_
