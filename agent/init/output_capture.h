#ifndef THAW_AGENT_INIT_OUTPUT_CAPTURE_H_
#define THAW_AGENT_INIT_OUTPUT_CAPTURE_H_

#include <string>

#include "agent/init/event_loop.h"
#include "agent/init/function_log.h"
#include "agent/init/unique_fd.h"

namespace thaw::init {

// Reads one stream of a function into its log, from the loop, a bounded piece at a time so that a function
// which prints without end does not keep orders waiting.
class OutputCapture {
 public:
  OutputCapture(EventLoop& loop, FunctionLog& log, UniqueFd read_end, std::string instance, std::string stream);
  ~OutputCapture();
  OutputCapture(const OutputCapture&) = delete;
  OutputCapture& operator=(const OutputCapture&) = delete;

  // Name of the pipe, `pipe:[123]`.
  const std::string& pipe_name() const { return pipe_name_; }
  // Reads what is in the pipe now, at most a pipe's capacity, and an unfinished last line.
  void Drain();

 private:
  // Returns false when nothing (more) is to be had now.
  bool ReadOnce();

  EventLoop& loop_;
  FunctionLog& log_;
  UniqueFd fd_;
  const std::string instance_;
  const std::string stream_;
  const std::string pipe_name_;
  LineCutter cutter_;
};

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_OUTPUT_CAPTURE_H_
