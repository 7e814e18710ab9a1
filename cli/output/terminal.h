#ifndef THAW_CLI_OUTPUT_TERMINAL_H_
#define THAW_CLI_OUTPUT_TERMINAL_H_

#include <string>

#include "absl/strings/string_view.h"

namespace thaw::cli {

enum class Style { kPlain, kBold, kDim, kRed, kGreen, kYellow, kCyan };

// What an output stream is connected to. A value; threads: any.
struct Terminal {
  // Whether a person looks at it: allows redrawing.
  bool interactive = false;
  // Whether escapes for colour are wanted.
  bool colour = false;
  // Columns.
  int width = 80;

  // The terminal behind a file descriptor. Colours only on a terminal, unless `no_color` (NO_COLOR is set and
  // not empty, or --no-color was given) or the terminal is dumb.
  static Terminal Of(int fd, bool no_color);

  // `text` in `style` where colour is wanted, else as it is.
  std::string Paint(Style style, absl::string_view text) const;
};

}  // namespace thaw::cli

#endif  // THAW_CLI_OUTPUT_TERMINAL_H_
