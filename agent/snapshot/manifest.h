#ifndef THAW_AGENT_SNAPSHOT_MANIFEST_H_
#define THAW_AGENT_SNAPSHOT_MANIFEST_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "thaw/agent/v1/manifest.pb.h"

namespace thaw::agent {

// What this build writes, and the highest it reads.
inline constexpr std::uint32_t kManifestFormat = 1;
// Of format 1: no chunk is larger.
inline constexpr std::size_t kMaxChunkBytes = 256 << 10;
// No manifest, serialized, is larger: some two million chunks.
inline constexpr std::size_t kMaxManifestBytes = std::size_t{256} << 20;

// 32 lower-case hex digits.
bool IsSnapshotId(absl::string_view id);
// 64 lower-case hex digits.
bool IsSha256(absl::string_view sha256);

// The id that the manifest's content gives it; whatever `info.id` says.
std::string ManifestId(const v1::Manifest& manifest);
// As it lies on disk: deterministic, with the id, without holders.
std::string SerializeManifest(const v1::Manifest& manifest);
// The manifest, if `data` is to the byte what SerializeManifest made of the snapshot `id`; else DATA_LOSS.
absl::StatusOr<v1::Manifest> ParseManifest(absl::string_view data, absl::string_view id);

// That laying the manifest's entries out can do no harm and that they agree with themselves: paths are relative and
// clean, parents come first and are directories, no path twice, chunks add up to their file's size.
//
//   FAILED_PRECONDITION  its format is newer than this build
//   DATA_LOSS            it contradicts itself; the message names the entry
absl::Status ValidateManifest(const v1::Manifest& manifest);

// The distinct chunks, sorted.
std::vector<std::string> ChunksOf(const v1::Manifest& manifest);

}  // namespace thaw::agent

#endif  // THAW_AGENT_SNAPSHOT_MANIFEST_H_
