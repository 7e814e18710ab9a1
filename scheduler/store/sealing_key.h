#ifndef THAW_SCHEDULER_STORE_SEALING_KEY_H_
#define THAW_SCHEDULER_STORE_SEALING_KEY_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace thaw::scheduler {

// The key under which secrets lie in the store (AES-256-GCM): a copy of the database alone gives none away.
// Threads: any.
class SealingKey {
 public:
  static constexpr std::size_t kBytes = 32;

  // Reads the key file, or makes it (0600, on the disk when this returns) where there is none.
  //
  //   FAILED_PRECONDITION  it is not kBytes long, or others than its owner may read it
  //   UNAVAILABLE          it can't be read or made
  static absl::StatusOr<SealingKey> LoadOrMake(const std::string& path);
  // `bytes` must be kBytes long.
  explicit SealingKey(std::string bytes) : bytes_(std::move(bytes)) {}

  // `plain`, readable only with this key and the same `context` (which is not kept): what is sealed for one place is of
  // no use in another.
  std::string Seal(absl::string_view plain, absl::string_view context) const;
  // DATA_LOSS when `sealed` was made with another key or context, or has been changed.
  absl::StatusOr<std::string> Open(absl::string_view sealed, absl::string_view context) const;

 private:
  std::string bytes_;
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_STORE_SEALING_KEY_H_
