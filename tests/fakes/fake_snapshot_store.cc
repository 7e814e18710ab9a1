#include "tests/fakes/fake_snapshot_store.h"

#include <fcntl.h>

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "agent/snapshot/files.h"
#include "agent/snapshot/manifest.h"
#include "agent/snapshot/tree.h"
#include "common/crypto/sha256.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::testing {
namespace {

namespace files = agent::files;
namespace v1 = agent::v1;

absl::Status NotHere(absl::string_view snapshot_id) {
  return WithReason(absl::NotFoundError(absl::StrCat("no whole snapshot ", snapshot_id, " on this node")),
                    reason::kSnapshotNotFound);
}

absl::Status Damaged(std::string message) {
  return WithReason(absl::DataLossError(message), reason::kSnapshotDamaged);
}

void FlipMiddleByte(std::string* data) {
  if (!data->empty()) (*data)[data->size() / 2] ^= 1;
}

}  // namespace

FakeSnapshotStore::FakeSnapshotStore(Trees trees) : trees_(trees), work_(1) {}

void FakeSnapshotStore::SetSource(const std::string& source_dir, std::map<std::string, std::string> files) {
  absl::MutexLock lock(&mu_);
  sources_[source_dir] = std::move(files);
}

void FakeSnapshotStore::BeforeNext(Op op, std::function<void()> hook) {
  absl::MutexLock lock(&mu_);
  hooks_[op] = std::move(hook);
}

void FakeSnapshotStore::RunHook(Op op) {
  std::function<void()> hook;
  {
    absl::MutexLock lock(&mu_);
    std::swap(hook, hooks_[op]);
  }
  if (hook) hook();
}

void FakeSnapshotStore::FailNext(Op op, absl::Status status, int times) {
  absl::MutexLock lock(&mu_);
  for (int i = 0; i < times; ++i) failures_[op].push_back(status);
}

void FakeSnapshotStore::DamageChunk(const std::string& sha256) {
  absl::MutexLock lock(&mu_);
  FlipMiddleByte(&chunks_.at(sha256));
}

void FakeSnapshotStore::DamageManifest(const std::string& snapshot_id) {
  absl::MutexLock lock(&mu_);
  snapshots_.at(snapshot_id).damaged = true;
}

void FakeSnapshotStore::DamageLaidOut(const std::string& target_dir) {
  absl::MutexLock lock(&mu_);
  laid_out_.at(target_dir).second = true;
}

void FakeSnapshotStore::OnMaterialized(std::function<void()> hook) {
  absl::MutexLock lock(&mu_);
  on_materialized_ = std::move(hook);
}

void FakeSnapshotStore::ForgetLaidOut(const std::string& target_dir) {
  absl::MutexLock lock(&mu_);
  laid_out_.erase(target_dir);
}

int FakeSnapshotStore::Calls(Op op) const {
  absl::MutexLock lock(&mu_);
  const auto it = calls_.find(op);
  return it == calls_.end() ? 0 : it->second;
}

std::map<std::string, std::string> FakeSnapshotStore::laid_out() const {
  absl::MutexLock lock(&mu_);
  std::map<std::string, std::string> result;
  for (const auto& [target, what] : laid_out_) result[target] = what.first;
  return result;
}

std::vector<std::pair<std::string, std::string>> FakeSnapshotStore::quarantined() const {
  absl::MutexLock lock(&mu_);
  return quarantined_;
}

absl::Status FakeSnapshotStore::Begin(Op op) {
  ++calls_[op];
  auto& failures = failures_[op];
  if (failures.empty()) return absl::OkStatus();
  absl::Status status = failures.front();
  failures.erase(failures.begin());
  return status;
}

absl::StatusOr<v1::Manifest> FakeSnapshotStore::Get(const std::string& snapshot_id) {
  const auto it = snapshots_.find(snapshot_id);
  if (it == snapshots_.end()) return NotHere(snapshot_id);
  if (!it->second.damaged) return it->second.manifest;
  quarantined_.emplace_back(snapshot_id, "the manifest is damaged");
  Forget(snapshot_id);
  return Damaged(absl::StrCat("the manifest of snapshot ", snapshot_id, " is damaged"));
}

absl::Status FakeSnapshotStore::CheckChunk(const std::string& sha256) {
  const auto it = chunks_.find(sha256);
  if (it == chunks_.end()) return absl::DataLossError(absl::StrCat("chunk ", sha256, " was lost"));
  agent::ChunkCodec::Lease lease(&codec_);
  absl::string_view raw;
  return lease.Decompress(sha256, it->second, &raw);
}

void FakeSnapshotStore::Forget(const std::string& snapshot_id) { snapshots_.erase(snapshot_id); }

void FakeSnapshotStore::LoseChunk(const std::string& sha256) {
  chunks_.erase(sha256);
  std::vector<std::string> users;
  for (const auto& [id, snapshot] : snapshots_) {
    const std::vector<std::string> chunks = agent::ChunksOf(snapshot.manifest);
    if (std::binary_search(chunks.begin(), chunks.end(), sha256)) users.push_back(id);
  }
  for (const std::string& user : users) {
    quarantined_.emplace_back(user, absl::StrCat("chunk ", sha256, " is damaged"));
    Forget(user);
  }
}

absl::StatusOr<v1::Manifest> FakeSnapshotStore::Publish(const std::string& source_dir, v1::Manifest draft) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Begin(Op::kPublish));
  draft.clear_entries();
  draft.set_format(agent::kManifestFormat);
  draft.mutable_info()->clear_id();
  draft.mutable_info()->clear_holders();
  std::map<std::string, std::string> frames;
  const auto keep = [&](absl::string_view sha256, absl::string_view raw) {
    agent::ChunkCodec::Lease lease(&codec_);
    frames[std::string(sha256)] = std::string(lease.Compress(raw));
    return absl::OkStatus();
  };
  if (trees_ == Trees::kOnDisk) {
    ASSIGN_OR_RETURN(const files::Fd root, files::OpenDirectory(source_dir));
    RETURN_IF_ERROR(agent::ScanTree(root.get(), agent::kMaxChunkBytes, &draft));
    // With one thread, all of this runs on ours, under the lock.
    RETURN_IF_ERROR(agent::ReadTree(root.get(), work_, codec_, keep, &draft));
  } else {
    const auto it = sources_.find(source_dir);
    const std::map<std::string, std::string> content =
        it != sources_.end() ? it->second : std::map<std::string, std::string>{{"images", ""}, {"images/pages-1.img", source_dir}};
    for (const auto& [path, data] : content) {
      v1::Entry* entry = draft.add_entries();
      entry->set_path(path);
      const bool directory = content.lower_bound(path + "/") != content.end() &&
                             content.lower_bound(path + "/")->first.compare(0, path.size() + 1, path + "/") == 0;
      entry->set_type(directory ? v1::Entry::TYPE_DIRECTORY : v1::Entry::TYPE_FILE);
      entry->set_mode(directory ? 0700 : 0600);
      if (directory) continue;
      entry->set_size_bytes(data.size());
      entry->set_sha256(Sha256Hex(data));
      for (std::size_t at = 0; at < data.size(); at += agent::kMaxChunkBytes) {
        const std::string chunk = data.substr(at, agent::kMaxChunkBytes);
        v1::ChunkRef* ref = entry->add_chunks();
        ref->set_sha256(Sha256Hex(chunk));
        ref->set_size_bytes(static_cast<std::uint32_t>(chunk.size()));
        RETURN_IF_ERROR(keep(ref->sha256(), chunk));
      }
    }
  }
  std::uint64_t raw = 0, stored = 0;
  for (const v1::Entry& entry : draft.entries()) raw += entry.size_bytes();
  for (const auto& [sha256, frame] : frames) stored += frame.size();
  draft.mutable_info()->set_raw_bytes(raw);
  draft.mutable_info()->set_stored_bytes(stored);
  draft.mutable_info()->set_id(agent::ManifestId(draft));
  RETURN_IF_ERROR(agent::ValidateManifest(draft));
  chunks_.insert(frames.begin(), frames.end());
  snapshots_[draft.info().id()].manifest = draft;
  return draft;
}

absl::StatusOr<v1::Manifest> FakeSnapshotStore::GetManifest(const std::string& snapshot_id) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Begin(Op::kGetManifest));
  return Get(snapshot_id);
}

std::vector<thaw::common::v1::SnapshotInfo> FakeSnapshotStore::List() {
  absl::MutexLock lock(&mu_);
  std::vector<thaw::common::v1::SnapshotInfo> infos;
  for (const auto& [id, snapshot] : snapshots_) infos.push_back(snapshot.manifest.info());
  return infos;
}

bool FakeSnapshotStore::HasChunk(absl::string_view sha256) {
  absl::MutexLock lock(&mu_);
  return chunks_.count(std::string(sha256)) != 0;
}

absl::StatusOr<std::string> FakeSnapshotStore::ReadChunk(absl::string_view sha256) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Begin(Op::kReadChunk));
  const auto it = chunks_.find(std::string(sha256));
  if (it == chunks_.end()) return absl::NotFoundError(absl::StrCat("no chunk ", sha256, " on this node"));
  if (const absl::Status status = CheckChunk(it->first); !status.ok()) {
    LoseChunk(std::string(sha256));
    return Damaged(std::string(status.message()));
  }
  return it->second;
}

absl::Status FakeSnapshotStore::PutChunk(absl::string_view sha256, absl::string_view data) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Begin(Op::kPutChunk));
  if (!agent::IsSha256(sha256)) return absl::InvalidArgumentError(absl::StrCat("\"", sha256, "\" is no chunk's name"));
  agent::ChunkCodec::Lease lease(&codec_);
  absl::string_view raw;
  RETURN_IF_ERROR(lease.Decompress(sha256, data, &raw));
  chunks_.emplace(std::string(sha256), std::string(data));
  return absl::OkStatus();
}

absl::Status FakeSnapshotStore::Adopt(const v1::Manifest& manifest) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Begin(Op::kAdopt));
  RETURN_IF_ERROR(agent::ValidateManifest(manifest));
  const std::string& id = manifest.info().id();
  if (agent::ManifestId(manifest) != id) return Damaged(absl::StrCat("the manifest of snapshot ", id, " is not its own"));
  for (const std::string& sha256 : agent::ChunksOf(manifest)) {
    if (chunks_.count(sha256) == 0) {
      return absl::FailedPreconditionError(absl::StrCat("snapshot ", id, ": chunk ", sha256, " is not here"));
    }
  }
  v1::Manifest bare = manifest;
  bare.mutable_info()->clear_holders();
  snapshots_[id] = Snapshot{.manifest = std::move(bare)};
  return absl::OkStatus();
}

absl::Status FakeSnapshotStore::Materialize(const std::string& snapshot_id, const std::string& target_dir) {
  RunHook(Op::kMaterialize);
  RETURN_IF_ERROR(LayOut(snapshot_id, target_dir));
  std::function<void()> hook;
  {
    absl::MutexLock lock(&mu_);
    hook = on_materialized_;
  }
  if (hook) hook();
  return absl::OkStatus();
}

absl::Status FakeSnapshotStore::LayOut(const std::string& snapshot_id, const std::string& target_dir) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Begin(Op::kMaterialize));
  if (laid_out_.count(target_dir) != 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const v1::Manifest manifest, Get(snapshot_id));
  for (const std::string& sha256 : agent::ChunksOf(manifest)) {
    if (const absl::Status status = CheckChunk(sha256); !status.ok()) {
      LoseChunk(sha256);
      return Damaged(std::string(status.message()));
    }
  }
  if (trees_ == Trees::kOnDisk) {
    ASSIGN_OR_RETURN(const files::Fd root, files::MakeDirectory(target_dir));
    RETURN_IF_ERROR(agent::LayOutTree(root.get(), manifest, work_,
                                      [&](int fd, const v1::Entry& entry, const agent::Span& span) -> absl::Status {
                                        std::uint64_t at = span.offset;
                                        for (int i = 0; i < span.chunks; ++i) {
                                          const v1::ChunkRef& chunk = entry.chunks(span.first_chunk + i);
                                          agent::ChunkCodec::Lease lease(&codec_);
                                          absl::string_view raw;
                                          mu_.AssertHeld();
                                          RETURN_IF_ERROR(lease.Decompress(chunk.sha256(), chunks_.at(chunk.sha256()), &raw));
                                          RETURN_IF_ERROR(files::PwriteAll(fd, raw, at));
                                          at += chunk.size_bytes();
                                        }
                                        return absl::OkStatus();
                                      }));
  }
  laid_out_[target_dir] = {snapshot_id, false};
  return absl::OkStatus();
}

absl::Status FakeSnapshotStore::Verify(const std::string& snapshot_id, const std::string& target_dir) {
  RunHook(Op::kVerify);
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Begin(Op::kVerify));
  ASSIGN_OR_RETURN(const v1::Manifest manifest, Get(snapshot_id));
  absl::Status status;
  if (trees_ == Trees::kOnDisk) {
    ASSIGN_OR_RETURN(const files::Fd root, files::OpenDirectory(target_dir));
    status = agent::CheckTree(root.get(), manifest, work_, codec_);
  } else {
    const auto it = laid_out_.find(target_dir);
    if (it == laid_out_.end()) return absl::NotFoundError(absl::StrCat("open directory ", target_dir));
    if (it->second.second || it->second.first != snapshot_id) {
      status = absl::DataLossError("\"images/pages-1.img\" has other content");
    }
  }
  if (absl::IsDataLoss(status)) {
    return Damaged(absl::StrCat("snapshot ", snapshot_id, " as laid out at ", target_dir, " is damaged: ", status.message()));
  }
  return status;
}

absl::Status FakeSnapshotStore::Quarantine(const std::string& snapshot_id, absl::string_view reason) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Begin(Op::kQuarantine));
  const auto it = snapshots_.find(snapshot_id);
  if (it == snapshots_.end()) {
    for (const auto& [id, why] : quarantined_) {
      if (id == snapshot_id) return absl::OkStatus();
    }
    return WithReason(absl::NotFoundError(absl::StrCat("no snapshot ", snapshot_id, " on this node to quarantine")),
                      reason::kSnapshotNotFound);
  }
  const std::vector<std::string> chunks = agent::ChunksOf(it->second.manifest);
  quarantined_.emplace_back(snapshot_id, std::string(reason));
  Forget(snapshot_id);
  for (const std::string& sha256 : chunks) {
    if (!CheckChunk(sha256).ok()) LoseChunk(sha256);
  }
  return absl::OkStatus();
}

absl::Status FakeSnapshotStore::Remove(const std::string& snapshot_id) {
  RunHook(Op::kRemove);
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Begin(Op::kRemove));
  const auto it = snapshots_.find(snapshot_id);
  if (it == snapshots_.end()) return absl::OkStatus();
  const std::vector<std::string> chunks = agent::ChunksOf(it->second.manifest);
  Forget(snapshot_id);
  std::set<std::string> used;
  for (const auto& [id, snapshot] : snapshots_) {
    for (std::string& sha256 : agent::ChunksOf(snapshot.manifest)) used.insert(std::move(sha256));
  }
  for (const std::string& sha256 : chunks) {
    if (used.count(sha256) == 0) chunks_.erase(sha256);
  }
  return absl::OkStatus();
}

std::shared_ptr<void> FakeSnapshotStore::Use(const std::string& snapshot_id) {
  absl::MutexLock lock(&mu_);
  ++in_use_[snapshot_id];
  return std::shared_ptr<void>(this, [this, snapshot_id](void*) {
    absl::MutexLock again(&mu_);
    --in_use_[snapshot_id];
  });
}

absl::Status FakeSnapshotStore::MakeRoom(std::uint64_t) {
  absl::MutexLock lock(&mu_);
  return Begin(Op::kMakeRoom);
}

int FakeSnapshotStore::in_use(const std::string& snapshot_id) const {
  absl::MutexLock lock(&mu_);
  const auto it = in_use_.find(snapshot_id);
  return it == in_use_.end() ? 0 : it->second;
}

}  // namespace thaw::testing
