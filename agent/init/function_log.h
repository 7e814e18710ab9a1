#ifndef THAW_AGENT_INIT_FUNCTION_LOG_H_
#define THAW_AGENT_INIT_FUNCTION_LOG_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "agent/init/unique_fd.h"

namespace thaw::init {

inline constexpr size_t kLogLineLimit = 8 * 1024;
inline constexpr uint64_t kLogFileLimit = 1024 * 1024;

// Cuts a byte stream into lines. What a line has beyond kLogLineLimit bytes is dropped, and the line ends
// with " [cut]", so memory stays bounded whatever a function prints.
class LineCutter {
 public:
  using Sink = std::function<void(std::string_view line)>;

  // Calls `sink` for each line that `bytes` completes; the line has no newline and no trailing '\r'.
  void Feed(std::string_view bytes, const Sink& sink);
  // Hands over an unfinished last line, if there is one.
  void Finish(const Sink& sink);

 private:
  void Emit(const Sink& sink);

  std::string line_;
  bool cut_ = false;
};

// function.log: `<RFC 3339 UTC with ms> <instance> <stream> <line>`, rotated to `<path>.1` before it would
// grow past `limit_bytes`. A disk that is full loses lines, never blocks; how many were lost is written
// with the next line that fits.
class FunctionLog {
 public:
  explicit FunctionLog(std::string path, uint64_t limit_bytes = kLogFileLimit);

  // `stream` is out, err or thaw.
  void Write(std::string_view instance, std::string_view stream, std::string_view line);

 private:
  bool Append(const std::string& record);
  void Open();

  const std::string path_;
  const uint64_t limit_bytes_;
  UniqueFd file_;
  uint64_t size_ = 0;
  uint64_t lost_ = 0;
};

// `2026-01-31T12:00:00.123Z`
std::string FormatTime(int64_t unix_ms);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_FUNCTION_LOG_H_
