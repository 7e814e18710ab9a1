#include "agent/snapshot/manifest.h"

#include <algorithm>
#include <climits>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/crypto/sha256.h"
#include "common/status/status_macros.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace thaw::agent {
namespace {

constexpr std::size_t kIdDigits = 32;
constexpr std::uint32_t kPermissionBits = 07777;

bool IsLowerHex(absl::string_view text, std::size_t digits) {
  return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string Deterministic(const v1::Manifest& manifest) {
  std::string data;
  {
    google::protobuf::io::StringOutputStream stream(&data);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    manifest.SerializeToCodedStream(&coded);
  }
  return data;
}

bool IsCleanPath(absl::string_view path) {
  if (path.empty() || path.size() >= PATH_MAX || path.find('\0') != absl::string_view::npos) return false;
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == ".." || part.size() > NAME_MAX) return false;
  }
  return true;
}

absl::Status Bad(const v1::Manifest& manifest, const v1::Entry& entry, absl::string_view why) {
  return absl::DataLossError(
      absl::StrCat("snapshot ", manifest.info().id(), ": entry \"", entry.path(), "\" ", why));
}

absl::Status ValidateFile(const v1::Manifest& manifest, const v1::Entry& entry) {
  std::uint64_t sum = 0;
  for (int i = 0; i < entry.chunks_size(); ++i) {
    const v1::ChunkRef& chunk = entry.chunks(i);
    if (!IsSha256(chunk.sha256())) return Bad(manifest, entry, "has a chunk whose name is no SHA-256");
    if (chunk.size_bytes() == 0 || chunk.size_bytes() > kMaxChunkBytes) {
      return Bad(manifest, entry, absl::StrCat("has a chunk of ", chunk.size_bytes(), " bytes"));
    }
    sum += chunk.size_bytes();
  }
  if (sum != entry.size_bytes()) {
    return Bad(manifest, entry, absl::StrCat("has ", entry.size_bytes(), " bytes, its chunks ", sum));
  }
  if (!IsSha256(entry.sha256())) return Bad(manifest, entry, "has no SHA-256");
  return absl::OkStatus();
}

}  // namespace

bool IsSnapshotId(absl::string_view id) { return IsLowerHex(id, kIdDigits); }
bool IsSha256(absl::string_view sha256) { return IsLowerHex(sha256, 64); }

std::string ManifestId(const v1::Manifest& manifest) {
  v1::Manifest bare = manifest;
  bare.mutable_info()->clear_id();
  bare.mutable_info()->clear_holders();
  bare.mutable_info()->clear_experience();
  return Sha256Hex(Deterministic(bare)).substr(0, kIdDigits);
}

std::string SerializeManifest(const v1::Manifest& manifest) {
  if (manifest.info().holders().empty() && !manifest.info().has_experience()) return Deterministic(manifest);
  v1::Manifest bare = manifest;
  bare.mutable_info()->clear_holders();
  bare.mutable_info()->clear_experience();
  return Deterministic(bare);
}

absl::StatusOr<v1::Manifest> ParseManifest(absl::string_view data, absl::string_view id) {
  v1::Manifest manifest;
  // Comparing the bytes too finds damage that a parser forgives.
  if (data.size() > kMaxManifestBytes || !manifest.ParseFromArray(data.data(), static_cast<int>(data.size())) ||
      manifest.info().id() != id || ManifestId(manifest) != id || SerializeManifest(manifest) != data) {
    return absl::DataLossError(absl::StrCat("the manifest of snapshot ", id, " is damaged"));
  }
  return manifest;
}

absl::Status ValidateManifest(const v1::Manifest& manifest) {
  if (manifest.format() > kManifestFormat) {
    return absl::FailedPreconditionError(
        absl::StrCat("snapshot ", manifest.info().id(), " has format ", manifest.format(), ", this agent knows up to ",
                     kManifestFormat, "; update this node's agent"));
  }
  if (manifest.format() == 0) {
    return absl::DataLossError(absl::StrCat("snapshot ", manifest.info().id(), " has no format"));
  }
  absl::flat_hash_map<absl::string_view, v1::Entry::Type> seen;
  for (const v1::Entry& entry : manifest.entries()) {
    const absl::string_view path = entry.path();
    if (!IsCleanPath(path)) return Bad(manifest, entry, "is no clean relative path");
    if (!seen.emplace(path, entry.type()).second) return Bad(manifest, entry, "is there twice");
    if (const auto slash = path.rfind('/'); slash != absl::string_view::npos) {
      const auto parent = seen.find(path.substr(0, slash));
      // A parent that were a link could lead out of the directory.
      if (parent == seen.end() || parent->second != v1::Entry::TYPE_DIRECTORY) {
        return Bad(manifest, entry, "has no directory before it to lie in");
      }
    }
    if ((entry.mode() & ~kPermissionBits) != 0) return Bad(manifest, entry, "has a mode beyond the permission bits");
    if (entry.type() != v1::Entry::TYPE_FILE && (entry.chunks_size() != 0 || entry.size_bytes() != 0)) {
      return Bad(manifest, entry, "has content but is no file");
    }
    switch (entry.type()) {
      case v1::Entry::TYPE_FILE:
        RETURN_IF_ERROR(ValidateFile(manifest, entry));
        break;
      case v1::Entry::TYPE_SYMLINK:
        if (entry.link_target().empty() || entry.link_target().size() >= PATH_MAX ||
            entry.link_target().find('\0') != std::string::npos) {
          return Bad(manifest, entry, "is a link to an impossible target");
        }
        break;
      case v1::Entry::TYPE_DIRECTORY:
      case v1::Entry::TYPE_FIFO:
        break;
      default:
        return Bad(manifest, entry, "has an unknown type");
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> ChunksOf(const v1::Manifest& manifest) {
  std::vector<std::string> chunks;
  for (const v1::Entry& entry : manifest.entries()) {
    for (const v1::ChunkRef& chunk : entry.chunks()) chunks.push_back(chunk.sha256());
  }
  std::sort(chunks.begin(), chunks.end());
  chunks.erase(std::unique(chunks.begin(), chunks.end()), chunks.end());
  return chunks;
}

}  // namespace thaw::agent
