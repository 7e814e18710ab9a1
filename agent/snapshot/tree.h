#ifndef THAW_AGENT_SNAPSHOT_TREE_H_
#define THAW_AGENT_SNAPSHOT_TREE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "agent/snapshot/chunk_codec.h"
#include "agent/snapshot/parallel.h"
#include "thaw/agent/v1/manifest.pb.h"

// A snapshot's directory tree, to and from a manifest's entries. `root` is an open directory in all of these.
namespace thaw::agent {

// Lists everything below `root`, parents first and siblings by name, into the manifest's entries, files with their size
// and with room for their chunks of `chunk_bytes`, but no digests. Sockets and devices are left out: CRIU makes bound
// sockets itself.
absl::Status ScanTree(int root, std::size_t chunk_bytes, v1::Manifest* manifest);

// A part of one file that one thread works on at a time: whole chunks, at most about 1 MiB.
struct Span {
  int entry = 0;
  int first_chunk = 0;
  int chunks = 0;
  std::uint64_t offset = 0;
};
std::vector<Span> SpansOf(const v1::Manifest& manifest);

// Reads the files that ScanTree has listed: fills each file's and each chunk's SHA-256, and hands each chunk's digest and
// content to `keep`, which is called on many threads. ABORTED when a file has changed since it was listed.
absl::Status ReadTree(int root, ParallelWork& work, ChunkCodec& codec,
                      absl::FunctionRef<absl::Status(absl::string_view sha256, absl::string_view raw)> keep,
                      v1::Manifest* manifest);

// Makes the entries of a valid manifest below the empty `root`. `write` puts one span into the open file, which has its
// size already and reads as zero; it is called on many threads.
absl::Status LayOutTree(int root, const v1::Manifest& manifest, ParallelWork& work,
                        absl::FunctionRef<absl::Status(int fd, const v1::Entry& entry, const Span& span)> write);

// Compares what lies below `root` with the manifest: names, types, modes, owners, link targets and all content. DATA_LOSS
// names the first path that differs.
absl::Status CheckTree(int root, const v1::Manifest& manifest, ParallelWork& work, ChunkCodec& codec);

bool IsZero(absl::string_view data);

}  // namespace thaw::agent

#endif  // THAW_AGENT_SNAPSHOT_TREE_H_
