#ifndef THAW_SCHEDULER_CATALOGUE_PAGE_TOKEN_H_
#define THAW_SCHEDULER_CATALOGUE_PAGE_TOKEN_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace thaw::scheduler {

// Where a list goes on: after this name and, among equal names, after this id.
struct PagePosition {
  std::string name;
  std::string id;
};

// Opaque to clients; safe in a URL.
std::string EncodePageToken(const PagePosition& position);
// The position of a token; the start for "". INVALID_ARGUMENT (INVALID_FIELD, `page_token`) for any other text than
// an earlier answer's.
absl::StatusOr<PagePosition> DecodePageToken(absl::string_view token);

// 0 means the default; more than the most means the most.
std::uint32_t EffectivePageSize(std::uint32_t asked);

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_CATALOGUE_PAGE_TOKEN_H_
