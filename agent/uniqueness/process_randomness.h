#ifndef THAW_AGENT_UNIQUENESS_PROCESS_RANDOMNESS_H_
#define THAW_AGENT_UNIQUENESS_PROCESS_RANDOMNESS_H_

#include <string>
#include <vector>

namespace thaw::agent {

// What thaw-init says of one process's random numbers (docs/design/init-protocol.md, `randomness`).
struct ProcessRandomness {
  int pid = 0;
  std::string program;
  bool is_static = false;
  // "go1.24.4"; empty when Go has not built it.
  std::string go_version;
  // Generators of Go's runtime that were recognised in its memory.
  int go_generators = 0;
  bool has_openssl = false;
  bool has_python = false;
  bool has_node = false;
  bool has_java = false;
  // Files with an OpenSSL of their own that nothing can reach.
  std::vector<std::string> hidden_openssl;
  // Runtimes whose generators no cure reaches.
  std::vector<std::string> unreachable;
  // The shim's answer, a letter each for OpenSSL, Python, Node and Java: `-` nothing to cure, `+` in place, `!` failed.
  // Empty: the process has no shim.
  std::string shim;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_UNIQUENESS_PROCESS_RANDOMNESS_H_
