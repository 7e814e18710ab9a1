// The parts of DiskSnapshotStore that deal with what went wrong: opening after a crash, and quarantine.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/snapshot/disk_store.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

// In staging.
std::string DamagedName(absl::string_view sha256) { return absl::StrCat("damaged-", sha256); }

}  // namespace

absl::StatusOr<std::unique_ptr<DiskSnapshotStore>> DiskSnapshotStore::Open(Options options) {
  if (options.chunk_bytes == 0 || options.chunk_bytes > kMaxChunkBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a store's chunks can't have ", options.chunk_bytes, " bytes"));
  }
  std::unique_ptr<DiskSnapshotStore> store(new DiskSnapshotStore(std::move(options)));
  RETURN_IF_ERROR(store->OpenRoot());
  RETURN_IF_ERROR(store->Recover());
  return store;
}

absl::Status DiskSnapshotStore::OpenRoot() {
  const std::string& root = options_.root;
  ASSIGN_OR_RETURN(root_, files::MakeDirectory(root));
  lock_ = files::Fd(::openat(root_.get(), "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (lock_.get() < 0) return files::ErrnoError(errno, absl::StrCat("create ", root, "/lock"));
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the snapshot store ", root, " is in use by another process; give each agent a data directory of its own"));
  }
  ASSIGN_OR_RETURN(manifests_, files::MakeDirectory(absl::StrCat(root, "/manifests")));
  ASSIGN_OR_RETURN(chunks_, files::MakeDirectory(absl::StrCat(root, "/chunks")));
  ASSIGN_OR_RETURN(staging_, files::MakeDirectory(absl::StrCat(root, "/staging")));
  ASSIGN_OR_RETURN(quarantine_, files::MakeDirectory(absl::StrCat(root, "/quarantine")));
  return absl::OkStatus();
}

absl::Status DiskSnapshotStore::Recover() {
  ASSIGN_OR_RETURN(const std::vector<std::string> staged, files::List(staging_.get()));
  for (const std::string& name : staged) {
    RETURN_IF_ERROR(files::RemoveTree(absl::StrCat(options_.root, "/staging/", name)));
    ++recovery_.removed_staging;
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> chunks, files::List(chunks_.get()));
  for (const std::string& name : chunks) {
    struct stat info {};
    // A file system that was cut off may keep a name and lose the bytes; no frame is empty.
    if (IsSha256(name) && ::fstatat(chunks_.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(info.st_mode) && info.st_size > 0) {
      index_.Load(name, static_cast<std::uint64_t>(info.st_size));
      continue;
    }
    RETURN_IF_ERROR(files::RemoveTree(absl::StrCat(options_.root, "/chunks/", name)));
    ++recovery_.removed_chunks;
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> manifests, files::List(manifests_.get()));
  for (const std::string& name : manifests) {
    if (IsSnapshotId(name)) RETURN_IF_ERROR(RecoverManifest(name));
  }
  const std::vector<std::string> unused = index_.TakeExpired(absl::InfiniteFuture());
  DeleteChunks(unused);
  recovery_.removed_chunks += unused.size();
  TrimQuarantine();
  ReportBytes();
  return absl::OkStatus();
}

absl::Status DiskSnapshotStore::RecoverManifest(const std::string& snapshot_id) {
  const absl::StatusOr<std::string> data = files::ReadAt(manifests_.get(), snapshot_id, kMaxManifestBytes);
  absl::StatusOr<v1::Manifest> manifest =
      data.ok() ? ParseManifest(*data, snapshot_id) : absl::StatusOr<v1::Manifest>(data.status());
  if (manifest.ok()) {
    if (absl::Status valid = ValidateManifest(*manifest); !valid.ok()) manifest = valid;
  }
  auto snapshot = std::make_shared<Snapshot>();
  std::string why;
  if (manifest.ok()) {
    snapshot->info = manifest->info();
    snapshot->chunks = ChunksOf(*manifest);
    if (const std::string missing = index_.ClaimAll(snapshot->chunks); !missing.empty()) {
      why = absl::StrCat("chunk ", missing, " is missing");
    }
  } else {
    why = std::string(manifest.status().message());
  }
  if (why.empty()) {
    absl::MutexLock lock(&mu_);
    snapshots_[snapshot_id] = std::move(snapshot);
    ++recovery_.snapshots;
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(FillQuarantine(snapshot_id, snapshot->chunks, why));
  recovery_.quarantined.emplace_back(snapshot_id, why);
  if (options_.on_quarantined) options_.on_quarantined(snapshot_id, why);
  return absl::OkStatus();
}

absl::Status DiskSnapshotStore::Quarantine(const std::string& snapshot_id, absl::string_view reason) {
  std::vector<std::string> damaged;
  {
    const KeyLocks::Held held(&snapshot_locks_, snapshot_id);
    const std::shared_ptr<const Snapshot> snapshot = Take(snapshot_id);
    if (snapshot == nullptr) {
      ASSIGN_OR_RETURN(const std::vector<std::string> names, files::List(quarantine_.get()));
      for (const std::string& name : names) {
        if (absl::EndsWith(name, absl::StrCat("-", snapshot_id))) return absl::OkStatus();
      }
      return WithReason(absl::NotFoundError(absl::StrCat("no snapshot ", snapshot_id, " on this node to quarantine")),
                        reason::kSnapshotNotFound);
    }
    for (const std::string& sha256 : snapshot->chunks) {
      if (SetAsideIfDamaged(sha256)) damaged.push_back(sha256);
    }
    const absl::Status moved = FillQuarantine(snapshot_id, snapshot->chunks, reason);
    ReleaseChunks(snapshot->chunks, ChunkIndex::Unused::kKeep);
    TrimQuarantine();
    ReportBytes();
    RETURN_IF_ERROR(moved);
  }
  if (options_.on_quarantined) options_.on_quarantined(snapshot_id, std::string(reason));
  for (const std::string& sha256 : damaged) {
    for (const std::string& user : UsersOf(sha256)) {
      // NOT_FOUND: somebody else was quicker.
      Quarantine(user, absl::StrCat("it shares chunk ", sha256, ", which is damaged, with snapshot ", snapshot_id))
          .IgnoreError();
    }
  }
  return absl::OkStatus();
}

bool DiskSnapshotStore::SetAsideIfDamaged(const std::string& sha256) {
  if (!index_.BeginSetAside(sha256)) return false;
  absl::Status loaded;
  {
    ChunkCodec::Lease lease(&codec_);
    absl::string_view raw;
    loaded = LoadChunk(sha256, lease, &raw).status();
  }
  const bool lost = absl::IsDataLoss(loaded);
  if (lost && !files::RenameAt(chunks_.get(), sha256, staging_.get(), DamagedName(sha256)).ok()) {
    files::UnlinkAt(chunks_.get(), sha256).IgnoreError();
  }
  index_.EndSetAside(sha256, lost);
  return lost;
}

void DiskSnapshotStore::ChunkIsDamaged(const std::string& sha256) {
  // Another reader may have met the same damage, and a sound copy may be in place already.
  if (!SetAsideIfDamaged(sha256)) return;
  const std::string why = absl::StrCat("chunk ", sha256, " is damaged");
  const std::vector<std::string> users = UsersOf(sha256);
  for (const std::string& user : users) Quarantine(user, why).IgnoreError();
  if (users.empty()) {
    FillQuarantine(absl::StrCat("chunk-", sha256.substr(0, 16)), {sha256}, why).IgnoreError();
    TrimQuarantine();
    ReportBytes();
  }
}

std::vector<std::string> DiskSnapshotStore::UsersOf(const std::string& sha256) const {
  std::vector<std::string> users;
  absl::MutexLock lock(&mu_);
  for (const auto& [id, snapshot] : snapshots_) {
    if (std::binary_search(snapshot->chunks.begin(), snapshot->chunks.end(), sha256)) users.push_back(id);
  }
  return users;
}

absl::Status DiskSnapshotStore::FillQuarantine(const std::string& name, const std::vector<std::string>& chunks,
                                               absl::string_view reason) {
  const std::string dir_name =
      absl::StrCat(absl::FormatTime("%Y%m%dT%H%M%E3SZ", Now(), absl::UTCTimeZone()), "-", name);
  const std::string path = absl::StrCat(options_.root, "/quarantine/", dir_name);
  absl::StatusOr<files::Fd> dir = files::MakeDirectory(path);
  absl::Status status = dir.status();
  if (status.ok()) status = Fault(FaultPoint::kQuarantineManifest);
  if (status.ok()) status = files::RenameAt(manifests_.get(), name, dir->get(), "manifest");
  // A full disk must not keep a damaged snapshot in service.
  if (!status.ok()) status = files::UnlinkAt(manifests_.get(), name);
  if (status.ok()) status = files::Sync(manifests_.get(), "the directory of manifests");
  if (!status.ok() || !dir.ok()) return status;
  if (!Fault(FaultPoint::kQuarantineChunks).ok()) return absl::OkStatus();

  // From here on all is for a person's eyes: what fails is left out.
  files::WriteNewAt(dir->get(), "reason", absl::StrCat(reason, "\n")).IgnoreError();
  const absl::StatusOr<files::Fd> kept = files::MakeDirectory(absl::StrCat(path, "/chunks"));
  if (!kept.ok()) return absl::OkStatus();
  for (const std::string& sha256 : chunks) {
    if (::renameat(staging_.get(), DamagedName(sha256).c_str(), kept->get(), sha256.c_str()) == 0) continue;
    // The result is of no interest: a chunk that is missing can't be linked.
    [[maybe_unused]] const int linked = ::linkat(chunks_.get(), sha256.c_str(), kept->get(), sha256.c_str(), 0);
  }
  return absl::OkStatus();
}

void DiskSnapshotStore::TrimQuarantine() {
  const absl::StatusOr<std::vector<std::string>> names = files::List(quarantine_.get());
  if (!names.ok()) return;
  // Their names begin with the time.
  for (std::size_t i = 0; i + options_.max_quarantined < names->size(); ++i) {
    files::RemoveTree(absl::StrCat(options_.root, "/quarantine/", (*names)[i])).IgnoreError();
  }
}

}  // namespace thaw::agent
