#include "agent/snapshot/chunk_codec.h"

#include <zstd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/snapshot/manifest.h"
#include "common/crypto/sha256.h"

namespace thaw::agent {
namespace {

// Twice the speed of level 3 for page images that come out a tenth larger.
constexpr int kLevel = 1;
// Each holds about 1 MiB.
constexpr std::size_t kMaxIdle = 8;

absl::Status Damaged(absl::string_view sha256, absl::string_view why) {
  return absl::DataLossError(absl::StrCat("chunk ", sha256, " is damaged: ", why));
}

}  // namespace

struct ChunkCodec::Scratch {
  ZSTD_CCtx* compressor = ZSTD_createCCtx();
  ZSTD_DCtx* decompressor = ZSTD_createDCtx();
  std::string frame;
  std::string raw;
  std::string buffer;

  ~Scratch() {
    ZSTD_freeCCtx(compressor);
    ZSTD_freeDCtx(decompressor);
  }
};

ChunkCodec::ChunkCodec() = default;
ChunkCodec::~ChunkCodec() = default;

ChunkCodec::Lease::Lease(ChunkCodec* codec) : codec_(codec) {
  {
    absl::MutexLock lock(&codec_->mu_);
    if (!codec_->idle_.empty()) {
      scratch_ = std::move(codec_->idle_.back());
      codec_->idle_.pop_back();
    }
  }
  if (scratch_ == nullptr) scratch_ = std::make_unique<Scratch>();
}

ChunkCodec::Lease::~Lease() {
  absl::MutexLock lock(&codec_->mu_);
  if (codec_->idle_.size() < kMaxIdle) codec_->idle_.push_back(std::move(scratch_));
}

absl::string_view ChunkCodec::Lease::Compress(absl::string_view raw) {
  const std::size_t bound = ZSTD_compressBound(raw.size());
  if (scratch_->frame.size() < bound) scratch_->frame.resize(bound);
  // Can't fail: the bound is the library's own and the level is valid.
  const std::size_t size = ZSTD_compressCCtx(scratch_->compressor, scratch_->frame.data(), scratch_->frame.size(),
                                             raw.data(), raw.size(), kLevel);
  return absl::string_view(scratch_->frame.data(), ZSTD_isError(size) ? 0 : size);
}

absl::Status ChunkCodec::Lease::Decompress(absl::string_view sha256, absl::string_view frame, absl::string_view* raw) {
  const unsigned long long content = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (content == ZSTD_CONTENTSIZE_ERROR || content == ZSTD_CONTENTSIZE_UNKNOWN || content > kMaxChunkBytes) {
    return Damaged(sha256, "it is no zstd frame of a chunk's size");
  }
  if (ZSTD_findFrameCompressedSize(frame.data(), frame.size()) != frame.size()) {
    return Damaged(sha256, "it is not exactly one zstd frame");
  }
  if (scratch_->raw.size() < kMaxChunkBytes) scratch_->raw.resize(kMaxChunkBytes);
  const std::size_t size = ZSTD_decompressDCtx(scratch_->decompressor, scratch_->raw.data(), scratch_->raw.size(),
                                               frame.data(), frame.size());
  if (ZSTD_isError(size)) return Damaged(sha256, ZSTD_getErrorName(size));
  const absl::string_view content_view(scratch_->raw.data(), size);
  if (Sha256Hex(content_view) != sha256) return Damaged(sha256, "its content has another SHA-256");
  *raw = content_view;
  return absl::OkStatus();
}

char* ChunkCodec::Lease::Buffer(std::size_t size) {
  if (scratch_->buffer.size() < size) scratch_->buffer.resize(size);
  return scratch_->buffer.data();
}

}  // namespace thaw::agent
