// What a process draws random numbers with, as far as its files and mappings tell.
#ifndef THAW_AGENT_INIT_RANDOM_FACTS_H_
#define THAW_AGENT_INIT_RANDOM_FACTS_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "common/randomness/binary_facts.h"

namespace thaw::init {

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
