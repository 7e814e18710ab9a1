#include "agent/snapshot/chunk_index.h"

namespace thaw::agent {

ChunkIndex::Chunk* ChunkIndex::Settled(absl::string_view sha256) {
  auto settled = [this, sha256]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const auto it = chunks_.find(sha256);
    return it == chunks_.end() || !InFlux(it->second.state);
  };
  mu_.Await(absl::Condition(&settled));
  const auto it = chunks_.find(sha256);
  return it == chunks_.end() ? nullptr : &it->second;
}

void ChunkIndex::Load(const std::string& sha256, std::uint64_t stored_bytes) {
  absl::MutexLock lock(&mu_);
  Chunk& chunk = chunks_[sha256];
  chunk.state = State::kPresent;
  chunk.stored_bytes = stored_bytes;
  // It may be of an adopted copy, written just before the last process ended: a snapshot made here that comes to share it
  // must not rely on it unsynced.
  chunk.synced = false;
  chunk.unused_since = absl::InfinitePast();
  unused_.emplace_back(absl::InfinitePast(), sha256);
  total_bytes_ += stored_bytes;
}

ChunkIndex::Claimed ChunkIndex::Claim(const std::string& sha256) {
  absl::MutexLock lock(&mu_);
  Chunk* chunk = Settled(sha256);
  if (chunk == nullptr) {
    chunk = &chunks_[sha256];
    chunk->state = State::kLost;
  }
  ++chunk->uses;
  chunk->unused_since = absl::InfiniteFuture();
  if (chunk->state == State::kPresent) return Claimed::kPresent;
  chunk->state = State::kWriting;
  return Claimed::kMustWrite;
}

void ChunkIndex::Written(const std::string& sha256, std::uint64_t stored_bytes) {
  absl::MutexLock lock(&mu_);
  Chunk& chunk = chunks_[sha256];
  chunk.state = State::kPresent;
  chunk.stored_bytes = stored_bytes;
  chunk.synced = false;
  total_bytes_ += stored_bytes;
}

void ChunkIndex::Abandon(const std::string& sha256) {
  absl::MutexLock lock(&mu_);
  const auto it = chunks_.find(sha256);
  if (--it->second.uses == 0) {
    chunks_.erase(it);
  } else {
    it->second.state = State::kLost;
  }
}

std::string ChunkIndex::ClaimAll(const std::vector<std::string>& chunks) {
  absl::MutexLock lock(&mu_);
  // Waiting lets go of the lock, so what was seen before a wait may have changed: begin again after each.
  for (std::size_t i = 0; i < chunks.size();) {
    const auto it = chunks_.find(chunks[i]);
    if (it == chunks_.end()) return chunks[i];
    if (InFlux(it->second.state)) {
      Settled(chunks[i]);
      i = 0;
      continue;
    }
    if (it->second.state != State::kPresent) return chunks[i];
    ++i;
  }
  for (const std::string& sha256 : chunks) {
    Chunk& chunk = chunks_[sha256];
    ++chunk.uses;
    chunk.unused_since = absl::InfiniteFuture();
  }
  return "";
}

std::vector<std::string> ChunkIndex::Release(const std::vector<std::string>& chunks, Unused unused, absl::Time now) {
  std::vector<std::string> to_delete;
  absl::MutexLock lock(&mu_);
  for (const std::string& sha256 : chunks) {
    // A chunk being looked at for damage has its uses counted all the same; it is decided here only when settled.
    Chunk* chunk = Settled(sha256);
    if (chunk == nullptr || --chunk->uses > 0) continue;
    if (chunk->state == State::kLost) {
      chunks_.erase(sha256);
    } else if (unused == Unused::kKeep) {
      chunk->unused_since = now;
      unused_.emplace_back(now, sha256);
    } else {
      chunk->state = State::kDeleting;
      to_delete.push_back(sha256);
    }
  }
  return to_delete;
}

std::vector<std::string> ChunkIndex::TakeExpired(absl::Time cutoff) {
  std::vector<std::string> to_delete;
  absl::MutexLock lock(&mu_);
  while (!unused_.empty() && unused_.front().first < cutoff) {
    const auto it = chunks_.find(unused_.front().second);
    if (it != chunks_.end() && it->second.state == State::kPresent && it->second.uses == 0 &&
        it->second.unused_since == unused_.front().first) {
      it->second.state = State::kDeleting;
      to_delete.push_back(it->first);
    }
    unused_.pop_front();
  }
  return to_delete;
}

void ChunkIndex::Deleted(const std::vector<std::string>& chunks) {
  absl::MutexLock lock(&mu_);
  for (const std::string& sha256 : chunks) {
    const auto it = chunks_.find(sha256);
    if (it == chunks_.end()) continue;
    total_bytes_ -= it->second.stored_bytes;
    chunks_.erase(it);
  }
}

bool ChunkIndex::BeginSetAside(const std::string& sha256) {
  absl::MutexLock lock(&mu_);
  Chunk* chunk = Settled(sha256);
  if (chunk == nullptr || chunk->state != State::kPresent) return false;
  chunk->state = State::kChecking;
  return true;
}

void ChunkIndex::EndSetAside(const std::string& sha256, bool lost) {
  absl::MutexLock lock(&mu_);
  const auto it = chunks_.find(sha256);
  if (!lost) {
    it->second.state = State::kPresent;
    return;
  }
  total_bytes_ -= it->second.stored_bytes;
  it->second.stored_bytes = 0;
  it->second.state = State::kLost;
  if (it->second.uses == 0) chunks_.erase(it);
}

bool ChunkIndex::IsPresent(absl::string_view sha256) const {
  absl::MutexLock lock(&mu_);
  const auto it = chunks_.find(sha256);
  return it != chunks_.end() && it->second.state == State::kPresent;
}

std::vector<std::string> ChunkIndex::Unsynced(const std::vector<std::string>& chunks) const {
  std::vector<std::string> unsynced;
  absl::MutexLock lock(&mu_);
  for (const std::string& sha256 : chunks) {
    const auto it = chunks_.find(sha256);
    if (it != chunks_.end() && !it->second.synced) unsynced.push_back(sha256);
  }
  return unsynced;
}

void ChunkIndex::Synced(const std::vector<std::string>& chunks) {
  absl::MutexLock lock(&mu_);
  for (const std::string& sha256 : chunks) {
    const auto it = chunks_.find(sha256);
    if (it != chunks_.end()) it->second.synced = true;
  }
}

std::uint64_t ChunkIndex::SizeOf(const std::vector<std::string>& chunks) const {
  std::uint64_t bytes = 0;
  absl::MutexLock lock(&mu_);
  for (const std::string& sha256 : chunks) {
    const auto it = chunks_.find(sha256);
    if (it != chunks_.end()) bytes += it->second.stored_bytes;
  }
  return bytes;
}

std::uint64_t ChunkIndex::total_bytes() const {
  absl::MutexLock lock(&mu_);
  return total_bytes_;
}

}  // namespace thaw::agent
