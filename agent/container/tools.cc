#include "agent/container/tools.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/ids/ids.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

namespace fs = std::filesystem;

// One of the tools' files: where it is, and where it shall be.
struct ToolFile {
  fs::path source;
  std::string name;  // below the tools' directory
  bool executable = false;
};

absl::Status CantRead(const fs::path& path, const std::error_code& error) {
  return absl::NotFoundError(absl::StrCat("tool ", path.string(), " can't be read: ", error.message(),
                                          "; --init-binary, --criu-bundle and --preload-dir say where the tools lie"));
}

absl::Status CantWrite(const fs::path& path, const std::error_code& error) {
  const std::string what = absl::StrCat("tool ", path.string(), " can't be installed: ", error.message());
  return error == std::errc::no_space_on_device ? absl::ResourceExhaustedError(what) : absl::InternalError(what);
}

absl::Status AddFile(const fs::path& path, const std::string& name, std::vector<ToolFile>& files) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (error) return CantRead(path, error);
  if (fs::is_regular_file(status)) {
    files.push_back({path, name, (status.permissions() & fs::perms::owner_exec) != fs::perms::none});
    return absl::OkStatus();
  }
  if (!fs::is_directory(status)) {
    return absl::FailedPreconditionError(absl::StrCat("tool ", path.string(), " is neither a file nor a directory"));
  }
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    RETURN_IF_ERROR(AddFile(it->path(), absl::StrCat(name, "/", it->path().filename().string()), files));
  }
  return error ? CantRead(path, error) : absl::OkStatus();
}

absl::StatusOr<std::vector<ToolFile>> ListFiles(const std::vector<ToolSource>& sources) {
  std::vector<ToolFile> files;
  for (const ToolSource& source : sources) RETURN_IF_ERROR(AddFile(source.path, source.name, files));
  std::sort(files.begin(), files.end(), [](const ToolFile& a, const ToolFile& b) { return a.name < b.name; });
  return files;
}

absl::StatusOr<std::string> DigestOf(const std::vector<ToolFile>& files) {
  Sha256 digest;
  for (const ToolFile& file : files) {
    std::ifstream stream(file.source, std::ios::binary);
    std::ostringstream content;
    if (!(content << stream.rdbuf())) return CantRead(file.source, std::make_error_code(std::errc::io_error));
    digest.Update(absl::StrCat(file.name, file.executable ? " x " : " - ", Sha256Hex(content.str()), "\n"));
  }
  return digest.FinishHex().substr(0, 16);
}

absl::Status CopyFiles(const std::vector<ToolFile>& files, const fs::path& to) {
  std::error_code error;
  for (const ToolFile& file : files) {
    const fs::path target = to / file.name;
    fs::create_directories(target.parent_path(), error);
    if (!error) fs::copy_file(file.source, target, error);
    if (!error) fs::permissions(target, file.executable ? fs::perms(0755) : fs::perms(0644), error);
    if (error) return CantWrite(target, error);
  }
  // Seen by the function's user, whatever the agent's umask.
  fs::permissions(to, fs::perms(0755), error);
  for (fs::recursive_directory_iterator it(to, error), end; !error && it != end; it.increment(error)) {
    if (it->is_directory()) fs::permissions(it->path(), fs::perms(0755), error);
  }
  return error ? CantWrite(to, error) : absl::OkStatus();
}

// Whether `installed` has what its name says.
bool IsWhole(const fs::path& installed) {
  std::vector<ToolSource> entries;
  std::error_code error;
  for (fs::directory_iterator it(installed, error), end; !error && it != end; it.increment(error)) {
    entries.push_back({it->path().string(), it->path().filename().string()});
  }
  if (error) return false;
  const absl::StatusOr<std::vector<ToolFile>> files = ListFiles(entries);
  if (!files.ok()) return false;
  const absl::StatusOr<std::string> digest = DigestOf(*files);
  return digest.ok() && *digest == installed.filename().string();
}

}  // namespace

absl::StatusOr<std::string> InstallTools(const std::vector<ToolSource>& sources, const Paths& paths) {
  ASSIGN_OR_RETURN(const std::vector<ToolFile> files, ListFiles(sources));
  ASSIGN_OR_RETURN(std::string name, DigestOf(files));
  const fs::path installed = paths.Tools(name);
  if (IsWhole(installed)) return name;
  const fs::path fresh = absl::StrCat(installed.string(), ".new-", NewHexId(4));
  absl::Status copied = CopyFiles(files, fresh);
  std::error_code error, ignored;
  if (copied.ok()) {
    fs::remove_all(installed, error);
    if (!error) fs::rename(fresh, installed, error);
    if (error) copied = CantWrite(installed, error);
  }
  if (!copied.ok()) {
    fs::remove_all(fresh, ignored);
    return copied;
  }
  return name;
}

void RemoveToolsExcept(const std::set<std::string>& names, const Paths& paths) {
  std::error_code error;
  std::vector<fs::path> unused;
  for (fs::directory_iterator it(paths.AllTools(), error), end; !error && it != end; it.increment(error)) {
    if (!names.contains(it->path().filename().string())) unused.push_back(it->path());
  }
  for (const fs::path& path : unused) fs::remove_all(path, error);
}

}  // namespace thaw::agent
