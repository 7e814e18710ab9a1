#ifndef THAW_AGENT_TRANSFER_ARCHIVE_CHECK_H_
#define THAW_AGENT_TRANSFER_ARCHIVE_CHECK_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/crypto/sha256.h"

namespace thaw::agent {

// Reads along with an image archive (as `docker save` writes it, uncompressed) and tells whether loading it would give
// exactly the image `sha256:…` and no other: its manifest.json names one configuration only, and that hashes to the id.
// An engine loads an archive when it has come to its end, so whoever withholds the end of a wrong one loads nothing.
//
// One thread at a time.
class ArchiveCheck {
 public:
  explicit ArchiveCheck(absl::string_view image_id);

  // INVALID_ARGUMENT when it is no such archive.
  absl::Status Update(absl::string_view part);
  // After the last part: INVALID_ARGUMENT when it is another image's, or cut off.
  absl::Status Finish();

 private:
  enum class Want { kNothing, kText, kDigest };

  absl::Status Header();
  void EndOfEntry();
  absl::Status PaxHeader();

  const std::string digest_;
  // What is left of the current 512-byte header, or of the current entry and its padding.
  std::string block_;
  std::uint64_t content_left_ = 0;
  std::uint64_t padding_left_ = 0;
  Want want_ = Want::kNothing;
  char type_ = 0;
  std::string name_;
  std::string text_;
  Sha256 hash_;
  // Given by a header entry for the entry after it.
  std::string next_name_;
  bool has_next_size_ = false;
  std::uint64_t next_size_ = 0;

  bool ended_ = false;
  bool configuration_is_right_ = false;
  // The name that the manifest must give for the configuration.
  std::string configuration_name_;
  std::string manifest_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_TRANSFER_ARCHIVE_CHECK_H_
