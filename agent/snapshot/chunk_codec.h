#ifndef THAW_AGENT_SNAPSHOT_CHUNK_CODEC_H_
#define THAW_AGENT_SNAPSHOT_CHUNK_CODEC_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace thaw::agent {

// Turns chunks into single zstd frames and back. Keeps its contexts and buffers for the next use. Threads: any.
class ChunkCodec {
 public:
  // What one thread works with: reused, so that a chunk costs no allocation.
  struct Scratch;

  // Lends a Scratch until destroyed.
  class Lease {
   public:
    explicit Lease(ChunkCodec* codec);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    // Compresses at level 1; the answer lives until the next call.
    absl::string_view Compress(absl::string_view raw);
    // The content of `frame`, which must be exactly one frame of at most kMaxChunkBytes that hashes to `sha256`; else
    // DATA_LOSS. The answer lives until the next call.
    absl::Status Decompress(absl::string_view sha256, absl::string_view frame, absl::string_view* raw);
    // A buffer of `size` bytes, apart from those of the two above.
    char* Buffer(std::size_t size);

   private:
    ChunkCodec* const codec_;
    std::unique_ptr<Scratch> scratch_;
  };

  ChunkCodec();
  ~ChunkCodec();

 private:
  absl::Mutex mu_;
  std::vector<std::unique_ptr<Scratch>> idle_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_SNAPSHOT_CHUNK_CODEC_H_
