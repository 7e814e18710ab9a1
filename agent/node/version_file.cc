#include "agent/node/version_file.h"

#include <google/protobuf/io/zero_copy_stream_impl.h>
#include <google/protobuf/util/delimited_message_util.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace thaw::agent {

absl::StatusOr<std::vector<VersionState>> LoadVersionFile(const std::string& path) {
  std::vector<VersionState> states;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return states;
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::FailedPreconditionError(absl::StrCat("version file ", path, " can't be read; check its mode"));
  google::protobuf::io::IstreamInputStream input(&file);
  bool at_end = false;
  VersionState state;
  while (google::protobuf::util::ParseDelimitedFromZeroCopyStream(&state, &input, &at_end)) {
    states.push_back(state);
    state.Clear();
  }
  if (at_end) return states;
  std::filesystem::rename(path, path + ".damaged", error);
  return std::vector<VersionState>();
}

absl::Status SaveVersionFile(const std::string& path, const std::vector<VersionState>& states) {
  const std::string fresh = path + ".new";
  {
    std::ofstream file(fresh, std::ios::binary | std::ios::trunc);
    // Config can hold what is not for everybody.
    chmod(fresh.c_str(), 0600);
    for (VersionState state : states) {
      state.clear_secrets();
      google::protobuf::util::SerializeDelimitedToOstream(state, &file);
    }
    if (!file.flush()) return absl::ResourceExhaustedError(absl::StrCat("version file ", fresh, " can't be written"));
  }
  std::error_code error;
  std::filesystem::rename(fresh, path, error);
  if (error) return absl::InternalError(absl::StrCat("version file ", path, " can't be replaced: ", error.message()));
  return absl::OkStatus();
}

}  // namespace thaw::agent
