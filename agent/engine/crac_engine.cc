#include "agent/engine/crac_engine.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/snapshot/files.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

using Json = nlohmann::json;

constexpr char kCommandFile[] = "crac.json";
constexpr absl::Duration kStartLimit = absl::Seconds(10);
constexpr char kDefaultPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// The command's `java`, behind thaw-init where the image's own ENTRYPOINT begins with that; empty when it has none.
std::string Launcher(const ImageInfo& image) {
  std::vector<std::string> argv = image.entrypoint;
  argv.insert(argv.end(), image.cmd.begin(), image.cmd.end());
  std::size_t first = 0;
  while (first < argv.size() && (argv[first] == "/thaw/init" || argv[first] == "--")) ++first;
  if (first == argv.size()) return "";
  const std::string& program = argv[first];
  return program == "java" || absl::EndsWith(program, "/java") ? program : "";
}

// Empty where `object` has no such text.
std::string TextOf(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string EngineOption(const ImageInfo& image) {
  return absl::StrCat("-XX:CRaCEngine=", image.labels.at(kCracEngineLabel));
}

}  // namespace

absl::Status CracEngine::Usable(const ImageInfo& image) const {
  if (!allowed_) {
    return absl::FailedPreconditionError(
        "engine crac gives the JVM root and the container's capabilities, which this node's operator does not allow: start "
        "the agent with --allow-crac-engine, or use engine criu");
  }
  const auto label = image.labels.find(kCracEngineLabel);
  if (label == image.labels.end() || label->second.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "engine crac needs an image with a CRaC JDK, which has the label ", kCracEngineLabel,
        ": make it FROM thaw/java-runtime-crac, or use engine criu"));
  }
  if (Launcher(image).empty()) {
    return absl::FailedPreconditionError(
        "engine crac needs a command that begins with java, to put its options there: change the image's ENTRYPOINT, or use "
        "engine criu");
  }
  return absl::OkStatus();
}

std::string CracEngine::DumpName(absl::string_view instance_id) { return absl::StrCat("dump-", instance_id); }

absl::Status CracEngine::PrepareStart(const ImageInfo& image, const Slot& slot, StartOrder& order) const {
  const std::string name = DumpName(order.instance_id);
  const std::string dir = absl::StrCat(paths_.Cracdata(slot.version_id()), "/", name);
  // The JVM looks at its start already whether it can make the last part of the path.
  if (mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::InternalError(absl::StrCat("directory ", dir, " can't be made: ", strerror(errno)));
  }
  order.argv.insert(order.argv.begin() + 1,
                    {EngineOption(image), absl::StrCat("-XX:CRaCCheckpointTo=", Paths::CracdataInside(name), "/images")});
  order.env["THAW_ENGINE"] = "crac";
  order.privileged = true;
  order.uid = order.gid = 0;
  return absl::OkStatus();
}

absl::Status CracEngine::WriteRestoreCommand(const std::string& dump_dir, const ImageInfo& image) {
  Json env = Json::object();
  for (const std::string& pair : image.env) {
    const auto equals = pair.find('=');
    if (equals != std::string::npos && equals > 0) env[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  const std::string command =
      Json{{"launcher", Launcher(image)}, {"engine", EngineOption(image)}, {"env", env}}.dump(
          -1, ' ', false, Json::error_handler_t::replace);
  // The JVM was root in this directory: what it has put in the file's place, a link out of the volume maybe, goes first.
  ASSIGN_OR_RETURN(const files::Fd dir, files::OpenDirectory(dump_dir));
  RETURN_IF_ERROR(files::UnlinkAt(dir.get(), kCommandFile));
  return files::WriteNewAt(dir.get(), kCommandFile, command);
}

absl::StatusOr<int> CracEngine::Restore(Slot& slot, const RestoreOrder& order) {
  if (!allowed_) {
    return absl::FailedPreconditionError(
        "its engine is crac, which this node's operator does not allow: start the agent with --allow-crac-engine");
  }
  const std::string host_dir =
      absl::StrCat(paths_.Cracdata(slot.version_id()), "/", std::filesystem::path(order.dir).filename().string());
  std::ifstream file(absl::StrCat(host_dir, "/", kCommandFile), std::ios::binary);
  const Json command = Json::parse(file, nullptr, false);
  const std::string launcher = TextOf(command, "launcher");
  const std::string engine = TextOf(command, "engine");
  if (launcher.empty() || engine.empty()) {
    return absl::DataLossError(absl::StrCat("the snapshot's ", kCommandFile, " does not say how to restore it"));
  }
  StartOrder start;
  start.argv = {launcher, engine, absl::StrCat("-XX:CRaCRestoreFrom=", order.dir, "/images")};
  start.env["PATH"] = kDefaultPath;
  if (const auto env = command.find("env"); env != command.end()) {
    for (const auto& [name, value] : env->items()) {
      if (value.is_string()) start.env[name] = value.get<std::string>();
    }
  }
  start.env["THAW_ENGINE"] = "crac";
  start.working_dir = "/";
  start.uid = start.gid = 0;
  start.privileged = true;
  start.snapshot_dir = order.dir;
  start.given = order.given;
  start.instance_id = order.instance_id;
  start.meta = order.meta;
  return slot.init().Start(start, std::min(order.time_limit, kStartLimit));
}

}  // namespace thaw::agent
