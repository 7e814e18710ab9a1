#ifndef THAW_COMMON_IDS_IDS_H_
#define THAW_COMMON_IDS_IDS_H_

#include <string>

#include "absl/strings/string_view.h"

namespace thaw {

// A new id in the form Fn uses for apps, functions and calls: 26 characters of Crockford's base 32
// (0-9A-Z without I, L, O, U), 48 bits of milliseconds since the epoch, then 80 random bits. Sorts by time.
std::string NewId();

// `bytes` random bytes from the kernel as lower-case hex.
std::string NewHexId(int bytes = 8);

// True for 1 to 128 characters of [A-Za-z0-9_.-] that begin with a letter or digit: safe as a file name.
bool IsSafeName(absl::string_view name);

}  // namespace thaw

#endif  // THAW_COMMON_IDS_IDS_H_
