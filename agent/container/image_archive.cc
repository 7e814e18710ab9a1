#include "agent/container/image_archive.h"

#include <sys/utsname.h>

#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/crypto/sha256.h"

namespace thaw::agent {
namespace {

using nlohmann::json;

constexpr std::size_t kBlock = 512;

std::string Header(absl::string_view name, std::size_t size, int mode, char type) {
  std::string header(kBlock, '\0');
  const auto put = [&header](std::size_t at, absl::string_view text) { header.replace(at, text.size(), text.data(), text.size()); };
  put(0, name.substr(0, 99));
  put(100, absl::StrFormat("%07o", mode));
  put(108, "0000000");
  put(116, "0000000");
  put(124, absl::StrFormat("%011o", size));
  put(136, "00000000000");
  put(148, "        ");
  header[156] = type;
  put(257, absl::string_view("ustar\00000", 8));
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put(148, absl::StrFormat("%06o", sum));
  header[154] = '\0';
  return header;
}

std::string ThisArchitecture() {
  utsname name{};
  if (::uname(&name) != 0) return "amd64";
  const std::string machine = name.machine;
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return machine;
}

}  // namespace

std::string TarEntry(absl::string_view name, absl::string_view contents, int mode) {
  std::string entry = Header(name, contents.size(), mode, '0');
  entry.append(contents.data(), contents.size());
  entry.append((kBlock - contents.size() % kBlock) % kBlock, '\0');
  return entry;
}

std::string TarDirectory(absl::string_view name, int mode) { return Header(absl::StrCat(name, "/"), 0, mode, '5'); }

std::string TarEnd() { return std::string(2 * kBlock, '\0'); }

ImageArchive MakeImageArchive(const ImageContent& content) {
  std::string layer;
  std::set<std::string> directories;
  for (const auto& file : content.files) {
    for (std::size_t slash = file.path.find('/'); slash != std::string::npos; slash = file.path.find('/', slash + 1)) {
      const std::string directory = file.path.substr(0, slash);
      if (directories.insert(directory).second) layer += TarDirectory(directory);
    }
    layer += TarEntry(file.path, file.contents, file.mode);
  }
  layer += TarEnd();

  json config = {{"Entrypoint", content.entrypoint},
                 {"Cmd", content.cmd},
                 {"Env", content.env},
                 {"Labels", json(content.labels)},
                 {"WorkingDir", content.working_dir}};
  for (const std::string& volume : content.volumes) config["Volumes"][volume] = json::object();
  json history = {{"created", "1970-01-01T00:00:00Z"}, {"created_by", "thaw"}};
  json rootfs = {{"type", "layers"}, {"diff_ids", json::array({absl::StrCat("sha256:", Sha256Hex(layer))})}};
  const json description = {{"architecture", content.architecture.empty() ? ThisArchitecture() : content.architecture},
                            {"os", "linux"},
                            {"created", "1970-01-01T00:00:00Z"},
                            {"config", std::move(config)},
                            {"rootfs", std::move(rootfs)},
                            {"history", json::array({std::move(history)})}};
  const std::string image = description.dump();
  const std::string digest = Sha256Hex(image);
  const std::string config_name = absl::StrCat(digest, ".json");
  json entry = {{"Config", config_name}, {"Layers", json::array({"layer.tar"})}, {"RepoTags", json(content.tags)}};
  return {absl::StrCat("sha256:", digest),
          absl::StrCat(TarEntry(config_name, image), TarEntry("layer.tar", layer),
                       TarEntry("manifest.json", json::array({std::move(entry)}).dump()), TarEnd())};
}

}  // namespace thaw::agent
