#ifndef THAW_CLI_OUTPUT_PROGRESS_H_
#define THAW_CLI_OUTPUT_PROGRESS_H_

#include <cstdint>
#include <iosfwd>
#include <memory>

#include "absl/strings/string_view.h"
#include "cli/output/terminal.h"
#include "common/clock/clock.h"

namespace thaw::cli {

// Tells a person how long work goes on: one step at a time, each with a label, an optional detail or amount,
// and an end. Threads: any.
class Progress {
 public:
  virtual ~Progress() = default;

  // Begins a step; one that is still open ends as done.
  virtual void Start(absl::string_view label) = 0;
  // What the open step is busy with, or waits for.
  virtual void Detail(absl::string_view text) = 0;
  // How far the open step is, in bytes; `total` 0 means unknown.
  virtual void Amount(std::uint64_t done, std::uint64_t total) = 0;
  // Ends the open step. `result` (may be empty) is shown behind its label.
  virtual void Done(absl::string_view result) = 0;
  virtual void Failed(absl::string_view reason) = 0;
  // A line of its own.
  virtual void Note(absl::string_view line) = 0;
};

// On an interactive terminal a line that is redrawn, with a spinner or bar and the time; elsewhere plain
// lines, at the begin and end of each step and now and then between. `out` and `clock` must outlive it.
std::unique_ptr<Progress> MakeProgress(std::ostream& out, const Terminal& terminal, const Clock& clock);

// Says nothing.
std::unique_ptr<Progress> MakeQuietProgress();

}  // namespace thaw::cli

#endif  // THAW_CLI_OUTPUT_PROGRESS_H_
