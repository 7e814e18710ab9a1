#include "cli/deploy/source_digest.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/exit_code.h"
#include "common/crypto/sha256.h"

namespace thaw::cli {
namespace fs = std::filesystem;

absl::StatusOr<std::string> SourceDigest(const std::string& directory, const std::set<std::string>& skipped) {
  const auto failed = [](const fs::path& path, const std::string& why) {
    return LocalError(absl::NotFoundError(absl::StrCat("can't read ", path.string(), ": ", why)),
                      local_reason::kFile);
  };
  std::error_code error;
  std::vector<fs::path> paths;
  fs::recursive_directory_iterator it(directory, error);
  if (error) return failed(directory, error.message());
  for (; it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (error) return failed(directory, error.message());
    const std::string name = it->path().filename().string();
    if (it.depth() == 0 && (name == ".git" || skipped.count(name) > 0)) {
      if (it->is_directory(error) && !it->is_symlink(error)) it.disable_recursion_pending();
      continue;
    }
    paths.push_back(it->path());
  }
  if (error) return failed(directory, error.message());
  std::sort(paths.begin(), paths.end());

  Sha256 digest;
  std::string buffer(256 * 1024, '\0');
  for (const fs::path& path : paths) {
    const std::string name = path.lexically_relative(directory).generic_string();
    const fs::file_status status = fs::symlink_status(path, error);
    if (error) return failed(path, error.message());
    if (fs::is_symlink(status)) {
      const fs::path target = fs::read_symlink(path, error);
      if (error) return failed(path, error.message());
      digest.Update(absl::StrCat("l", name.size(), ":", name, target.string().size(), ":", target.string()));
    } else if (fs::is_directory(status)) {
      digest.Update(absl::StrCat("d", name.size(), ":", name));
    } else if (fs::is_regular_file(status)) {
      const bool executable = (status.permissions() & fs::perms::owner_exec) != fs::perms::none;
      const auto size = fs::file_size(path, error);
      if (error) return failed(path, error.message());
      digest.Update(absl::StrCat(executable ? "x" : "f", name.size(), ":", name, size, ":"));
      std::ifstream file(path, std::ios::binary);
      if (!file) return failed(path, "check its mode");
      while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || file.gcount() > 0) {
        digest.Update(absl::string_view(buffer.data(), static_cast<std::size_t>(file.gcount())));
      }
      if (file.bad()) return failed(path, "reading broke off");
    }
  }
  return digest.FinishHex();
}

}  // namespace thaw::cli
