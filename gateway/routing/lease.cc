#include "gateway/routing/lease.h"

#include "absl/strings/str_cat.h"
#include "common/ids/ids.h"
#include "common/status/reasons.h"

namespace thaw::gateway {
namespace {

constexpr std::size_t kMaxNameLength = 255;

absl::Status BadName(absl::string_view message) {
  return WithReason(absl::InvalidArgumentError(message), reason::kInvalidField, {{"field", "function"}});
}

}  // namespace

absl::StatusOr<FunctionName> MakeFunctionName(absl::string_view id, absl::string_view path) {
  if (id.empty() == path.empty()) {
    return BadName("name the function by its id or by its path `app/function`, one of the two");
  }
  FunctionName name;
  if (!id.empty()) {
    if (!IsSafeName(id)) {
      return BadName("the function's id has characters that no id has; `thaw functions` lists them");
    }
    name.id = std::string(id);
    return name;
  }
  const std::size_t slash = path.find('/');
  if (slash == absl::string_view::npos || slash == 0 || slash + 1 == path.size() ||
      path.find('/', slash + 1) != absl::string_view::npos || slash > kMaxNameLength ||
      path.size() - slash - 1 > kMaxNameLength) {
    return BadName("the function's path is not of the form `app/function`");
  }
  for (const char c : path) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return BadName("the function's path has control characters");
  }
  name.path = std::string(path);
  return name;
}

}  // namespace thaw::gateway
