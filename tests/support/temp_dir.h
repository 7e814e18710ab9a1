#ifndef THAW_TESTS_SUPPORT_TEMP_DIR_H_
#define THAW_TESTS_SUPPORT_TEMP_DIR_H_

#include <stdlib.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace thaw::testing {

// An empty directory with a short path (sockets go into it), removed with all that is in it. Ends the process where none
// can be made.
class TempDir {
 public:
  TempDir() {
    std::string pattern = "/tmp/thaw-test-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) Die("mkdtemp");
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  // The path of a file in it, which need not be there.
  std::string File(absl::string_view name) const { return absl::StrCat(path_, "/", name); }
  // Makes an empty directory in it, for its owner only.
  std::string Sub(absl::string_view name) const {
    const std::string path = File(name);
    std::error_code error;
    if (!std::filesystem::create_directory(path, error)) Die("mkdir");
    std::filesystem::permissions(path, std::filesystem::perms::owner_all, error);
    return path;
  }

 private:
  [[noreturn]] static void Die(const char* what) {
    std::perror(what);
    std::abort();
  }

  std::string path_;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_SUPPORT_TEMP_DIR_H_
