#ifndef THAW_AGENT_CONTAINER_IMAGE_ARCHIVE_H_
#define THAW_AGENT_CONTAINER_IMAGE_ARCHIVE_H_

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace thaw::agent {

// A small image made without an engine: one layer with the files given.
struct ImageContent {
  struct File {
    std::string path;  // Without a leading slash; its directories need not be listed.
    std::string contents;
    int mode = 0755;
  };

  std::vector<File> files;
  std::vector<std::string> tags;
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::vector<std::string> env;
  std::map<std::string, std::string> labels;
  std::string working_dir;
  std::vector<std::string> volumes;
  // As Go names it: amd64, arm64. Empty is this machine's.
  std::string architecture;
};

struct ImageArchive {
  // What the engine will call it: `sha256:` and the digest of its configuration.
  std::string id;
  // What ContainerRuntime::ImportImage takes.
  std::string tar;
};

// The same content always gives the same id.
ImageArchive MakeImageArchive(const ImageContent& content);

// An entry of a POSIX tar archive (owner root, time 0), and what ends the archive. Names up to 99 bytes.
std::string TarEntry(absl::string_view name, absl::string_view contents, int mode = 0644);
std::string TarDirectory(absl::string_view name, int mode = 0755);
std::string TarEnd();

}  // namespace thaw::agent

#endif  // THAW_AGENT_CONTAINER_IMAGE_ARCHIVE_H_
