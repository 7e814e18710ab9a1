#include "agent/snapshot/disk_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "agent/snapshot/tree.h"
#include "common/crypto/sha256.h"
#include "common/ids/ids.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

// More than zstd makes of the largest chunk.
constexpr std::uint64_t kMaxFrameBytes = kMaxChunkBytes + (64 << 10);

absl::Status NotHere(absl::string_view snapshot_id) {
  return WithReason(absl::NotFoundError(absl::StrCat("no whole snapshot ", snapshot_id, " on this node")),
                    reason::kSnapshotNotFound);
}

absl::Status Damaged(std::string message) {
  return WithReason(absl::DataLossError(message), reason::kSnapshotDamaged);
}

// The same error, with what was being done before its message.
absl::Status While(absl::string_view act, const absl::Status& status) {
  absl::Status result(status.code(), absl::StrCat(act, ": ", status.message()));
  status.ForEachPayload(
      [&result](absl::string_view url, const absl::Cord& payload) { result.SetPayload(url, payload); });
  return result;
}

}  // namespace

DiskSnapshotStore::DiskSnapshotStore(Options options)
    : options_(std::move(options)),
      clock_(options_.clock != nullptr ? options_.clock : &real_clock_),
      zero_sha256_(Sha256Hex(std::string(options_.chunk_bytes, '\0'))),
      work_(options_.threads) {}

DiskSnapshotStore::~DiskSnapshotStore() = default;

absl::Status DiskSnapshotStore::Fault(FaultPoint point) const {
  return options_.fault ? options_.fault(point) : absl::OkStatus();
}

absl::Time DiskSnapshotStore::Now() const { return clock_->Now(); }

void DiskSnapshotStore::ReportBytes() const {
  if (options_.on_stored_bytes) options_.on_stored_bytes(index_.total_bytes());
}

absl::Status DiskSnapshotStore::WriteChunk(const std::string& sha256, absl::string_view frame) {
  const std::string staged = absl::StrCat(sha256, "-", NewHexId(4));
  absl::Status status = Fault(FaultPoint::kChunkWrite);
  if (status.ok()) status = files::WriteNewAt(staging_.get(), staged, frame);
  if (status.ok()) status = Fault(FaultPoint::kChunkRename);
  if (status.ok()) status = files::RenameAt(staging_.get(), staged, chunks_.get(), sha256);
  if (!status.ok()) files::UnlinkAt(staging_.get(), staged).IgnoreError();
  return status;
}

absl::StatusOr<std::string> DiskSnapshotStore::LoadChunk(const std::string& sha256, ChunkCodec::Lease& lease,
                                                         absl::string_view* raw) const {
  absl::StatusOr<std::string> frame = files::ReadAt(chunks_.get(), sha256, kMaxFrameBytes);
  if (absl::IsNotFound(frame.status()) || absl::IsOutOfRange(frame.status())) {
    return absl::DataLossError(absl::StrCat("chunk ", sha256, " is damaged: ", frame.status().message()));
  }
  if (!frame.ok()) return frame.status();
  RETURN_IF_ERROR(lease.Decompress(sha256, *frame, raw));
  return frame;
}

void DiskSnapshotStore::ReleaseChunks(const std::vector<std::string>& chunks, ChunkIndex::Unused unused) {
  DeleteChunks(index_.Release(chunks, unused, Now()));
}

void DiskSnapshotStore::DeleteChunks(const std::vector<std::string>& chunks) {
  // A file that can't be deleted now is one that no snapshot uses: the next Open deletes it.
  for (const std::string& sha256 : chunks) files::UnlinkAt(chunks_.get(), sha256).IgnoreError();
  index_.Deleted(chunks);
}

void DiskSnapshotStore::DropExpiredChunks() { DeleteChunks(index_.TakeExpired(Now() - options_.keep_unused)); }

absl::StatusOr<std::shared_ptr<const DiskSnapshotStore::Snapshot>> DiskSnapshotStore::Find(
    const std::string& snapshot_id) const {
  absl::MutexLock lock(&mu_);
  const auto it = snapshots_.find(snapshot_id);
  if (it == snapshots_.end()) return NotHere(snapshot_id);
  return it->second;
}

std::shared_ptr<const DiskSnapshotStore::Snapshot> DiskSnapshotStore::Take(const std::string& snapshot_id) {
  absl::MutexLock lock(&mu_);
  const auto it = snapshots_.find(snapshot_id);
  if (it == snapshots_.end()) return nullptr;
  std::shared_ptr<const Snapshot> snapshot = std::move(it->second);
  snapshots_.erase(it);
  if (const auto uses = uses_.find(snapshot_id); uses != uses_.end() && uses->second.now == 0) uses_.erase(uses);
  return snapshot;
}

absl::Status DiskSnapshotStore::Commit(const v1::Manifest& manifest, std::vector<std::string> chunks, Origin origin) {
  const std::string& id = manifest.info().id();
  const std::string data = SerializeManifest(manifest);
  // Nothing may get into service that could not be read back.
  RETURN_IF_ERROR(ParseManifest(data, id).status());

  // A copy of what another node holds need not outlive a power cut: each byte is checked before each use, so what a cut
  // leaves damaged is found, and fetched again. A call waits for the copy, and a hundred syncs took it half a second.
  const bool durable = origin == Origin::kMadeHere;
  RETURN_IF_ERROR(Fault(FaultPoint::kChunksSync));
  if (durable) {
    const std::vector<std::string> unsynced = index_.Unsynced(chunks);
    RETURN_IF_ERROR(work_.ForEach(unsynced.size(), [&](std::size_t i) {
      return files::SyncAt(chunks_.get(), unsynced[i]);
    }));
    if (!unsynced.empty()) RETURN_IF_ERROR(files::Sync(chunks_.get(), "the directory of chunks"));
    index_.Synced(unsynced);
  }

  const std::string staged = absl::StrCat("manifest-", id, "-", NewHexId(4));
  absl::Status status = Fault(FaultPoint::kManifestWrite);
  if (status.ok()) status = files::WriteNewAt(staging_.get(), staged, data);
  if (status.ok() && durable) status = files::SyncAt(staging_.get(), staged);
  if (status.ok()) status = Fault(FaultPoint::kManifestRename);
  // The commit point. All that the manifest names has its place; whoever dies before this leaves chunks that nobody uses,
  // which Recover deletes, and whoever dies after it leaves a whole snapshot.
  if (status.ok()) status = files::RenameAt(staging_.get(), staged, manifests_.get(), id);
  if (!status.ok()) {
    files::UnlinkAt(staging_.get(), staged).IgnoreError();
    return status;
  }
  status = Fault(FaultPoint::kManifestRenamed);
  if (status.ok() && durable) status = files::Sync(manifests_.get(), "the directory of manifests");
  if (!status.ok()) {
    // The caller is told that nothing was published, so nothing may be there after a restart either.
    files::UnlinkAt(manifests_.get(), id).IgnoreError();
    return status;
  }
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->info = manifest.info();
  snapshot->info.clear_holders();
  snapshot->info.clear_experience();
  snapshot->chunks = std::move(chunks);
  absl::MutexLock lock(&mu_);
  snapshots_[id] = std::move(snapshot);
  uses_[id].last = Now();
  return absl::OkStatus();
}

absl::StatusOr<v1::Manifest> DiskSnapshotStore::Publish(const std::string& source_dir, v1::Manifest draft) {
  absl::StatusOr<v1::Manifest> published = absl::UnknownError("not published");
  absl::Notification done;
  RETURN_IF_ERROR(publisher_.Add([&] {
    published = PublishHere(source_dir, std::move(draft));
    done.Notify();
  }));
  done.WaitForNotification();
  return published;
}

absl::StatusOr<v1::Manifest> DiskSnapshotStore::PublishHere(const std::string& source_dir, v1::Manifest draft) {
  DropExpiredChunks();
  ASSIGN_OR_RETURN(const files::Fd source, files::OpenDirectory(source_dir));
  draft.clear_entries();
  draft.set_format(kManifestFormat);
  draft.mutable_info()->clear_id();
  draft.mutable_info()->clear_holders();
  draft.mutable_info()->clear_experience();
  RETURN_IF_ERROR(ScanTree(source.get(), options_.chunk_bytes, &draft));

  absl::Mutex mu;
  absl::flat_hash_set<std::string> claimed;  // Guarded by mu.
  const auto keep = [&](absl::string_view name, absl::string_view raw) -> absl::Status {
    const std::string sha256(name);
    {
      absl::MutexLock lock(&mu);
      // One use per distinct chunk. Another thread of ours may be writing it: ReadTree waits for that one, too.
      if (!claimed.insert(sha256).second) return absl::OkStatus();
    }
    if (index_.Claim(sha256) == ChunkIndex::Claimed::kPresent) return absl::OkStatus();
    ChunkCodec::Lease lease(&codec_);
    const absl::string_view frame = lease.Compress(raw);
    const absl::Status written = WriteChunk(sha256, frame);
    if (written.ok()) {
      index_.Written(sha256, frame.size());
    } else {
      index_.Abandon(sha256);
      absl::MutexLock lock(&mu);
      claimed.erase(sha256);
    }
    return written;
  };
  absl::Status status = ReadTree(source.get(), alone_, codec_, keep, &draft);

  std::vector<std::string> chunks(claimed.begin(), claimed.end());
  std::sort(chunks.begin(), chunks.end());
  if (status.ok()) {
    std::uint64_t raw_bytes = 0;
    for (const v1::Entry& entry : draft.entries()) raw_bytes += entry.size_bytes();
    draft.mutable_info()->set_raw_bytes(raw_bytes);
    draft.mutable_info()->set_stored_bytes(index_.SizeOf(chunks));
    draft.mutable_info()->set_id(ManifestId(draft));
    status = ValidateManifest(draft);
  }
  if (status.ok() && options_.make_room) status = options_.make_room(index_.total_bytes());
  if (status.ok()) {
    const KeyLocks::Held held(&snapshot_locks_, draft.info().id());
    if (Find(draft.info().id()).ok()) {
      ReleaseChunks(chunks, ChunkIndex::Unused::kDelete);
      return draft;
    }
    status = Commit(draft, chunks, Origin::kMadeHere);
  }
  if (!status.ok()) ReleaseChunks(chunks, ChunkIndex::Unused::kDelete);
  ReportBytes();
  if (!status.ok()) return While(absl::StrCat("publishing the snapshot in ", source_dir), status);
  return draft;
}

absl::StatusOr<v1::Manifest> DiskSnapshotStore::GetManifest(const std::string& snapshot_id) {
  RETURN_IF_ERROR(Find(snapshot_id).status());
  Touch(snapshot_id);
  const auto read = [&]() -> absl::StatusOr<v1::Manifest> {
    ASSIGN_OR_RETURN(const std::string data, files::ReadAt(manifests_.get(), snapshot_id, kMaxManifestBytes));
    return ParseManifest(data, snapshot_id);
  };
  absl::StatusOr<v1::Manifest> manifest = read();
  if (manifest.ok()) return manifest;
  {
    // It may be on its way out just now; with the lock, that is over.
    const KeyLocks::Held held(&snapshot_locks_, snapshot_id);
    RETURN_IF_ERROR(Find(snapshot_id).status());
    manifest = read();
    if (manifest.ok()) return manifest;
  }
  const std::string message(manifest.status().message());
  Quarantine(snapshot_id, message).IgnoreError();
  return Damaged(absl::StrCat("the manifest of snapshot ", snapshot_id, " can't be used and was quarantined: ", message));
}

std::vector<thaw::common::v1::SnapshotInfo> DiskSnapshotStore::List() {
  std::vector<thaw::common::v1::SnapshotInfo> infos;
  {
    absl::MutexLock lock(&mu_);
    infos.reserve(snapshots_.size());
    for (const auto& [id, snapshot] : snapshots_) infos.push_back(snapshot->info);
  }
  std::sort(infos.begin(), infos.end(), [](const auto& a, const auto& b) { return a.id() < b.id(); });
  return infos;
}

bool DiskSnapshotStore::HasChunk(absl::string_view sha256) { return index_.IsPresent(sha256); }

absl::StatusOr<std::string> DiskSnapshotStore::ReadChunk(absl::string_view sha256) {
  const std::vector<std::string> chunk = {std::string(sha256)};
  if (!IsSha256(sha256) || !index_.ClaimAll(chunk).empty()) {
    return absl::NotFoundError(absl::StrCat("no chunk ", sha256, " on this node"));
  }
  absl::StatusOr<std::string> frame;
  {
    ChunkCodec::Lease lease(&codec_);
    absl::string_view raw;
    frame = LoadChunk(chunk[0], lease, &raw);
  }
  // Should its last snapshot have been removed meanwhile, it goes when unused chunks do.
  ReleaseChunks(chunk, ChunkIndex::Unused::kKeep);
  if (absl::IsDataLoss(frame.status())) {
    ChunkIsDamaged(chunk[0]);
    return Damaged(std::string(frame.status().message()));
  }
  return frame;
}

absl::Status DiskSnapshotStore::PutChunk(absl::string_view sha256, absl::string_view data) {
  DropExpiredChunks();
  if (!IsSha256(sha256)) return absl::InvalidArgumentError(absl::StrCat("\"", sha256, "\" is no chunk's name"));
  if (data.size() > kMaxFrameBytes) {
    return absl::DataLossError(absl::StrCat("chunk ", sha256, " is damaged: it has ", data.size(), " bytes"));
  }
  {
    ChunkCodec::Lease lease(&codec_);
    absl::string_view raw;
    RETURN_IF_ERROR(lease.Decompress(sha256, data, &raw));
  }
  const std::vector<std::string> chunk = {std::string(sha256)};
  if (index_.Claim(chunk[0]) == ChunkIndex::Claimed::kMustWrite) {
    if (const absl::Status written = WriteChunk(chunk[0], data); !written.ok()) {
      index_.Abandon(chunk[0]);
      return While("keeping a chunk", written);
    }
    index_.Written(chunk[0], data.size());
    ReportBytes();
  }
  ReleaseChunks(chunk, ChunkIndex::Unused::kKeep);
  return absl::OkStatus();
}

absl::Status DiskSnapshotStore::Adopt(const v1::Manifest& manifest) {
  DropExpiredChunks();
  const std::string& id = manifest.info().id();
  RETURN_IF_ERROR(ValidateManifest(manifest));
  if (!IsSnapshotId(id) || ManifestId(manifest) != id) {
    return Damaged(absl::StrCat("the manifest that calls itself snapshot ", id, " is not that one: its content makes it ",
                                ManifestId(manifest)));
  }
  std::vector<std::string> chunks = ChunksOf(manifest);
  // Before the snapshot's lock: others are evicted under theirs.
  if (options_.make_room && !Find(id).ok()) {
    if (const absl::Status room = options_.make_room(index_.total_bytes()); !room.ok()) {
      if (index_.ClaimAll(chunks).empty()) ReleaseChunks(chunks, ChunkIndex::Unused::kDelete);
      ReportBytes();
      return While(absl::StrCat("keeping snapshot ", id), room);
    }
  }
  const KeyLocks::Held held(&snapshot_locks_, id);
  if (Find(id).ok()) return absl::OkStatus();
  if (const std::string missing = index_.ClaimAll(chunks); !missing.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("snapshot ", id, " can't be published: chunk ", missing, " is not here; put it first"));
  }
  const absl::Status status = Commit(manifest, chunks, Origin::kCopied);
  if (!status.ok()) {
    ReleaseChunks(chunks, ChunkIndex::Unused::kKeep);
    return While(absl::StrCat("publishing snapshot ", id), status);
  }
  return absl::OkStatus();
}

absl::Status DiskSnapshotStore::Materialize(const std::string& snapshot_id, const std::string& target_dir) {
  const KeyLocks::Held held(&target_locks_, target_dir);
  if (files::OpenDirectory(target_dir).ok()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const v1::Manifest manifest, GetManifest(snapshot_id));
  const std::vector<std::string> chunks = ChunksOf(manifest);
  // A use of its own, so that a Remove meanwhile takes no file away from under this.
  if (const std::string missing = index_.ClaimAll(chunks); !missing.empty()) {
    RETURN_IF_ERROR(Find(snapshot_id).status());
    return Damaged(absl::StrCat("snapshot ", snapshot_id, " is not whole: chunk ", missing, " was lost"));
  }
  const absl::Status status = LayOut(manifest, target_dir);
  ReleaseChunks(chunks, ChunkIndex::Unused::kDelete);
  if (!status.ok()) return While(absl::StrCat("laying out snapshot ", snapshot_id, " at ", target_dir), status);
  return absl::OkStatus();
}

absl::Status DiskSnapshotStore::LayOut(const v1::Manifest& manifest, const std::string& target_dir) {
  const std::size_t slash = target_dir.rfind('/');
  if (target_dir.empty() || target_dir[0] != '/' || slash + 1 == target_dir.size()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", target_dir, "\" is no absolute path of a directory to make"));
  }
  const std::string parent_path = slash == 0 ? "/" : target_dir.substr(0, slash);
  const std::string name = target_dir.substr(slash + 1);
  ASSIGN_OR_RETURN(const files::Fd parent, files::OpenDirectory(parent_path));
  // Left by an agent that died at it; nobody else lays out this target now.
  ASSIGN_OR_RETURN(const std::vector<std::string> siblings, files::List(parent.get()));
  for (const std::string& sibling : siblings) {
    if (absl::StartsWith(sibling, absl::StrCat(name, ".tmp-"))) {
      RETURN_IF_ERROR(files::RemoveTree(absl::StrCat(parent_path, "/", sibling)));
    }
  }
  const std::string building = absl::StrCat(target_dir, ".tmp-", NewHexId(4));
  absl::Mutex mu;
  std::string damaged_chunk;  // Guarded by mu.
  const auto write = [&](int fd, const v1::Entry& entry, const Span& span) -> absl::Status {
    RETURN_IF_ERROR(Fault(FaultPoint::kMaterializeFile));
    ChunkCodec::Lease lease(&codec_);
    std::uint64_t offset = span.offset;
    for (int i = 0; i < span.chunks; ++i) {
      const v1::ChunkRef& chunk = entry.chunks(span.first_chunk + i);
      const std::uint64_t at = offset;
      offset += chunk.size_bytes();
      // The new file reads as zeros there.
      if (chunk.size_bytes() == options_.chunk_bytes && chunk.sha256() == zero_sha256_) continue;
      absl::string_view raw;
      const absl::Status loaded = LoadChunk(chunk.sha256(), lease, &raw).status();
      if (absl::IsDataLoss(loaded)) {
        absl::MutexLock lock(&mu);
        damaged_chunk = chunk.sha256();
      }
      RETURN_IF_ERROR(loaded);
      if (raw.size() != chunk.size_bytes()) {
        return absl::DataLossError(absl::StrCat("\"", entry.path(), "\" wants ", chunk.size_bytes(), " bytes of chunk ",
                                                chunk.sha256(), ", which has ", raw.size()));
      }
      RETURN_IF_ERROR(files::PwriteAll(fd, raw, at));
    }
    return absl::OkStatus();
  };
  absl::StatusOr<files::Fd> root = files::MakeDirectory(building);
  absl::Status status = root.status();
  if (status.ok()) status = LayOutTree(root->get(), manifest, work_, write);
  if (status.ok()) status = Fault(FaultPoint::kMaterializeRename);
  if (status.ok() && ::renameat2(AT_FDCWD, building.c_str(), AT_FDCWD, target_dir.c_str(), RENAME_NOREPLACE) != 0) {
    status = files::ErrnoError(errno, absl::StrCat("rename ", building));
  }
  if (status.ok()) return status;
  files::RemoveTree(building).IgnoreError();
  if (absl::IsDataLoss(status)) {
    if (!damaged_chunk.empty()) {
      ChunkIsDamaged(damaged_chunk);
    } else {
      Quarantine(manifest.info().id(), status.message()).IgnoreError();
    }
    return Damaged(std::string(status.message()));
  }
  return status;
}

absl::Status DiskSnapshotStore::Verify(const std::string& snapshot_id, const std::string& target_dir) {
  ASSIGN_OR_RETURN(const v1::Manifest manifest, GetManifest(snapshot_id));
  ASSIGN_OR_RETURN(const files::Fd root, files::OpenDirectory(target_dir));
  const absl::Status status = CheckTree(root.get(), manifest, work_, codec_);
  if (absl::IsDataLoss(status)) {
    return Damaged(absl::StrCat("snapshot ", snapshot_id, " as laid out at ", target_dir, " is damaged: ", status.message(),
                                "; remove that directory and lay it out again"));
  }
  if (!status.ok()) return While(absl::StrCat("verifying snapshot ", snapshot_id, " at ", target_dir), status);
  return status;
}

absl::Status DiskSnapshotStore::Remove(const std::string& snapshot_id) {
  const KeyLocks::Held held(&snapshot_locks_, snapshot_id);
  if (!Find(snapshot_id).ok()) return absl::OkStatus();
  return Delete(snapshot_id, nullptr);
}

absl::Status DiskSnapshotStore::Delete(const std::string& snapshot_id, std::shared_ptr<const Snapshot> snapshot) {
  absl::Status status = Fault(FaultPoint::kRemoveManifest);
  // The manifest first: without it, chunks are only litter, but a manifest without its chunks would be a broken promise.
  if (status.ok()) status = files::UnlinkAt(manifests_.get(), snapshot_id);
  if (status.ok()) status = files::Sync(manifests_.get(), "the directory of manifests");
  if (!status.ok()) return While(absl::StrCat("removing snapshot ", snapshot_id), status);
  if (snapshot == nullptr) snapshot = Take(snapshot_id);
  status = Fault(FaultPoint::kRemoveChunks);
  ReleaseChunks(snapshot->chunks, status.ok() ? ChunkIndex::Unused::kDelete : ChunkIndex::Unused::kKeep);
  ReportBytes();
  return absl::OkStatus();
}

void DiskSnapshotStore::Touch(const std::string& snapshot_id) {
  absl::MutexLock lock(&mu_);
  if (snapshots_.contains(snapshot_id)) uses_[snapshot_id].last = Now();
}

std::shared_ptr<void> DiskSnapshotStore::Use(const std::string& snapshot_id) {
  {
    absl::MutexLock lock(&mu_);
    Uses& uses = uses_[snapshot_id];
    ++uses.now;
    uses.last = Now();
  }
  return std::shared_ptr<void>(this, [snapshot_id](void* store) {
    auto* self = static_cast<DiskSnapshotStore*>(store);
    absl::MutexLock lock(&self->mu_);
    const auto it = self->uses_.find(snapshot_id);
    it->second.last = self->Now();
    if (--it->second.now == 0 && !self->snapshots_.contains(snapshot_id)) self->uses_.erase(it);
  });
}

absl::Status DiskSnapshotStore::MakeRoom(std::uint64_t bytes) {
  DropExpiredChunks();
  return options_.make_room ? options_.make_room(index_.total_bytes() + bytes) : absl::OkStatus();
}

std::vector<DiskSnapshotStore::Holding> DiskSnapshotStore::Holdings() const {
  std::vector<Holding> holdings;
  absl::MutexLock lock(&mu_);
  for (const auto& [id, snapshot] : snapshots_) {
    const auto it = uses_.find(id);
    const Uses uses = it == uses_.end() ? Uses() : it->second;
    const auto& made = snapshot->info.created_at();
    const absl::Time last = uses.last != absl::InfinitePast()
                                ? uses.last
                                : absl::FromUnixSeconds(made.seconds()) + absl::Nanoseconds(made.nanos());
    holdings.push_back({snapshot->info, last, uses.now > 0});
  }
  return holdings;
}

absl::Status DiskSnapshotStore::Evict(const std::string& snapshot_id) {
  const KeyLocks::Held held(&snapshot_locks_, snapshot_id);
  std::shared_ptr<const Snapshot> snapshot;
  {
    // Out of service in the same moment as nobody uses it: who takes a Use() later finds no manifest.
    absl::MutexLock lock(&mu_);
    const auto it = snapshots_.find(snapshot_id);
    if (it == snapshots_.end()) return absl::OkStatus();
    if (uses_[snapshot_id].now > 0) {
      return absl::FailedPreconditionError(absl::StrCat("snapshot ", snapshot_id, " is in use and was not evicted"));
    }
    snapshot = std::move(it->second);
    snapshots_.erase(it);
    uses_.erase(snapshot_id);
  }
  const absl::Status deleted = Delete(snapshot_id, snapshot);
  if (deleted.ok()) return deleted;
  absl::MutexLock lock(&mu_);
  snapshots_[snapshot_id] = std::move(snapshot);
  return deleted;
}

}  // namespace thaw::agent
