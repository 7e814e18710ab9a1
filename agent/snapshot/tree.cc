#include "agent/snapshot/tree.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "agent/snapshot/files.h"
#include "agent/snapshot/manifest.h"
#include "common/crypto/sha256.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

constexpr std::uint64_t kSpanBytes = 1 << 20;
constexpr mode_t kPermissionBits = 07777;

absl::StatusOr<std::string> ReadLink(int dir, const std::string& name) {
  std::string target(PATH_MAX, '\0');
  const ssize_t size = ::readlinkat(dir, name.c_str(), target.data(), target.size());
  if (size < 0) return files::ErrnoError(errno, absl::StrCat("read link ", name));
  target.resize(static_cast<std::size_t>(size));
  return target;
}

v1::Entry::Type TypeOf(mode_t mode) {
  if (S_ISREG(mode)) return v1::Entry::TYPE_FILE;
  if (S_ISDIR(mode)) return v1::Entry::TYPE_DIRECTORY;
  if (S_ISLNK(mode)) return v1::Entry::TYPE_SYMLINK;
  if (S_ISFIFO(mode)) return v1::Entry::TYPE_FIFO;
  return v1::Entry::TYPE_UNSPECIFIED;
}

// Calls `visit` for each entry below `dir`, parents first; descends where it answers true.
absl::Status Walk(int dir, const std::string& prefix,
                  absl::FunctionRef<absl::StatusOr<bool>(int dir, const std::string& name, const std::string& path,
                                                         const struct stat& info)>
                      visit) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, files::List(dir));
  for (const std::string& name : names) {
    const std::string path = prefix.empty() ? name : absl::StrCat(prefix, "/", name);
    struct stat info {};
    if (::fstatat(dir, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      return files::ErrnoError(errno, absl::StrCat("stat ", path));
    }
    ASSIGN_OR_RETURN(const bool descend, visit(dir, name, path, info));
    if (!descend) continue;
    ASSIGN_OR_RETURN(const files::Fd child, files::OpenDirectoryAt(dir, name));
    RETURN_IF_ERROR(Walk(child.get(), path, visit));
  }
  return absl::OkStatus();
}

absl::Status HashFile(int root, ChunkCodec& codec, v1::Entry* entry) {
  ASSIGN_OR_RETURN(const files::Fd fd, files::OpenBelow(root, entry->path(), O_RDONLY | O_NONBLOCK));
  ChunkCodec::Lease lease(&codec);
  Sha256 hash;
  for (std::uint64_t offset = 0; offset < entry->size_bytes(); offset += kMaxChunkBytes) {
    const std::size_t size = static_cast<std::size_t>(std::min<std::uint64_t>(kMaxChunkBytes, entry->size_bytes() - offset));
    char* buffer = lease.Buffer(size);
    RETURN_IF_ERROR(files::PreadAll(fd.get(), buffer, size, offset));
    hash.Update(absl::string_view(buffer, size));
  }
  entry->set_sha256(hash.FinishHex());
  return absl::OkStatus();
}

absl::Status ReadSpan(int root, const Span& span, ChunkCodec& codec, const std::string& zero_sha256,
                      absl::FunctionRef<absl::Status(absl::string_view, absl::string_view)> keep, v1::Entry* entry) {
  ASSIGN_OR_RETURN(const files::Fd fd, files::OpenBelow(root, entry->path(), O_RDONLY | O_NONBLOCK));
  ChunkCodec::Lease lease(&codec);
  const std::size_t full = entry->chunks_size() > 0 ? entry->chunks(0).size_bytes() : 0;
  std::uint64_t offset = span.offset;
  for (int i = 0; i < span.chunks; ++i) {
    v1::ChunkRef* chunk = entry->mutable_chunks(span.first_chunk + i);
    char* buffer = lease.Buffer(chunk->size_bytes());
    RETURN_IF_ERROR(files::PreadAll(fd.get(), buffer, chunk->size_bytes(), offset));
    const absl::string_view raw(buffer, chunk->size_bytes());
    // A full chunk of zeros, which page images have many of, is known without hashing it.
    chunk->set_sha256(raw.size() == full && IsZero(raw) && !zero_sha256.empty() ? zero_sha256 : Sha256Hex(raw));
    RETURN_IF_ERROR(keep(chunk->sha256(), raw));
    offset += chunk->size_bytes();
  }
  return absl::OkStatus();
}

absl::Status MakeEntry(int root, const v1::Entry& entry) {
  ASSIGN_OR_RETURN(const files::Place place, files::OpenParentBelow(root, entry.path()));
  const int dir = place.parent.get();
  const char* name = place.name.c_str();
  int result = 0;
  switch (entry.type()) {
    case v1::Entry::TYPE_DIRECTORY:
      result = ::mkdirat(dir, name, 0700);
      break;
    case v1::Entry::TYPE_SYMLINK:
      result = ::symlinkat(entry.link_target().c_str(), dir, name);
      break;
    case v1::Entry::TYPE_FIFO:
      result = ::mkfifoat(dir, name, 0600);
      break;
    case v1::Entry::TYPE_FILE: {
      const files::Fd fd(::openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
      result = fd.get() < 0 ? -1 : ::ftruncate(fd.get(), static_cast<off_t>(entry.size_bytes()));
      break;
    }
    default:
      return absl::InternalError(absl::StrCat("entry ", entry.path(), " has an unknown type"));
  }
  if (result != 0) return files::ErrnoError(errno, absl::StrCat("make ", entry.path()));
  return absl::OkStatus();
}

absl::Status SetAttributes(int root, const v1::Entry& entry) {
  ASSIGN_OR_RETURN(const files::Place place, files::OpenParentBelow(root, entry.path()));
  const int dir = place.parent.get();
  const char* name = place.name.c_str();
  struct stat info {};
  if (::fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return files::ErrnoError(errno, absl::StrCat("stat ", entry.path()));
  }
  if ((info.st_uid != entry.uid() || info.st_gid != entry.gid()) &&
      ::fchownat(dir, name, entry.uid(), entry.gid(), AT_SYMLINK_NOFOLLOW) != 0) {
    return files::ErrnoError(errno, absl::StrCat("give ", entry.path(), " its owner"));
  }
  // After the owner, since a change of owner takes set-id bits away. The name is ours and no link: nobody else can write
  // in this tree.
  if (entry.type() != v1::Entry::TYPE_SYMLINK && ::fchmodat(dir, name, entry.mode(), 0) != 0) {
    return files::ErrnoError(errno, absl::StrCat("give ", entry.path(), " its mode"));
  }
  std::int64_t seconds = entry.modified_ns() / 1'000'000'000;
  std::int64_t nanoseconds = entry.modified_ns() % 1'000'000'000;
  if (nanoseconds < 0) {
    --seconds;
    nanoseconds += 1'000'000'000;
  }
  const struct timespec time {static_cast<time_t>(seconds), static_cast<long>(nanoseconds)};
  const struct timespec times[2] = {time, time};
  if (::utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) != 0) {
    return files::ErrnoError(errno, absl::StrCat("give ", entry.path(), " its time"));
  }
  return absl::OkStatus();
}

absl::Status Differs(absl::string_view path, absl::string_view how) {
  return absl::DataLossError(absl::StrCat("\"", path, "\" ", how));
}

absl::Status CheckEntry(int dir, const std::string& name, const struct stat& info, const v1::Entry& entry) {
  if (TypeOf(info.st_mode) != entry.type()) return Differs(entry.path(), "has another type");
  if (entry.type() != v1::Entry::TYPE_SYMLINK && (info.st_mode & kPermissionBits) != entry.mode()) {
    return Differs(entry.path(), "has another mode");
  }
  if (info.st_uid != entry.uid() || info.st_gid != entry.gid()) return Differs(entry.path(), "has another owner");
  if (entry.type() == v1::Entry::TYPE_FILE && static_cast<std::uint64_t>(info.st_size) != entry.size_bytes()) {
    return Differs(entry.path(), absl::StrCat("has ", info.st_size, " bytes instead of ", entry.size_bytes()));
  }
  if (entry.type() == v1::Entry::TYPE_SYMLINK) {
    ASSIGN_OR_RETURN(const std::string target, ReadLink(dir, name));
    if (target != entry.link_target()) return Differs(entry.path(), "links to something else");
  }
  return absl::OkStatus();
}

absl::Status CheckSpan(int root, const Span& span, ChunkCodec& codec, const v1::Entry& entry) {
  ASSIGN_OR_RETURN(const files::Fd fd, files::OpenBelow(root, entry.path(), O_RDONLY | O_NONBLOCK));
  ChunkCodec::Lease lease(&codec);
  std::uint64_t offset = span.offset;
  for (int i = 0; i < span.chunks; ++i) {
    const v1::ChunkRef& chunk = entry.chunks(span.first_chunk + i);
    char* buffer = lease.Buffer(chunk.size_bytes());
    const absl::Status read = files::PreadAll(fd.get(), buffer, chunk.size_bytes(), offset);
    if (!read.ok() || Sha256Hex(absl::string_view(buffer, chunk.size_bytes())) != chunk.sha256()) {
      return Differs(entry.path(), absl::StrCat("has other content from byte ", offset, " on",
                                                read.ok() ? "" : absl::StrCat(" (", read.message(), ")")));
    }
    offset += chunk.size_bytes();
  }
  return absl::OkStatus();
}

}  // namespace

bool IsZero(absl::string_view data) {
  return data.empty() || (data[0] == '\0' && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0);
}

absl::Status ScanTree(int root, std::size_t chunk_bytes, v1::Manifest* manifest) {
  return Walk(root, "",
              [&](int dir, const std::string& name, const std::string& path,
                  const struct stat& info) -> absl::StatusOr<bool> {
                const v1::Entry::Type type = TypeOf(info.st_mode);
                if (type == v1::Entry::TYPE_UNSPECIFIED) return false;
                v1::Entry* entry = manifest->add_entries();
                entry->set_path(path);
                entry->set_type(type);
                entry->set_mode(type == v1::Entry::TYPE_SYMLINK ? 0777 : info.st_mode & kPermissionBits);
                entry->set_uid(info.st_uid);
                entry->set_gid(info.st_gid);
                entry->set_modified_ns(std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec);
                if (type == v1::Entry::TYPE_SYMLINK) {
                  ASSIGN_OR_RETURN(*entry->mutable_link_target(), ReadLink(dir, name));
                }
                if (type == v1::Entry::TYPE_FILE) {
                  std::uint64_t left = static_cast<std::uint64_t>(info.st_size);
                  entry->set_size_bytes(left);
                  while (left > 0) {
                    const std::uint64_t size = std::min<std::uint64_t>(left, chunk_bytes);
                    entry->add_chunks()->set_size_bytes(static_cast<std::uint32_t>(size));
                    left -= size;
                  }
                }
                return type == v1::Entry::TYPE_DIRECTORY;
              });
}

std::vector<Span> SpansOf(const v1::Manifest& manifest) {
  std::vector<Span> spans;
  for (int i = 0; i < manifest.entries_size(); ++i) {
    const v1::Entry& entry = manifest.entries(i);
    std::uint64_t offset = 0;
    std::uint64_t in_span = 0;
    Span span{.entry = i};
    for (int k = 0; k < entry.chunks_size(); ++k) {
      ++span.chunks;
      in_span += entry.chunks(k).size_bytes();
      if (in_span < kSpanBytes && k + 1 < entry.chunks_size()) continue;
      spans.push_back(span);
      offset += in_span;
      span = Span{.entry = i, .first_chunk = k + 1, .chunks = 0, .offset = offset};
      in_span = 0;
    }
  }
  return spans;
}

absl::Status ReadTree(int root, ParallelWork& work, ChunkCodec& codec,
                      absl::FunctionRef<absl::Status(absl::string_view sha256, absl::string_view raw)> keep,
                      v1::Manifest* manifest) {
  std::vector<int> whole;
  std::size_t largest_first_chunk = 0;
  for (int i = 0; i < manifest->entries_size(); ++i) {
    const v1::Entry& entry = manifest->entries(i);
    if (entry.type() != v1::Entry::TYPE_FILE) continue;
    whole.push_back(i);
    if (entry.chunks_size() > 1) largest_first_chunk = entry.chunks(0).size_bytes();
  }
  // The longest first: hashing a whole file is one thread's work from end to end.
  std::stable_sort(whole.begin(), whole.end(), [manifest](int a, int b) {
    return manifest->entries(a).size_bytes() > manifest->entries(b).size_bytes();
  });
  const std::string zero_sha256 =
      largest_first_chunk > 0 ? Sha256Hex(std::string(largest_first_chunk, '\0')) : std::string();
  const std::vector<Span> spans = SpansOf(*manifest);
  return work.ForEach(whole.size() + spans.size(), [&](std::size_t i) -> absl::Status {
    v1::Entry* entry =
        manifest->mutable_entries(i < whole.size() ? whole[i] : spans[i - whole.size()].entry);
    absl::Status status;
    if (i < whole.size()) {
      status = HashFile(root, codec, entry);
    } else {
      // The zero digest is that of a full chunk of a file with several.
      status = ReadSpan(root, spans[i - whole.size()], codec, entry->chunks_size() > 1 ? zero_sha256 : "", keep, entry);
    }
    if (absl::IsOutOfRange(status) || absl::IsNotFound(status)) {
      return absl::AbortedError(absl::StrCat("\"", entry->path(), "\" changed while it was read: ", status.message()));
    }
    return status;
  });
}

absl::Status LayOutTree(int root, const v1::Manifest& manifest, ParallelWork& work,
                        absl::FunctionRef<absl::Status(int fd, const v1::Entry& entry, const Span& span)> write) {
  for (const v1::Entry& entry : manifest.entries()) RETURN_IF_ERROR(MakeEntry(root, entry));
  const std::vector<Span> spans = SpansOf(manifest);
  RETURN_IF_ERROR(work.ForEach(spans.size(), [&](std::size_t i) -> absl::Status {
    const v1::Entry& entry = manifest.entries(spans[i].entry);
    ASSIGN_OR_RETURN(const files::Fd fd, files::OpenBelow(root, entry.path(), O_WRONLY));
    return write(fd.get(), entry, spans[i]);
  }));
  // Children before parents: making a child would change its parent's time again.
  for (int i = manifest.entries_size() - 1; i >= 0; --i) RETURN_IF_ERROR(SetAttributes(root, manifest.entries(i)));
  return absl::OkStatus();
}

absl::Status CheckTree(int root, const v1::Manifest& manifest, ParallelWork& work, ChunkCodec& codec) {
  absl::flat_hash_map<absl::string_view, const v1::Entry*> missing;
  for (const v1::Entry& entry : manifest.entries()) missing.emplace(entry.path(), &entry);
  RETURN_IF_ERROR(Walk(root, "",
                       [&](int dir, const std::string& name, const std::string& path,
                           const struct stat& info) -> absl::StatusOr<bool> {
                         const auto it = missing.find(path);
                         if (it == missing.end()) return Differs(path, "does not belong here");
                         const v1::Entry& entry = *it->second;
                         missing.erase(it);
                         RETURN_IF_ERROR(CheckEntry(dir, name, info, entry));
                         return entry.type() == v1::Entry::TYPE_DIRECTORY;
                       }));
  for (const v1::Entry& entry : manifest.entries()) {
    if (missing.contains(entry.path())) return Differs(entry.path(), "is missing");
  }
  const std::vector<Span> spans = SpansOf(manifest);
  return work.ForEach(spans.size(), [&](std::size_t i) {
    return CheckSpan(root, spans[i], codec, manifest.entries(spans[i].entry));
  });
}

}  // namespace thaw::agent
