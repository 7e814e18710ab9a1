// What a function is told from outside while it runs: configuration of now, and secrets.
#ifndef THAW_AGENT_INIT_GIVEN_FILES_H_
#define THAW_AGENT_INIT_GIVEN_FILES_H_

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "agent/init/outcome.h"

namespace thaw::init {

struct GivenFiles {
  // Values of now, by key; nothing for a key that has none now.
  std::map<std::string, std::optional<std::string>> config;
  // Contents by name; IsSecretName() holds for each.
  std::map<std::string, std::string> secrets;
  // Something of it must never be part of a snapshot.
  bool sealed = false;
};

// True for 1 to 255 letters, digits, '_', '-' and '.', not "." nor "..": the name of a file.
bool IsSecretName(std::string_view name);

// Nothing when `text` is not base64 with padding.
std::optional<std::string> DecodeBase64(std::string_view text);

// Makes /run/thaw/fn/config.json (0444 root) and /run/thaw/secrets/<name> (0400 `uid`:`gid`, the directory root's)
// what `given` says, each file as a whole or not at all; secrets that it does not name are removed.
//
//   RESOURCE_EXHAUSTED  /run is full
Outcome WriteGivenFiles(const GivenFiles& given, uid_t uid, gid_t gid);

// The same below another directory than /run/thaw, for tests.
Outcome WriteGivenFilesBelow(const std::string& root, const GivenFiles& given, uid_t uid, gid_t gid);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_GIVEN_FILES_H_
