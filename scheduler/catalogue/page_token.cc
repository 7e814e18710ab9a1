#include "scheduler/catalogue/page_token.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/strip.h"
#include "absl/strings/str_cat.h"
#include "scheduler/errors.h"
#include "scheduler/limits.h"

namespace thaw::scheduler {
namespace {

// Tells our tokens from other base64, and this form from a later one.
constexpr absl::string_view kPrefix = "p1:";

}  // namespace

std::string EncodePageToken(const PagePosition& position) {
  // Neither part can hold a zero byte: names are checked, ids are ours.
  return absl::WebSafeBase64Escape(absl::StrCat(kPrefix, position.name, absl::string_view("\0", 1), position.id));
}

absl::StatusOr<PagePosition> DecodePageToken(absl::string_view token) {
  if (token.empty()) return PagePosition{};
  std::string text;
  const absl::Status bad = errors::InvalidField(
      "page_token", "is not one of this list; send next_page_token of the last answer, or none for the first page");
  if (!absl::WebSafeBase64Unescape(token, &text)) return bad;
  absl::string_view rest = text;
  if (!absl::ConsumePrefix(&rest, kPrefix)) return bad;
  const std::size_t split = rest.find('\0');
  if (split == absl::string_view::npos) return bad;
  return PagePosition{std::string(rest.substr(0, split)), std::string(rest.substr(split + 1))};
}

std::uint32_t EffectivePageSize(std::uint32_t asked) {
  return asked == 0 ? limits::kDefaultPageSize : std::min(asked, limits::kMaxPageSize);
}

}  // namespace thaw::scheduler
