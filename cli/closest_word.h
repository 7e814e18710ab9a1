#ifndef THAW_CLI_CLOSEST_WORD_H_
#define THAW_CLI_CLOSEST_WORD_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace thaw::cli {

// The word of `known` that `word` was probably meant to be (few single-character edits away), or "".
std::string ClosestWord(absl::string_view word, const std::vector<std::string>& known);

}  // namespace thaw::cli

#endif  // THAW_CLI_CLOSEST_WORD_H_
