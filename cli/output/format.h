#ifndef THAW_CLI_OUTPUT_FORMAT_H_
#define THAW_CLI_OUTPUT_FORMAT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace thaw::cli {

// "999 B", "4.1 MiB", "20 MiB".
std::string FormatBytes(std::uint64_t bytes);
// For waiting people: "0.4 s", "12 s", "3 min 05 s".
std::string FormatShortDuration(absl::Duration duration);
// Milliseconds with one digit behind the point: "5312.4".
std::string FormatMillis(absl::Duration duration);
// How long ago: "now", "42 s", "7 min", "3 h", "12 d".
std::string FormatAge(absl::Duration age);
// The same as words: "now", "42 s ago".
std::string FormatAgo(absl::Duration age);
// RFC 3339, UTC, milliseconds; "" for a time that was never set.
std::string FormatTimestamp(absl::Time time);
// The first 12 characters of a long id.
std::string ShortId(absl::string_view id);

}  // namespace thaw::cli

#endif  // THAW_CLI_OUTPUT_FORMAT_H_
