#ifndef THAW_CLI_OUTPUT_TEXT_WIDTH_H_
#define THAW_CLI_OUTPUT_TEXT_WIDTH_H_

#include <string>

#include "absl/strings/string_view.h"

namespace thaw::cli {

// The number of terminal columns that `text` takes: UTF-8, combining marks 0, wide East Asian characters and
// emoji 2, colour escapes (CSI … m) 0, a byte that is no UTF-8 1.
int DisplayWidth(absl::string_view text);

// `text` cut to `width` columns, with `…` as the last one when something was cut. `text` has no escapes.
std::string Ellipsize(absl::string_view text, int width);

// `text` with control characters made visible (`\n`, `\t`, `\x1b`), so that what a cluster or function says
// can't steer the terminal.
std::string Printable(absl::string_view text);

}  // namespace thaw::cli

#endif  // THAW_CLI_OUTPUT_TEXT_WIDTH_H_
