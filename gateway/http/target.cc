#include "gateway/http/target.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::gateway {
namespace {

constexpr absl::string_view kInvokePrefix = "/invoke/";

// Nothing when a `%` is not followed by two hex digits.
std::optional<std::string> PercentDecode(absl::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size() || !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 1])) ||
        !absl::ascii_isxdigit(static_cast<unsigned char>(text[i + 2]))) {
      return std::nullopt;
    }
    int value = 0;
    (void)absl::SimpleHexAtoi(text.substr(i + 1, 2), &value);
    decoded.push_back(static_cast<char>(value));
    i += 2;
  }
  return decoded;
}

absl::Status BadPath() {
  return WithReason(absl::InvalidArgumentError("the path's percent-encoding is broken"), reason::kInvalidField,
                    {{"field", "path"}});
}

}  // namespace

absl::StatusOr<HttpTarget> ParseTarget(absl::string_view target) {
  absl::string_view path = target.substr(0, target.find('?'));
  if (path == "/healthz") return HttpTarget{.kind = HttpTarget::Kind::kHealth, .function = {}};
  if (path == "/readyz") return HttpTarget{.kind = HttpTarget::Kind::kReady, .function = {}};
  if (path == "/metrics") return HttpTarget{.kind = HttpTarget::Kind::kMetrics, .function = {}};
  if (!absl::ConsumePrefix(&path, kInvokePrefix)) {
    return absl::NotFoundError("nothing is at this path; functions are called at /invoke/{function id} and at "
                               "/invoke/{app}/{function}");
  }
  HttpTarget result{.kind = HttpTarget::Kind::kInvoke, .function = {}};
  const std::size_t slash = path.find('/');
  if (slash == absl::string_view::npos) {
    const auto id = PercentDecode(path);
    if (!id.has_value()) return BadPath();
    ASSIGN_OR_RETURN(result.function, MakeFunctionName(*id, ""));
    return result;
  }
  const auto app = PercentDecode(path.substr(0, slash));
  const auto function = PercentDecode(path.substr(slash + 1));
  if (!app.has_value() || !function.has_value()) return BadPath();
  ASSIGN_OR_RETURN(result.function, MakeFunctionName("", absl::StrCat(*app, "/", *function)));
  return result;
}

}  // namespace thaw::gateway
