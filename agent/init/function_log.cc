#include "agent/init/function_log.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>

namespace thaw::init {

void LineCutter::Feed(std::string_view bytes, const Sink& sink) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    const size_t room = kLogLineLimit - line_.size();
    line_.append(piece.substr(0, room));
    if (piece.size() > room) cut_ = true;
    if (end == std::string_view::npos) return;
    Emit(sink);
    bytes.remove_prefix(end + 1);
  }
}

void LineCutter::Finish(const Sink& sink) {
  if (!line_.empty()) Emit(sink);
}

void LineCutter::Emit(const Sink& sink) {
  if (cut_) {
    line_ += " [cut]";
  } else if (!line_.empty() && line_.back() == '\r') {
    line_.pop_back();
  }
  sink(line_);
  line_.clear();
  cut_ = false;
}

std::string FormatTime(int64_t unix_ms) {
  const time_t seconds = static_cast<time_t>(unix_ms / 1000);
  tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900, parts.tm_mon + 1,
                parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, static_cast<int>(unix_ms % 1000));
  return text;
}

FunctionLog::FunctionLog(std::string path, uint64_t limit_bytes)
    : path_(std::move(path)), limit_bytes_(limit_bytes) {
  Open();
}

void FunctionLog::Open() {
  file_.reset(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  struct stat info {};
  size_ = file_ && ::fstat(file_.get(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

void FunctionLog::Write(std::string_view instance, std::string_view stream, std::string_view line) {
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  std::string head = FormatTime(now.count());
  head.append(" ").append(instance.empty() ? "-" : instance).append(" ");
  if (lost_ > 0) {
    if (!Append(head + "thaw " + std::to_string(lost_) + " lines were lost: the log could not be written\n")) {
      ++lost_;
      return;
    }
    lost_ = 0;
  }
  head.append(stream).append(" ").append(line).append("\n");
  if (!Append(head)) ++lost_;
}

bool FunctionLog::Append(const std::string& record) {
  if (size_ > 0 && size_ + record.size() > limit_bytes_) {
    ::rename(path_.c_str(), (path_ + ".1").c_str());
    Open();
  }
  if (!file_) Open();
  if (!file_) return false;
  const ssize_t written = ::write(file_.get(), record.data(), record.size());
  if (written > 0) size_ += static_cast<uint64_t>(written);
  if (written == static_cast<ssize_t>(record.size())) return true;
  // Half a line would be taken for a whole one by a reader.
  if (written > 0 && ::ftruncate(file_.get(), static_cast<off_t>(size_ - written)) == 0) {
    size_ -= static_cast<uint64_t>(written);
  }
  return false;
}

}  // namespace thaw::init
