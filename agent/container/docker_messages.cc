#include "agent/container/docker_messages.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::agent::docker {
namespace {

using nlohmann::json;

constexpr std::pair<int, int> kWantedApi = {1, 41};
constexpr std::size_t kMaxLineBytes = 64 << 10;

std::string Dump(const json& value) {
  // Bytes that are not UTF-8 (a label, a path) become U+FFFD instead of an exception.
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

absl::StatusOr<json> Parse(absl::string_view text, absl::string_view what) {
  json value = json::parse(text.begin(), text.end(), nullptr, false);
  if (value.is_discarded()) {
    return absl::InternalError(
        absl::StrCat("the engine's ", what, " is not JSON: ", text.substr(0, 200)));
  }
  return value;
}

// The engine leaves out what is empty, or writes null; both read as the default.
const json& At(const json& object, const char* key) {
  static const json null;
  if (!object.is_object()) return null;
  const auto it = object.find(key);
  return it == object.end() ? null : *it;
}

std::string Text(const json& value) { return value.is_string() ? value.get<std::string>() : std::string(); }

std::vector<std::string> Texts(const json& value) {
  std::vector<std::string> texts;
  if (!value.is_array()) return texts;
  for (const json& each : value) {
    if (each.is_string()) texts.push_back(each.get<std::string>());
  }
  return texts;
}

std::map<std::string, std::string> TextMap(const json& value) {
  std::map<std::string, std::string> texts;
  if (!value.is_object()) return texts;
  for (const auto& [key, each] : value.items()) texts[key] = Text(each);
  return texts;
}

absl::Status Misses(absl::string_view what, absl::string_view field) {
  return absl::InternalError(
      absl::StrCat("the engine's ", what, " has no ", field, "; is what answers a Docker Engine?"));
}

std::string WithoutSlash(std::string name) {
  if (absl::StartsWith(name, "/")) name.erase(0, 1);
  return name;
}

bool ReadApiVersion(absl::string_view text, std::pair<int, int>& version) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  return parts.size() == 2 && absl::SimpleAtoi(parts[0], &version.first) &&
         absl::SimpleAtoi(parts[1], &version.second);
}

}  // namespace

std::string CreateBody(const ContainerSpec& spec) {
  json mounts = json::array();
  for (const auto& bind : spec.binds) {
    mounts.push_back(
        {{"Type", "bind"}, {"Source", bind.source}, {"Target", bind.target}, {"ReadOnly", bind.read_only}});
  }
  json host = {
      {"NetworkMode", spec.network},
      {"ReadonlyRootfs", true},
      {"Mounts", std::move(mounts)},
      {"Tmpfs", json(spec.tmpfs)},
      {"Privileged", spec.privileged},
      // Null would mean the engine's defaults.
      {"MaskedPaths", json::array()},
      {"ReadonlyPaths", json::array()},
      {"SecurityOpt", json::array({"seccomp=unconfined", "apparmor=unconfined"})},
      // The agent's directories are the host root's, which a remapped root could not use.
      {"UsernsMode", "host"},
      {"IpcMode", "private"},
      {"Init", false},
      {"RestartPolicy", {{"Name", "no"}}},
      {"LogConfig", {{"Type", "json-file"}, {"Config", {{"max-size", "1m"}, {"max-file", "1"}}}}},
  };
  if (!spec.privileged) {
    host["CapDrop"] = json::array({"ALL"});
    host["CapAdd"] = spec.capabilities;
  }
  if (spec.memory_bytes > 0) {
    host["Memory"] = spec.memory_bytes;
    host["MemorySwap"] = spec.memory_bytes;
  }
  if (spec.cpu_millis > 0) {
    // Not NanoCpus: the engine refuses more of those than the host has CPUs, where a limit that does not bind is
    // meant.
    host["CpuPeriod"] = 100'000;
    host["CpuQuota"] = std::int64_t{spec.cpu_millis} * 100;
  }
  if (spec.max_pids > 0) host["PidsLimit"] = spec.max_pids;
  return Dump({
      {"Image", spec.image_id},
      {"Entrypoint", spec.command},
      {"Cmd", json::array()},
      {"User", "0:0"},
      {"WorkingDir", "/"},
      {"Labels", json(spec.labels)},
      {"Tty", false},
      {"OpenStdin", false},
      {"AttachStdin", false},
      {"AttachStdout", false},
      {"AttachStderr", false},
      {"StopSignal", "SIGTERM"},
      {"Healthcheck", {{"Test", json::array({"NONE"})}}},
      {"HostConfig", std::move(host)},
  });
}

std::string LabelFilter(const std::map<std::string, std::string>& labels) {
  json list = json::array();
  for (const auto& [key, value] : labels) list.push_back(absl::StrCat(key, "=", value));
  return Dump({{"label", std::move(list)}});
}

absl::StatusOr<ApiVersions> ParseVersion(absl::string_view text) {
  ASSIGN_OR_RETURN(const json value, Parse(text, "version"));
  ApiVersions versions{Text(At(value, "ApiVersion")), Text(At(value, "MinAPIVersion"))};
  if (versions.newest.empty()) return Misses("version", "ApiVersion");
  return versions;
}

absl::StatusOr<std::string> ChooseVersion(const ApiVersions& versions) {
  std::pair<int, int> newest, oldest = {0, 0};
  if (!ReadApiVersion(versions.newest, newest) ||
      (!versions.oldest.empty() && !ReadApiVersion(versions.oldest, oldest))) {
    return absl::InternalError(absl::StrCat("the engine names API versions that are none: '", versions.newest,
                                            "', '", versions.oldest, "'"));
  }
  if (newest < kWantedApi) {
    return absl::FailedPreconditionError(absl::StrCat("the engine speaks API version ", versions.newest,
                                                      ", older than 1.41; install Docker Engine 20.10 or newer"));
  }
  const auto chosen = std::max(kWantedApi, oldest);
  return absl::StrCat(chosen.first, ".", chosen.second);
}

absl::StatusOr<EngineInfo> ParseInfo(absl::string_view text) {
  ASSIGN_OR_RETURN(const json value, Parse(text, "info"));
  EngineInfo info;
  info.version = Text(At(value, "ServerVersion"));
  if (info.version.empty()) return Misses("info", "ServerVersion");
  info.architecture = Text(At(value, "Architecture"));
  info.cgroup_version = Text(At(value, "CgroupVersion"));
  info.storage_driver = Text(At(value, "Driver"));
  return info;
}

absl::StatusOr<std::string> ParseCreatedId(absl::string_view text) {
  ASSIGN_OR_RETURN(const json value, Parse(text, "answer to a create"));
  std::string id = Text(At(value, "Id"));
  if (id.empty()) return Misses("answer to a create", "Id");
  return id;
}

absl::StatusOr<ContainerInfo> ParseContainer(absl::string_view text) {
  ASSIGN_OR_RETURN(const json value, Parse(text, "container"));
  ContainerInfo info;
  info.id = Text(At(value, "Id"));
  if (info.id.empty()) return Misses("container", "Id");
  info.name = WithoutSlash(Text(At(value, "Name")));
  info.image_id = Text(At(value, "Image"));
  info.labels = TextMap(At(At(value, "Config"), "Labels"));
  const json& state = At(value, "State");
  if (!state.is_object()) return Misses("container", "State");
  const json& running = At(state, "Running");
  info.running = running.is_boolean() && running.get<bool>();
  if (!info.running) {
    const json& code = At(state, "ExitCode");
    if (code.is_number_integer()) info.exit_code = code.get<int>();
  }
  const json& oom = At(state, "OOMKilled");
  info.oom_killed = oom.is_boolean() && oom.get<bool>();
  return info;
}

absl::StatusOr<std::vector<ContainerInfo>> ParseContainerList(absl::string_view text) {
  ASSIGN_OR_RETURN(const json value, Parse(text, "list of containers"));
  if (!value.is_array()) return Misses("list of containers", "entries");
  std::vector<ContainerInfo> list;
  for (const json& each : value) {
    ContainerInfo info;
    info.id = Text(At(each, "Id"));
    if (info.id.empty()) return Misses("list of containers", "Id");
    for (const std::string& name : Texts(At(each, "Names"))) {
      // A link to the container from another one shows as /other/name.
      if (name.find('/', 1) == std::string::npos) info.name = WithoutSlash(name);
    }
    info.image_id = Text(At(each, "ImageID"));
    info.labels = TextMap(At(each, "Labels"));
    const std::string state = Text(At(each, "State"));
    info.running = state == "running" || state == "paused";
    list.push_back(std::move(info));
  }
  return list;
}

absl::StatusOr<ImageInfo> ParseImage(absl::string_view text) {
  ASSIGN_OR_RETURN(const json value, Parse(text, "image"));
  ImageInfo info;
  info.id = Text(At(value, "Id"));
  if (info.id.empty()) return Misses("image", "Id");
  info.tags = Texts(At(value, "RepoTags"));
  const json& config = At(value, "Config");
  info.entrypoint = Texts(At(config, "Entrypoint"));
  info.cmd = Texts(At(config, "Cmd"));
  info.env = Texts(At(config, "Env"));
  info.working_dir = Text(At(config, "WorkingDir"));
  info.labels = TextMap(At(config, "Labels"));
  const json& volumes = At(config, "Volumes");
  info.has_volumes = volumes.is_object() && !volumes.empty();
  const json& size = At(value, "Size");
  if (size.is_number_integer()) info.size_bytes = size.get<std::uint64_t>();
  return info;
}

absl::StatusOr<std::vector<std::string>> ParseImageIds(absl::string_view text) {
  ASSIGN_OR_RETURN(const json value, Parse(text, "list of images"));
  if (!value.is_array()) return Misses("list of images", "entries");
  std::vector<std::string> ids;
  for (const json& each : value) {
    std::string id = Text(At(each, "Id"));
    if (id.empty()) return Misses("list of images", "Id");
    ids.push_back(std::move(id));
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

std::string ErrorMessage(absl::string_view body) {
  const json value = json::parse(body.begin(), body.end(), nullptr, false);
  std::string message = Text(At(value, "message"));
  if (message.empty()) message = std::string(body.substr(0, 1000));
  absl::StripAsciiWhitespace(&message);
  return message;
}

absl::Status ErrorStatus(int http_status, absl::string_view message, absl::string_view act) {
  const std::string text = absl::StrCat("can't ", act, ": the engine answered ", http_status, ": ", message);
  if (absl::StrContains(message, "no space left on device") || absl::StrContains(message, "disk quota exceeded")) {
    return WithReason(absl::ResourceExhaustedError(absl::StrCat(text, "; free space on the engine's disk")),
                      reason::kDiskFull);
  }
  if (absl::StrContains(message, "cannot allocate memory")) {
    return WithReason(absl::ResourceExhaustedError(text), reason::kNoMemory);
  }
  if (http_status == 404) return absl::NotFoundError(text);
  if (http_status == 503) return WithReason(absl::UnavailableError(text), reason::kEngineUnavailable);
  // runc says with a 500 what this host can't do; so do the kernel's limits that only an operator can lift.
  if (http_status / 100 == 4 || absl::StrContains(message, "OCI runtime create failed") ||
      absl::StrContains(message, "unable to apply")) {
    return absl::FailedPreconditionError(text);
  }
  return absl::InternalError(text);
}

std::string DemultiplexLog(absl::string_view frames) {
  std::string log;
  // Each frame: stream number, three zeros, length as 32 bits, big-endian.
  while (frames.size() >= 8) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(frames[i])); };
    const std::size_t length = byte(4) << 24 | byte(5) << 16 | byte(6) << 8 | byte(7);
    frames.remove_prefix(8);
    const absl::string_view payload = frames.substr(0, length);
    log.append(payload.data(), payload.size());
    frames.remove_prefix(payload.size());
  }
  return log;
}

void ProgressStream::Feed(absl::string_view part) {
  // The engine ends each object with a line's end, or with none after the last one.
  while (!part.empty()) {
    const std::size_t end = part.find('\n');
    const absl::string_view piece = part.substr(0, end);
    if (line_.size() + piece.size() > kMaxLineBytes) overlong_ = true;
    if (!overlong_) line_.append(piece.data(), piece.size());
    if (end == absl::string_view::npos) break;
    TakeLine();
    part.remove_prefix(end + 1);
  }
  // An object that is whole already needs no line's end.
  if (!overlong_ && absl::EndsWith(absl::StripTrailingAsciiWhitespace(line_), "}") &&
      json::accept(line_.begin(), line_.end())) {
    TakeLine();
  }
}

void ProgressStream::TakeLine() {
  const std::string line = std::exchange(line_, {});
  if (std::exchange(overlong_, false) || !error_.empty()) return;
  const json value = json::parse(line.begin(), line.end(), nullptr, false);
  error_ = Text(At(At(value, "errorDetail"), "message"));
  if (error_.empty()) error_ = Text(At(value, "error"));
}

}  // namespace thaw::agent::docker
