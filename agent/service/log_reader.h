#ifndef THAW_AGENT_SERVICE_LOG_READER_H_
#define THAW_AGENT_SERVICE_LOG_READER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace thaw::agent {

// Reads the `function.log` files of a function's slots (docs/design/init-protocol.md), from one look to the next. A slot's
// log is rotated at 1 MiB, so a look reads a bounded amount. One thread at a time; blocks on the disk.
class LogReader {
 public:
  // The first look gives the newest `tail` lines.
  explicit LogReader(std::size_t tail) : tail_(tail) {}

  // What has come since the last look, from all slots, by time. A line that is still being written comes whole with the
  // next look.
  std::vector<std::string> ReadNew(const std::vector<std::string>& control_dirs);

 private:
  struct Position {
    std::uint64_t inode = 0;
    std::uint64_t offset = 0;
  };

  const std::size_t tail_;
  bool first_ = true;
  std::map<std::string, Position> positions_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_SERVICE_LOG_READER_H_
