#include "scheduler/lease/lease_id.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/ids/ids.h"
#include "scheduler/catalogue/validation.h"

namespace thaw::scheduler {

std::string LeaseId::Encode() const { return absl::StrCat("L.", version_id, ".", node_id, ".", epoch, "-", number); }

std::optional<LeaseId> LeaseId::Parse(absl::string_view text) {
  if (!absl::ConsumePrefix(&text, "L.")) return std::nullopt;
  const std::size_t first = text.find('.');
  // A node's id may have dots; what follows it has none.
  const std::size_t last = text.rfind('.');
  if (first == absl::string_view::npos || last <= first) return std::nullopt;
  const absl::string_view tail = text.substr(last + 1);
  const std::size_t dash = tail.find('-');
  if (dash == absl::string_view::npos || dash == 0 || dash + 1 == tail.size()) return std::nullopt;
  LeaseId id{std::string(text.substr(0, first)), std::string(text.substr(first + 1, last - first - 1)),
             std::string(tail.substr(0, dash)), std::string(tail.substr(dash + 1))};
  if (!IsDigestId(id.version_id) || !IsSafeName(id.node_id)) return std::nullopt;
  return id;
}

}  // namespace thaw::scheduler
